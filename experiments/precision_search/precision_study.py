"""The precision search on a real model: each step decided by a sequential test, the result tested on held-out text."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...formats import InputError
from ...formats.checks import check_choice
from ...workloads import Precision, ScoredModel, TextBlocks, Verdict
from ...workloads.evaluation.scores import MEASURES, Workers
from ...workloads.evaluation.sequential import spread_order
from .cost import Cost, prepare_cost, saving
from .layer_search import Allocation, GreedyAllocator, Layers, layered_activations, measure_sensitivities, spread
from .loss import MEASURE_KEYS, MeasuredLoss, Texts, verdict_record
from .search import SearchProblem, SearchResult, SearchStep
from .search_space import PUBLISHED, Choice, Numerics, all_choices, start_choices

if TYPE_CHECKING:
    from ...sim.cost.objective import Objective

LAYER_CANDIDATES = 12
"""Largest number of allocations over the layers that are measured, the cheapest first."""
ACCEPTANCES = ("bound", "measured")
"""Rules by which a search accepts a step: the loss with its error, or, as published, the measured loss."""
STEP_CONFIDENCE = 0.8413
"""One-sided confidence of a step's bound: one standard error above the loss, for many blocks."""
HELDOUT_TESTS = 3
"""Most precisions that are tested on held-out text, the cheapest first: each further test is another chance to pass by luck."""


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
    """The best precision on the held-out articles; None if no precision was accepted, or all that were tested failed."""
    objective: Objective = "bops"
    second_heldout: Verdict | None = None
    """The same on the second text's held-out articles, if there is a second text."""
    rejected: tuple[tuple[StudyStep, Verdict], ...] = ()
    """Cheaper precisions that the search accepted and that failed on the held-out articles, with the failed test."""
    failed: bool = False
    """True if all precisions that were tested on the held-out articles failed."""
    waiting: int = 0
    """Cheaper candidates that were not visited because the iterations were used up."""
    tolerance_on: str = "loss"
    """Measure that the tolerance is set on."""

    @property
    def best(self) -> StudyStep | None:
        """The cheapest accepted precision that did not fail on the held-out articles; None if there is none."""
        accepted = [step for step in reversed(self.history) if step.step.best]
        return None if self.failed or not accepted else accepted[len(self.rejected)]

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
            **{key: best.get(key) for key in MEASURE_KEYS},
            "tolerance_on": self.tolerance_on,
            "heldout": self.heldout and verdict_record(self.heldout),
            "rejected_by_heldout": [
                {"precision": str(step.precision), **verdict_record(verdict)} for step, verdict in self.rejected
            ],
            "iterations_exhausted": self.waiting > 0,
            "waiting": self.waiting,
            "second_heldout": self.second_heldout and verdict_record(self.second_heldout),
            "iterations": len(self.history),
            "history": [step.record() for step in self.history],
        }


@dataclass
class PrecisionSearch:
    """Searches of one model at one tolerance, with one prepared cost and one measured loss.

    A step is accepted if its loss with one standard error is within the tolerance (Student's t, one-sided 84 %). The
    cheapest accepted precision is tested on held-out text by the same rule; if it fails, the next best is tested,
    `HELDOUT_TESTS` at most.
    With a second text, the larger loss of the two counts.

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
    tolerance_on
        Measure that the tolerance is set on, one of `MEASURES`.
    accept
        ``"bound"`` as above, or ``"measured"``: by the measured loss alone, as in the paper; half of the steps whose true
        loss is the tolerance are accepted then, and the held-out test is one of one precision.
    workers
        Other processes or machines that evaluate the blocks; None evaluates them here.

    Raises
    ------
    InputError
        There are no numerics, or the objective, measure or rule is unknown.
    """

    decoder: ScoredModel
    texts: Texts
    tolerance: float
    objective: Objective = "bops"
    numerics: Sequence[Numerics] = (PUBLISHED,)
    second: Texts | None = None
    cache_dir: Path | None = None
    on_step: Callable[[StudyStep], None] | None = None
    tolerance_on: str = "loss"
    accept: str = "bound"
    workers: Workers | None = None
    cost: Cost = field(init=False)
    loss: MeasuredLoss = field(init=False)
    _verdicts: dict[Choice, Verdict] = field(default_factory=lambda: {}, init=False)

    def __post_init__(self) -> None:
        if not self.numerics:
            raise InputError("numerics: there are none; give at least one choice")
        check_choice("accept", self.accept, ACCEPTANCES)
        check_choice("tolerance_on", self.tolerance_on, MEASURES)
        self.cost = prepare_cost(self.objective, self.decoder.shape)
        self.loss = MeasuredLoss(
            self.decoder, self.texts, self.tolerance, self.second, self.cache_dir, self.tolerance_on, self.workers
        )

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
        return self._study(self._problem().exhaustive(all_choices(self.numerics, bits)), tests=1)

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
        calibration = self.texts.calibration.tokens
        measured = TextBlocks(calibration[spread_order(len(calibration))[:blocks]])
        single = measure_sensitivities(self.decoder, measured, base, numerics, self.cache_dir, progress)
        allocator = GreedyAllocator(base, single, shape.layers, lambda p: self.cost.layer(Choice(p, numerics)))
        cheaper = [own for own in allocator.allocations() if own.cost < start.step.cost]
        found, verdict = Allocation((base,) * shape.layers, start.step.cost, 0.0), start.verdict
        evaluated = 0
        for allocation in spread(cheaper, LAYER_CANDIDATES) if cheaper else []:
            own = self.loss.calibration(layered_activations(allocation.layers, numerics))
            evaluated += 1
            if self.accepts(own):
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
            self.cost,
            self._measure,
            self.tolerance,
            lambda choice: self.accepts(self._verdicts[choice]),
            on_step and (lambda step: on_step(self._finished(step))),
        )

    def accepts(self, verdict: Verdict) -> bool:
        """True if a measured loss is within the tolerance, by the rule of the search."""
        estimate = verdict.estimate
        bound = estimate.upper_bound(STEP_CONFIDENCE) if self.accept == "bound" else estimate.value
        return bound <= self.tolerance

    def _measure(self, choice: Choice) -> float:
        self._verdicts[choice] = self.loss.calibration(choice.activations())
        return self._verdicts[choice].estimate.value

    def _finished(self, step: SearchStep[Choice]) -> StudyStep:
        choice = step.candidate
        return StudyStep(step, self._verdicts[choice], saving(self.decoder.shape, [choice.precision]))

    def _study(self, result: SearchResult[Choice], tests: int = HELDOUT_TESTS) -> PrecisionStudy:
        history = [self._finished(step) for step in result.history]
        accepted = [step for step in reversed(history) if step.step.best]
        rejected: list[tuple[StudyStep, Verdict]] = []
        heldout = second = None
        tests = 1 if self.accept == "measured" else tests
        for step in accepted[:tests]:
            hook = step.step.candidate.activations()
            heldout = self.loss.test(hook, self.texts.heldout)
            second = self.second and self.loss.test(hook, self.second.heldout)
            failed = next((own for own in (heldout, second) if own is not None and not self.accepts(own)), None)
            if tests == 1 or failed is None:
                break
            rejected.append((step, failed))
            heldout = second = None
        return PrecisionStudy(
            model=self.decoder.shape.name,
            tolerance=self.tolerance,
            history=history,
            heldout=heldout,
            objective=self.objective,
            second_heldout=second,
            rejected=tuple(rejected),
            failed=bool(rejected) and heldout is None,
            waiting=result.waiting,
            tolerance_on=self.tolerance_on,
        )
