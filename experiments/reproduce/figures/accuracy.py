"""Figs. 5, 6, 7, 9, 14 and Table II: perplexity loss of formats and precisions on real models."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from ...inputs import evaluation_cache
from ...precision_search.loss import Texts
from ...precision_search.precision_study import PrecisionSearch, PrecisionStudy
from .comparison import Comparison, FigureResult
from .formats import fig9_replay, fig14_published, table2_published_perplexities, table2_savings
from .published import PrecisionSets, statements

if TYPE_CHECKING:
    import pandas as pd

TOLERANCES = {"0.1%": 0.001, "1%": 0.01}
ELSEWHERE = "The published models and data sets are not here; ours are {models} on Wikipedia text, {blocks} blocks of 512 tokens."


@dataclass(frozen=True)
class Evaluation:
    """Models, amount of text and backend of the accuracy figures."""

    models: Sequence[str]
    blocks: int
    backend: str = "numpy"

    @property
    def note(self) -> str:
        """Note on models and text, for the reader of a comparison."""
        return ELSEWHERE.format(models=", ".join(self.models), blocks=self.blocks)

    def study(self, name: str) -> pd.DataFrame:
        """Result of a sensitivity study, whose evaluations are cached."""
        from ...study.measure import study

        return study(name=name, model=self.models, blocks=self.blocks, backend=self.backend).frame


def fig5(evaluation: Evaluation) -> FigureResult:
    """Loss by group size and mantissa bits."""
    published = statements()["fig5"]["group_size"]
    comparisons = [Comparison("fig5", "group size", "the paper's choice", published, None, "unavailable")]
    for row in _rows(evaluation.study("fig5")):
        group = "per channel" if row["group_size"] is None else f"groups of {row['group_size']}"
        comparisons.append(_loss("fig5", f"{row['model']}, {group}", row))
    return _lines("fig5", "Loss by group size and mantissa bits", comparisons, evaluation)


def fig6(evaluation: Evaluation) -> FigureResult:
    """Loss of each model if all modules have M mantissa bits."""
    comparisons = [_loss("fig6", row["model"], row) for row in _rows(evaluation.study("fig6"))]
    return _lines("fig6", "Sensitivity of models", comparisons, evaluation)


def fig7(evaluation: Evaluation) -> FigureResult:
    """Loss if one module alone has short mantissas."""
    comparisons = [
        _loss("fig7", f"{row['model']}, only {row['module']}", row) for row in _rows(evaluation.study("fig7"))
    ]
    return _lines("fig7", "Sensitivity of modules", comparisons, evaluation)


def fig9(evaluation: Evaluation) -> FigureResult:
    """The order in which the search visits precisions: as published, and on our models."""
    comparisons = [*fig9_replay(), *(c for model in evaluation.models for c in _visits(model, evaluation))]
    notes = (
        "OPT-125M: our search, told the published outcome of each evaluation, whose perplexities are not printed.",
        evaluation.note,
    )
    return FigureResult("fig9", "Precision search at 1 %", tuple(comparisons), notes, drawing="lines", axis="visit")


def _visits(model: str, evaluation: Evaluation) -> Iterator[Comparison]:
    for number, step in enumerate(search(model, "1%", evaluation.blocks, evaluation.backend).history, 1):
        text = "".join(map(str, step.precision)) + "*" * step.step.best
        yield Comparison("fig9", model, f"visit {number}", None, text, "measured", x=number)


def fig14(evaluation: Evaluation, precisions: PrecisionSets) -> FigureResult:
    """Precision tuples that the search finds at both tolerances."""
    comparisons = list(fig14_published(precisions))
    for tolerance in TOLERANCES:
        for model in evaluation.models:
            best = search(model, tolerance, evaluation.blocks, evaluation.backend).best
            found = "none" if best is None else str(best.precision)
            comparisons.append(Comparison("fig14", f"precision at {tolerance}", model, None, found, "measured"))
    return FigureResult("fig14", "Precision by model and tolerance", tuple(comparisons), (evaluation.note,))


def table2(evaluation: Evaluation, precisions: PrecisionSets) -> FigureResult:
    """Perplexity and BOPs savings of formats."""
    measured = [
        Comparison(
            "table2",
            f"{row['model']} perplexity loss (%)",
            row["method"],
            None,
            float(row["loss_percent"]),
            "measured",
            error=_number(row["standard_error_percent"]),
        )
        for row in _rows(evaluation.study("table2"))
    ]
    comparisons = [*table2_savings(precisions), *measured, *table2_published_perplexities()]
    notes = (
        "BOPs savings: 16 over the mean mantissa length at the published tuples, weighted by multiply-accumulates.",
        evaluation.note,
    )
    return FigureResult("table2", "Perplexity and BOPs savings", tuple(comparisons), notes)


@cache
def search(model: str, tolerance: str, blocks: int, backend: str) -> PrecisionStudy:
    """Precision search on a model; the figures share its result."""
    from ....workloads import evaluator, load_decoder

    decoder = load_decoder(model)
    return PrecisionSearch(
        decoder=evaluator(decoder, backend),
        texts=Texts.load(decoder.tokenizer, blocks=blocks),
        tolerance=TOLERANCES[tolerance],
        cache_dir=evaluation_cache(),
    ).search()


def _lines(name: str, title: str, comparisons: list[Comparison], evaluation: Evaluation) -> FigureResult:
    notes = ("The paper draws this without numbers, on models that are not here.", evaluation.note)
    return FigureResult(name, title, tuple(comparisons), notes, drawing="lines", axis="mantissa bits")


def _loss(figure: str, panel: str, row: dict[str, Any]) -> Comparison:
    bits = int(row["mantissa_bits"])
    error = _number(row["standard_error_percent"])
    loss = float(row["loss_percent"])
    return Comparison(figure, panel, f"loss at M = {bits} (%)", None, loss, "measured", x=bits, error=error)


def _rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(name): value for name, value in row.items()} for row in frame.to_dict("records")]


def _number(value: Any) -> float | None:
    return None if value is None or value != value else float(value)
