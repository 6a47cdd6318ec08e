"""The precision search on a real model: each step decided by a sequential test, the result tested on held-out text."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...formats import InputError
from ...workloads import Decoder, Precision, TextBlocks, TorchDecoder, Verdict
from .cost import Cost, prepare_cost, saving
from .layer_search import Allocation, GreedyAllocator, Layers, layered_activations, measure_sensitivities, spread
from .loss import MeasuredLoss, Texts, verdict_record
from .search import SearchProblem, SearchResult, SearchStep
from .search_space import PUBLISHED, Choice, Numerics, all_choices, start_choices

if TYPE_CHECKING:
    from ...sim.cost.objective import Objective

LAYER_CANDIDATES = 12
"""Largest number of allocations over the layers that are measured, the cheapest first."""


@dataclass(frozen=True)
class StudyStep:
    """One precision that the search visited."""

    step: SearchStep[Choice]
    verdict: Verdict
    """Result of the sequential test, on the text with the larger loss if there are two."""
    bops_saving: float

    @property
    def precision(self) -> Precision:
        """Mantissa bits of the modules."""
        return self.step.candidate.precision

    @property
    def numerics(self) -> Numerics:
        """Numerics beside the mantissa bits."""
        return self.step.candidate.numerics

    def record(self) -> dict[str, Any]:
        """The step as JSON."""
        return {
            "precision": str(self.precision),
            **vars(self.numerics),
            "cost": self.step.cost,
            **verdict_record(self.verdict),
            "bops_saving": self.bops_saving,
            "best": self.step.best,
        }


@dataclass(frozen=True)
class LayerStudy:
    """The best precision of each layer."""

    layers: Layers
    cost: float
    bops_saving: float
    evaluated: int
    """Number of allocations that were measured."""
    verdict: Verdict
    heldout: Verdict

    def record(self) -> dict[str, Any]:
        """The result as JSON."""
        return {
            "layers": [str(precision) for precision in self.layers],
            "cost": self.cost,
            "bops_saving": self.bops_saving,
            "evaluated": self.evaluated,
            **verdict_record(self.verdict),
            "heldout": verdict_record(self.heldout),
        }


@dataclass(frozen=True)
class PrecisionStudy:
    """A finished search."""

    model: str
    tolerance: float
    history: list[StudyStep]
    heldout: Verdict | None
    """The best precision on the held-out articles; None if no precision was within the tolerance."""
    objective: Objective = "bops"
    second_heldout: Verdict | None = None
    """The same on the second text's held-out articles, if there is a second text."""

    @property
    def best(self) -> StudyStep | None:
        """The cheapest precision within the tolerance."""
        return next((step for step in reversed(self.history) if step.step.best), None)

    def record(self) -> dict[str, Any]:
        """The search as JSON; ``best`` and its values are null if no precision was within the tolerance."""
        best = self.best.record() if self.best else {}
        return {
            "model": self.model,
            "tolerance": self.tolerance,
            "objective": self.objective,
            "best": best.get("precision"),
            "numerics": vars(self.best.numerics) if self.best else None,
            "cost": best.get("cost"),
            "loss": best.get("loss"),
            "loss_standard_error": best.get("loss_standard_error"),
            "decision": best.get("decision"),
            "bops_saving": best.get("bops_saving"),
            "heldout": self.heldout and verdict_record(self.heldout),
            "second_heldout": self.second_heldout and verdict_record(self.second_heldout),
            "iterations": len(self.history),
            "history": [step.record() for step in self.history],
        }


