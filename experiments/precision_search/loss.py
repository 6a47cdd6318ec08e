"""Measured loss of a precision: a sequential test against FP16 activations, on one text or two."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any

from ...workloads import LanguageModel, ScoredModel, TextBlocks, Verdict, sequential_test
from ...workloads.evaluation.scores import MEASURES, ScoreComparison, Scorer, Workers
from ...workloads.evaluation.statistics import Estimate
from ...workloads.inference.decoder import Hook


@dataclass(frozen=True)
class Texts:
    """Blocks of different articles: the search reads the first, and its result is tested on the second."""

    calibration: TextBlocks
    heldout: TextBlocks

    @classmethod
    def load(cls, decoder: LanguageModel, text: str = "wiki", tokens: int = 512, blocks: int = 64) -> Texts:
        """Load both splits of a text, at most this many blocks each, of this many tokens each."""
        return cls(*(decoder.blocks(text, split, tokens, blocks) for split in ("calibration", "heldout")))


@dataclass(frozen=True)
class MeasuredLoss:
    """Loss of activation hooks on a model.

    Parameters
    ----------
    decoder
        The model.
    texts
        Blocks on which the loss is measured.
    tolerance
        Loss against which the sequential test decides.
    second
        Another text. The larger loss of the two counts.
    cache_dir
        Folder that keeps the evaluations, so that an interrupted search resumes.
    measure
        Measure that the tolerance is set on, one of `MEASURES`.
    workers
        Other processes or machines that evaluate the blocks; None evaluates them here.
    """

    decoder: ScoredModel
    texts: Texts
    tolerance: float
    second: Texts | None = None
    cache_dir: Path | None = None
    measure: str = "loss"
    workers: Workers | None = None
    _scorer: Scorer = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_scorer", Scorer(self.decoder, self.cache_dir, workers=self.workers))

    def calibration(self, hook: Hook) -> Verdict:
        """Verdict on the calibration articles."""
        return self._larger(hook, self.texts.calibration, self.second and self.second.calibration)

    def heldout(self, hook: Hook) -> Verdict:
        """Verdict on the held-out articles."""
        return self._larger(hook, self.texts.heldout, self.second and self.second.heldout)

    def test(self, hook: Hook, blocks: TextBlocks) -> Verdict:
        """Verdict on these blocks alone; temperatures are fitted to calibration text."""
        return sequential_test(
            self.decoder,
            blocks,
            hook,
            self.tolerance,
            measure=self.measure,
            scorer=self._scorer,
            fitted_on=self.texts.calibration,
        )

    def _larger(self, hook: Hook, first: TextBlocks, second: TextBlocks | None) -> Verdict:
        """Verdict with the larger measure; the second text is read only if the first is within the tolerance."""
        verdict = self.test(hook, first)
        if second is None or not verdict.estimate.value <= self.tolerance:
            return verdict
        return max(verdict, self.test(hook, second), key=lambda own: own.estimate.value)


def verdict_record(verdict: Verdict) -> dict[str, Any]:
    """A verdict as JSON; a value that is not a number, or was not measured, is null."""
    record = {
        "loss": _number(verdict.loss.loss),
        "loss_standard_error": _number(verdict.loss.standard_error),
        "loss_interval_95": interval(verdict.loss.estimate),
        "decision": verdict.decision,
        "second_opinion": verdict.second_opinion,
        "accepted": verdict.accepted,
        "blocks": verdict.blocks,
        "warnings": list(verdict.warnings),
    }
    return record | measures_record(verdict.comparison)


def measures_record(comparison: ScoreComparison | None) -> dict[str, Any]:
    """The measures beside the loss as JSON; null if they were not measured."""
    if comparison is None:
        return dict.fromkeys((*MEASURE_KEYS, *(f"{key}_standard_error" for key in MEASURE_KEYS)))
    own = [comparison.estimate(measure) for measure in MEASURES[1:]]
    values = {key: _number(estimate.value) for key, estimate in zip(MEASURE_KEYS, own, strict=True)}
    errors = {
        f"{key}_standard_error": _number(estimate.standard_error)
        for key, estimate in zip(MEASURE_KEYS, own, strict=True)
    }
    return values | errors


MEASURE_KEYS = ("kl_nats", "top1_disagreement", "tempered_loss")
"""JSON keys of `MEASURES` without the loss."""


def interval(estimate: Estimate) -> list[float] | None:
    """Bounds of the 95 % t interval; None if there is none."""
    half = estimate.half_width()
    return None if not isfinite(half) else [estimate.value - half, estimate.value + half]


def _number(value: float) -> float | None:
    return value if isfinite(value) else None
