"""How many mantissa bits each module needs: the adaptive precision search of Anda (arXiv 2411.15982, Algorithm 1)."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from ..formats import InputError
from ..workloads import MODULES, Precision

START_MANTISSA_BITS = range(4, 14)
"""The search starts from 4,4,4,4 to 13,13,13,13."""


@dataclass(frozen=True)
class SearchStep:
    """One evaluation of the search."""

    precision: Precision
    bops: float
    loss: float
    """Relative increase of the perplexity; negative where it falls."""
    best: bool
    """The loss was within the tolerance, so this became the best precision."""


@dataclass
class SearchResult:
    """What was visited, in order."""

    history: list[SearchStep] = field(default_factory=list[SearchStep])

    @property
    def best(self) -> SearchStep | None:
        """The step with the fewest bit operations within the tolerance; None if there is none."""
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
    on_step: Callable[[SearchStep], None] | None = None,
) -> SearchResult:
    """Visit precisions from the cheapest on, and lower the modules of each new best one by a bit.

    Nothing is assumed about how the loss depends on the mantissa bits. The search ends when the cheapest waiting
    precision costs no less than the best one: neither it nor those after it could become the best.

    Args:
        evaluate: the loss of a precision, a relative increase of the perplexity.
        bops: its bit operations; equal costs are visited in the order of the tuples, as published.
        tolerance: the largest loss to accept.
        iterations: the most evaluations to make.
        on_step: called with each step when it is finished.

    Raises:
        InputError: the tolerance is negative or there are no iterations.
    """
    if not tolerance >= 0:
        raise InputError(f"tolerance: {tolerance} is no tolerance; use 0 or more, such as 0.01 for 1 %")
    if iterations < 1:
        raise InputError(f"iterations: {iterations} is too few; use 1 or more")
    result = SearchResult()
    waiting = [(bops(precision), precision) for precision in map(Precision.uniform, START_MANTISSA_BITS)]
    heapq.heapify(waiting)
    known = {precision for _, precision in waiting}
    best_bops = float("inf")
    while waiting and waiting[0][0] < best_bops and result.iterations < iterations:
        cost, precision = heapq.heappop(waiting)
        loss = evaluate(precision)
        step = SearchStep(precision, cost, loss, best=loss <= tolerance)
        result.history.append(step)
        if on_step:
            on_step(step)
        if loss <= tolerance:
            best_bops = cost
            for neighbour in set(_lowered(precision)) - known:
                known.add(neighbour)
                heapq.heappush(waiting, (bops(neighbour), neighbour))
    return result


def _lowered(precision: Precision) -> Iterator[Precision]:
    """The precisions with one mantissa bit less in one module."""
    for module, bits in zip(MODULES, precision, strict=True):
        if bits > 1:
            yield Precision(**{**precision._asdict(), module: bits - 1})
