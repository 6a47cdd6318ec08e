"""The precision search on a real model: each step decided by a sequential test, the result checked on held-out text."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...formats import InputError
from ...workloads import Decoder, Precision, TextBlocks, TorchDecoder, Verdict, sequential_test
from ...workloads.inference.decoder import Hook
from .layer_search import Layers, allocations, layered_activations, measure_sensitivities, spread
from .search import SearchResult, SearchStep, best_first_search, exhaustive_search
from .search_space import PUBLISHED, Choice, Cost, Numerics, Objective, saving, start_choices

LAYER_CANDIDATES = 12
"""Allocations over the layers that are evaluated, the cheapest first."""


@dataclass(frozen=True)
class StudyStep:
    """One precision that the search visited."""

    step: SearchStep[Precision]
    verdict: Verdict
    """On the text where the loss is larger, if there are two."""
    bops_saving: float
    numerics: Numerics = PUBLISHED

    @property
    def precision(self) -> Precision:
        """Mantissa bits of the modules."""
        return self.step.candidate

    def record(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "precision": str(self.precision),
            **vars(self.numerics),
            "cost": self.step.cost,
            "loss": self.verdict.loss.loss,
            "loss_standard_error": self.verdict.loss.standard_error,
            "decision": self.verdict.decision,
            "blocks": self.verdict.blocks,
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
    """Allocations that were evaluated whole."""
    verdict: Verdict
    heldout: Verdict

    def record(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "layers": [str(precision) for precision in self.layers],
            "cost": self.cost,
            "bops_saving": self.bops_saving,
            "evaluated": self.evaluated,
            **_verdict_record(self.verdict),
            "heldout": _verdict_record(self.heldout),
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
        """As JSON; ``best`` and what belongs to it are null if no precision was within the tolerance."""
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
            "heldout": None if self.heldout is None else _verdict_record(self.heldout),
            "second_heldout": None if self.second_heldout is None else _verdict_record(self.second_heldout),
            "iterations": len(self.history),
            "history": [step.record() for step in self.history],
        }


def _verdict_record(verdict: Verdict) -> dict[str, Any]:
    return {
        "loss": verdict.loss.loss,
        "loss_standard_error": verdict.loss.standard_error,
        "decision": verdict.decision,
        "blocks": verdict.blocks,
    }


@dataclass(frozen=True)
class Texts:
    """Blocks of different articles: a search reads the first, its result is tested on the second."""

    calibration: TextBlocks
    heldout: TextBlocks


@dataclass
class PrecisionSearch:
    """Searches of one model at one tolerance, which share what they evaluate.

    A step whose test stays undecided counts by its measured loss; its record says so. With a second text, the larger
    loss of the two counts.

    Args:
        decoder: the model.
        texts: what it reads.
        tolerance: the largest relative increase of the perplexity to accept.
        objective: what is minimised, see `Cost`.
        numerics: choices beside the mantissa bits; several of them are searched together.
        second: another text, on which the loss must be within the tolerance too.
        cache_dir: keeps what is evaluated, so that a search resumes.
        on_step: called with each step when it is finished.
    """

    decoder: Decoder | TorchDecoder
    texts: Texts
    tolerance: float
    objective: Objective = "bops"
    numerics: Sequence[Numerics] = (PUBLISHED,)
    second: Texts | None = None
    cache_dir: Path | None = None
    on_step: Callable[[StudyStep], None] | None = None
    _verdicts: dict[Choice, Verdict] = field(default_factory=lambda: {}, init=False)

    def __post_init__(self) -> None:
        if not self.numerics:
            raise InputError("numerics: there are none; give at least one choice")
        self.cost = Cost(self.objective, self.decoder.shape)

    def search(self, iterations: int = 32) -> PrecisionStudy:
        """Algorithm 1, from the uniform precisions with each of the numerics.

        Args:
            iterations: the most evaluations for each of the numerics, in sum.
        """
        start, most = start_choices(self.numerics), iterations * len(self.numerics)
        result = best_first_search(start, Choice.neighbours, self._loss, self.cost, self.tolerance, most, self._report)
        return self._study(result)

    def exhaustive(self, bits: Iterable[int]) -> PrecisionStudy:
        """The optimum among all precisions of these mantissa bits: every cheaper one is evaluated."""
        widths = list(bits)
        choices = [
            Choice(Precision(*modules), own) for own in self.numerics for modules in itertools.product(widths, repeat=4)
        ]
        return self._study(exhaustive_search(choices, self._loss, self.cost, self.tolerance, self._report))

    def by_layer(
        self, start: StudyStep, blocks: int = 4, progress: Callable[[int, int], None] | None = None
    ) -> LayerStudy:
        """A precision for each layer, from the sensitivities around a precision of the whole model.

        Args:
            start: the step to start from, such as the best of `search`, which is the result if nothing is cheaper.
            blocks: calibration blocks on which single changes are measured.
            progress: called with the number of changes measured and of all.
        """
        numerics, base = start.numerics, start.precision
        measured = TextBlocks(self.texts.calibration.tokens[:blocks])
        single = measure_sensitivities(self.decoder, measured, base, numerics, self.cache_dir, progress)
        chain = [own for own in allocations(base, single, self.cost, numerics) if own.cost < start.step.cost]
        uniform = (base,) * self.decoder.shape.layers
        layers, cost, verdict = uniform, start.step.cost, start.verdict
        evaluated = 0
        for allocation in spread(chain, LAYER_CANDIDATES) if chain else []:
            own = self._test(layered_activations(allocation.layers, numerics), heldout=False)
            evaluated += 1
            if own.loss.loss <= self.tolerance:
                layers, cost, verdict = allocation.layers, allocation.cost, own
                break
        return LayerStudy(
            layers=layers,
            cost=cost,
            bops_saving=saving(self.decoder.shape, layers),
            evaluated=evaluated,
            verdict=verdict,
            heldout=self._test(layered_activations(layers, numerics), heldout=True),
        )

    def _study(self, result: SearchResult[Choice]) -> PrecisionStudy:
        best = result.best
        heldout = second = None
        if best is not None:
            hook = best.candidate.numerics.activations(best.candidate.precision)
            heldout = self._sequential(self.texts.heldout, hook)
            second = self.second and self._sequential(self.second.heldout, hook)
        history = [self._finish(step) for step in result.history]
        return PrecisionStudy(
            self.decoder.shape.name, self.tolerance, history, heldout, self.objective, second_heldout=second
        )

    def _loss(self, choice: Choice) -> float:
        self._verdicts[choice] = self._test(choice.numerics.activations(choice.precision), heldout=False)
        return self._verdicts[choice].loss.loss

    def _test(self, hook: Hook, heldout: bool) -> Verdict:
        """On both texts, the one with the larger loss; the second is read only if the first is within the tolerance."""
        verdict = self._sequential(self.texts.heldout if heldout else self.texts.calibration, hook)
        if self.second is None or verdict.loss.loss > self.tolerance:
            return verdict
        other = self._sequential(self.second.heldout if heldout else self.second.calibration, hook)
        return max(verdict, other, key=lambda own: own.loss.loss)

    def _sequential(self, blocks: TextBlocks, hook: Hook) -> Verdict:
        return sequential_test(self.decoder, blocks, hook, self.tolerance, cache_dir=self.cache_dir)

    def _report(self, step: SearchStep[Choice]) -> None:
        if self.on_step:
            self.on_step(self._finish(step))

    def _finish(self, step: SearchStep[Choice]) -> StudyStep:
        choice = step.candidate
        return StudyStep(
            SearchStep(choice.precision, step.cost, step.loss, step.best),
            self._verdicts[choice],
            saving(self.decoder.shape, [choice.precision]),
            choice.numerics,
        )


def study_precision(
    decoder: Decoder | TorchDecoder,
    calibration: TextBlocks,
    heldout: TextBlocks,
    tolerance: float,
    iterations: int = 32,
    cache_dir: Path | None = None,
    on_step: Callable[[StudyStep], None] | None = None,
) -> PrecisionStudy:
    """Algorithm 1 with BOPs as the cost, on the calibration blocks; its best precision tested on the held-out ones.

    Args:
        decoder: the model.
        calibration, heldout: blocks of different articles.
        tolerance: the largest relative increase of the perplexity to accept.
        iterations: the most precisions to evaluate.
        cache_dir: keeps what is evaluated, so that a search resumes.
        on_step: called with each step when it is finished.

    Raises:
        InputError: the tolerance, the iterations or the blocks do not serve.
    """
    texts = Texts(calibration, heldout)
    return PrecisionSearch(decoder, texts, tolerance, cache_dir=cache_dir, on_step=on_step).search(iterations)
