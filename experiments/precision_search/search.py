"""How many mantissa bits each module needs: the adaptive precision search of Anda (arXiv 2411.15982, Algorithm 1)."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from ...formats import InputError
from ...workloads import MODULES, Precision

START_MANTISSA_BITS = range(4, 14)
"""The search starts from 4,4,4,4 to 13,13,13,13."""


class _Ordered(Protocol):
    def __lt__(self, other: Any, /) -> bool: ...


Candidate = TypeVar("Candidate", bound=_Ordered)
"""What is searched: hashable, and ordered among those of equal cost."""


@dataclass(frozen=True)
class SearchStep(Generic[Candidate]):
    """One evaluation of a search."""

    candidate: Candidate
    cost: float
    loss: float
    """Relative increase of the perplexity; negative where it falls."""
    best: bool
    """The loss was within the tolerance, so this became the best candidate."""

    @property
    def precision(self) -> Candidate:
        """The candidate, by its name where precisions are searched."""
        return self.candidate


@dataclass
class SearchResult(Generic[Candidate]):
    """What was visited, in order."""

    history: list[SearchStep[Candidate]] = field(default_factory=lambda: [])

    @property
    def best(self) -> SearchStep[Candidate] | None:
        """The step with the lowest cost within the tolerance; None if there is none."""
        return next((step for step in reversed(self.history) if step.best), None)

    @property
    def iterations(self) -> int:
        """Evaluations made."""
        return len(self.history)


def precision_search(
    evaluate: Callable[[Precision], float],
    bops: Callable[[Precision], float],
    tolerance: float,
    iterations: int = 32,
    on_step: Callable[[SearchStep[Precision]], None] | None = None,
) -> SearchResult[Precision]:
    """Algorithm 1 as published: visit precisions from the cheapest on, and lower the modules of each new best by a bit.

    Args:
        evaluate: the loss of a precision, a relative increase of the perplexity.
        bops: its bit operations; equal costs are visited in the order of the tuples, as published.
        tolerance: the largest loss to accept.
        iterations: the most evaluations to make.
        on_step: called with each step when it is finished.

    Raises:
        InputError: the tolerance is negative or there are no iterations.
    """
    start = map(Precision.uniform, START_MANTISSA_BITS)
    return best_first_search(start, lowered, evaluate, bops, tolerance, iterations, on_step)


def best_first_search(
    start: Iterable[Candidate],
    neighbours: Callable[[Candidate], Iterable[Candidate]],
    evaluate: Callable[[Candidate], float],
    cost: Callable[[Candidate], float],
    tolerance: float,
    iterations: int,
    on_step: Callable[[SearchStep[Candidate]], None] | None = None,
) -> SearchResult[Candidate]:
    """Visit candidates from the cheapest on; the neighbours of each new best one join those that wait.

    Nothing is assumed about how the loss depends on the candidate. The search ends when the cheapest waiting one costs
    no less than the best: neither it nor those after it could become the best.

    Raises:
        InputError: the tolerance is negative or there are no iterations.
    """
    _check_tolerance(tolerance)
    if iterations < 1:
        raise InputError(f"iterations: {iterations} is too few; use 1 or more")
    result: SearchResult[Candidate] = SearchResult()
    waiting = [(cost(candidate), candidate) for candidate in start]
    heapq.heapify(waiting)
    known = {candidate for _, candidate in waiting}
    best_cost = float("inf")
    while waiting and waiting[0][0] < best_cost and result.iterations < iterations:
        own_cost, candidate = heapq.heappop(waiting)
        step = _visit(candidate, own_cost, evaluate, tolerance, on_step)
        result.history.append(step)
        if step.best:
            best_cost = own_cost
            for neighbour in set(neighbours(candidate)) - known:
                known.add(neighbour)
                heapq.heappush(waiting, (cost(neighbour), neighbour))
    return result


def exhaustive_search(
    candidates: Iterable[Candidate],
    evaluate: Callable[[Candidate], float],
    cost: Callable[[Candidate], float],
    tolerance: float,
    on_step: Callable[[SearchStep[Candidate]], None] | None = None,
) -> SearchResult[Candidate]:
    """The cheapest candidate within the tolerance: all are visited from the cheapest on, up to the first that is.

    Those after it cost no less, so that the result is that of evaluating every one.

    Raises:
        InputError: the tolerance is negative.
    """
    _check_tolerance(tolerance)
    result: SearchResult[Candidate] = SearchResult()
    for own_cost, candidate in sorted((cost(candidate), candidate) for candidate in candidates):
        result.history.append(_visit(candidate, own_cost, evaluate, tolerance, on_step))
        if result.history[-1].best:
            break
    return result


def lowered(precision: Precision) -> Iterator[Precision]:
    """The precisions with one mantissa bit less in one module."""
    for module, bits in zip(MODULES, precision, strict=True):
        if bits > 1:
            yield Precision(**{**precision._asdict(), module: bits - 1})


def _visit(
    candidate: Candidate,
    cost: float,
    evaluate: Callable[[Candidate], float],
    tolerance: float,
    on_step: Callable[[SearchStep[Candidate]], None] | None,
) -> SearchStep[Candidate]:
    loss = evaluate(candidate)
    step = SearchStep(candidate, cost, loss, best=loss <= tolerance)
    if on_step:
        on_step(step)
    return step


def _check_tolerance(tolerance: float) -> None:
    if not tolerance >= 0:
        raise InputError(f"tolerance: {tolerance} is no tolerance; use 0 or more, such as 0.01 for 1 %")