@dataclass
class PrecisionSearch:
    """Searches of one model at one tolerance, with one prepared cost and one measured loss.

    A step whose test stays undecided counts by its measured loss; its record shows this. With a second text, the larger
    loss of the two counts.

    Parameters
    ----------
    decoder
        The model.
    texts
        Blocks on which the loss is measured.
    tolerance
        Largest relative increase of the perplexity to accept.
    objective
        Cost to minimise, see `prepare_cost`.
    numerics
        Numerics beside the mantissa bits; several are searched together.
    second
        Another text on which the loss must be within the tolerance, too.
    cache_dir
        Folder that keeps the evaluations, so that an interrupted search resumes.
    on_step
        Called with each step when it is finished.

    Raises
    ------
    InputError
        There are no numerics, or the objective is unknown.
    """

    decoder: Decoder | TorchDecoder
    texts: Texts
    tolerance: float
    objective: Objective = "bops"
    numerics: Sequence[Numerics] = (PUBLISHED,)
    second: Texts | None = None
    cache_dir: Path | None = None
    on_step: Callable[[StudyStep], None] | None = None
    cost: Cost = field(init=False)
    loss: MeasuredLoss = field(init=False)
    _verdicts: dict[Choice, Verdict] = field(default_factory=lambda: {}, init=False)

    def __post_init__(self) -> None:
        if not self.numerics:
            raise InputError("numerics: there are none; give at least one choice")
        self.cost = prepare_cost(self.objective, self.decoder.shape)
        self.loss = MeasuredLoss(self.decoder, self.texts, self.tolerance, self.second, self.cache_dir)

    def search(self, iterations: int = 32) -> PrecisionStudy:
        """Search with Algorithm 1, from the uniform precisions with each of the numerics.

        Parameters
        ----------
        iterations
            Largest number of evaluations for each of the numerics; their sum limits the search.
        """
        start = start_choices(self.numerics)
        return self._study(self._problem().best_first(start, Choice.neighbours, iterations * len(self.numerics)))

    def exhaustive(self, bits: Iterable[int]) -> PrecisionStudy:
        """Find the optimum among all precisions of these mantissa bits: every cheaper one is evaluated."""
        return self._study(self._problem().exhaustive(all_choices(self.numerics, bits)))

    def by_layer(
        self, start: StudyStep, blocks: int = 4, progress: Callable[[int, int], None] | None = None
    ) -> LayerStudy:
        """Find a precision for each layer, from the sensitivities around a precision of the whole model.

        Parameters
        ----------
        start
            Step to start from, such as the best of `search`; it is the result if nothing cheaper is within the
            tolerance.
        blocks
            Calibration blocks on which single changes are measured.
        progress
            Called with the number of changes measured, and of all changes.
        """
        numerics, base, shape = start.numerics, start.precision, self.decoder.shape
        measured = TextBlocks(self.texts.calibration.tokens[:blocks])
        single = measure_sensitivities(self.decoder, measured, base, numerics, self.cache_dir, progress)
        allocator = GreedyAllocator(base, single, shape.layers, lambda p: self.cost.layer(Choice(p, numerics)))
        cheaper = [own for own in allocator.allocations() if own.cost < start.step.cost]
        found, verdict = Allocation((base,) * shape.layers, start.step.cost, 0.0), start.verdict
        evaluated = 0
        for allocation in spread(cheaper, LAYER_CANDIDATES) if cheaper else []:
            own = self.loss.calibration(layered_activations(allocation.layers, numerics))
            evaluated += 1
            if own.loss.loss <= self.tolerance:
                found, verdict = allocation, own
                break
        return LayerStudy(
            layers=found.layers,
            cost=found.cost,
            bops_saving=saving(shape, found.layers),
            evaluated=evaluated,
            verdict=verdict,
            heldout=self.loss.heldout(layered_activations(found.layers, numerics)),
        )

    def _problem(self) -> SearchProblem[Choice]:
        on_step = self.on_step
        return SearchProblem(
            self.cost, self._measure, self.tolerance, on_step and (lambda step: on_step(self._finished(step)))
        )

    def _measure(self, choice: Choice) -> float:
        self._verdicts[choice] = self.loss.calibration(choice.activations())
        return self._verdicts[choice].loss.loss

    def _finished(self, step: SearchStep[Choice]) -> StudyStep:
        choice = step.candidate
        return StudyStep(step, self._verdicts[choice], saving(self.decoder.shape, [choice.precision]))

    def _study(self, result: SearchResult[Choice]) -> PrecisionStudy:
        heldout = second = None
        if result.best is not None:
            hook = result.best.candidate.activations()
            heldout = self.loss.test(hook, self.texts.heldout)
            second = self.second and self.loss.test(hook, self.second.heldout)
        return PrecisionStudy(
            model=self.decoder.shape.name,
            tolerance=self.tolerance,
            history=[self._finished(step) for step in result.history],
            heldout=heldout,
            objective=self.objective,
            second_heldout=second,
        )
