"""Two searches for the cheapest candidate within a tolerance: Anda's Algorithm 1 (arXiv 2411.15982), and exhaustive."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from ...formats import InputError


class _Ordered(Protocol):
    def __lt__(self, other: Any, /) -> bool: ...


Candidate = TypeVar("Candidate", bound=_Ordered)
"""Type of a candidate: hashable, and ordered, because candidates of equal cost are visited in their order."""


@dataclass(frozen=True)
class SearchStep(Generic[Candidate]):
    """One visited candidate."""

    candidate: Candidate
    cost: float
    loss: float
    """Relative increase of the perplexity; negative where the perplexity falls."""
    best: bool
    """True if the candidate was accepted and so became the best one."""


@dataclass
class SearchResult(Generic[Candidate]):
    """The visited candidates, in order."""

    history: list[SearchStep[Candidate]] = field(default_factory=lambda: [])
    waiting: int = 0
    """Number of cheaper candidates that were not visited, because the iterations were used up."""

    @property
    def best(self) -> SearchStep[Candidate] | None:
        """The step with the lowest cost within the tolerance; None if there is none."""
        return next((step for step in reversed(self.history) if step.best), None)

    @property
    def iterations(self) -> int:
        """Number of visited candidates."""
        return len(self.history)


@dataclass(frozen=True)
class SearchProblem(Generic[Candidate]):
    """Minimise a cost among candidates whose loss is within a tolerance.

    Parameters
    ----------
    cost
        Known cost of a candidate, such as its bit operations.
    loss
        Measured loss of a candidate: the relative increase of the perplexity.
    tolerance
        Largest loss to accept, 0 or more.
    accepts
        Accepts a measured candidate, or not; None accepts a measured loss within the tolerance, as the paper does.
    on_step
        Called with each `SearchStep` when it is finished.

    Raises
    ------
    InputError
        The tolerance is negative or not a number.
    """

    cost: Callable[[Candidate], float]
    loss: Callable[[Candidate], float]
    tolerance: float
    accepts: Callable[[Candidate], bool] | None = None
    on_step: Callable[[SearchStep[Candidate]], None] | None = None

    def __post_init__(self) -> None:
        if not self.tolerance >= 0:
            raise InputError(f"tolerance: {self.tolerance} is not valid; use 0 or more, such as 0.01 for 1 %")

    def best_first(
        self,
        start: Iterable[Candidate],
        neighbours: Callable[[Candidate], Iterable[Candidate]],
        iterations: int = 32,
    ) -> SearchResult[Candidate]:
        """Algorithm 1: visit candidates from the cheapest on; each new best one adds its neighbours to the queue.

        Nothing is assumed about how the loss depends on the candidate. The search ends when the cheapest candidate of
        the queue costs no less than the best one, because no later candidate can become the best.

        Parameters
        ----------
        start
            First candidates of the queue, such as the uniform precisions.
        neighbours
            Cheaper neighbours of a candidate.
        iterations
            Largest number of candidates to visit.

        Raises
        ------
        InputError
            There are no iterations.
        """
        if iterations < 1:
            raise InputError(f"iterations: {iterations} is too few; use 1 or more")
        result: SearchResult[Candidate] = SearchResult()
        queue = [(self.cost(candidate), candidate) for candidate in start]
        heapq.heapify(queue)
        known = {candidate for _, candidate in queue}
        best_cost = float("inf")
        while queue and queue[0][0] < best_cost and result.iterations < iterations:
            step = self._visit(*heapq.heappop(queue))
            result.history.append(step)
            if step.best:
                best_cost = step.cost
                for neighbour in set(neighbours(step.candidate)) - known:
                    known.add(neighbour)
                    heapq.heappush(queue, (self.cost(neighbour), neighbour))
        result.waiting = sum(cost < best_cost for cost, _ in queue)
        return result

    def exhaustive(self, candidates: Iterable[Candidate]) -> SearchResult[Candidate]:
        """Visit all candidates from the cheapest on, up to the first within the tolerance.

        Candidates after it cost no less, so the best one is the same as if every candidate were visited.
        """
        result: SearchResult[Candidate] = SearchResult()
        for cost, candidate in sorted((self.cost(candidate), candidate) for candidate in candidates):
            result.history.append(self._visit(cost, candidate))
            if result.history[-1].best:
                break
        return result

    def _visit(self, cost: float, candidate: Candidate) -> SearchStep[Candidate]:
        loss = self.loss(candidate)
        best = loss <= self.tolerance if self.accepts is None else self.accepts(candidate)
        step = SearchStep(candidate, cost, loss, best)
        if self.on_step:
            self.on_step(step)
        return step
