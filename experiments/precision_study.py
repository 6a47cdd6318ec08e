"""The precision search on a real model: each step decided by a sequential test, the result checked on held-out text."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..formats import InputError
from ..workloads import AndaActivations, Decoder, Precision, TextBlocks, Verdict, bops, bops_saving, sequential_test
from .search import SearchResult, SearchStep, precision_search

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class StudyStep:
    """One precision that the search visited."""

    step: SearchStep
    verdict: Verdict
    bops_saving: float

    def record(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "precision": str(self.step.precision),
            "loss": self.verdict.loss.loss,
            "loss_standard_error": self.verdict.loss.standard_error,
            "decision": self.verdict.decision,
            "blocks": self.verdict.blocks,
            "bops_saving": self.bops_saving,
            "best": self.step.best,
        }


@dataclass(frozen=True)
class PrecisionStudy:
    """A finished search."""

    model: str
    tolerance: float
    history: list[StudyStep]
    heldout: Verdict | None
    """The best precision on the held-out articles; None if no precision was within the tolerance."""

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
            "best": best.get("precision"),
            "loss": best.get("loss"),
            "loss_standard_error": best.get("loss_standard_error"),
            "decision": best.get("decision"),
            "bops_saving": best.get("bops_saving"),
            "heldout": None if self.heldout is None else _heldout_record(self.heldout),
            "iterations": len(self.history),
            "history": [step.record() for step in self.history],
        }


def _heldout_record(verdict: Verdict) -> dict[str, Any]:
    return {
        "loss": verdict.loss.loss,
        "loss_standard_error": verdict.loss.standard_error,
        "decision": verdict.decision,
        "blocks": verdict.blocks,
    }


def study_precision(
    decoder: Decoder,
    calibration: TextBlocks,
    heldout: TextBlocks,
    tolerance: float,
    iterations: int = 32,
    cache_dir: Path | None = None,
    on_step: Callable[[StudyStep], None] | None = None,
) -> PrecisionStudy:
    """Search on the calibration blocks, then test the best precision on the held-out ones.

    A step whose test stays undecided counts by its measured loss; its record says so.

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
    shape = decoder.shape
    verdicts: dict[Precision, Verdict] = {}

    def test(precision: Precision, blocks: TextBlocks) -> Verdict:
        return sequential_test(decoder, blocks, AndaActivations(precision), tolerance, cache_dir=cache_dir)

    def evaluate(precision: Precision) -> float:
        verdicts[precision] = test(precision, calibration)
        return verdicts[precision].loss.loss

    def finish(step: SearchStep) -> StudyStep:
        return StudyStep(step, verdicts[step.precision], bops_saving(shape, step.precision))

    def report(step: SearchStep) -> None:
        if on_step:
            on_step(finish(step))

    result: SearchResult = precision_search(
        evaluate, lambda precision: bops(shape, precision), tolerance, iterations, report
    )
    best = result.best
    return PrecisionStudy(
        model=shape.name,
        tolerance=tolerance,
        history=[finish(step) for step in result.history],
        heldout=test(best.precision, heldout) if best else None,
    )


def search_figure(study: PrecisionStudy) -> Figure:
    """Loss and BOPs saving of each iteration, like Fig. 9 of the paper (arXiv 2411.15982).

    Raises:
        InputError: nothing was visited.
    """
    from matplotlib.figure import Figure

    if not study.history:
        raise InputError("history: is empty; search with at least one iteration")
    figure = Figure(figsize=(8, 5), layout="constrained")
    losses, savings = figure.subplots(2, 1, sharex=True)
    numbers = list(range(1, len(study.history) + 1))
    records = [step.record() for step in study.history]
    colors = ["#d55e00" if record["best"] else "#767676" for record in records]
    percent = [100 * record["loss"] for record in records]
    errors = [100 * record["loss_standard_error"] for record in records]
    losses.errorbar(numbers, percent, yerr=errors, color="#000000", marker="o", capsize=3, linewidth=1)
    losses.axhline(100 * study.tolerance, color="#767676", linestyle="--")
    losses.set_yscale("symlog", linthresh=1)
    losses.set_ylabel("perplexity loss (%)")
    savings.bar(numbers, [record["bops_saving"] for record in records], color=colors)
    savings.set_ylabel("BOPs saving")
    savings.set_xticks(numbers, [record["precision"] for record in records], rotation=60, fontsize="small")
    savings.set_xlabel("mantissa bits of qkv, o, u, d in the order of visits; a new best in colour")
    return figure
