"""Figs. 5, 6, 7, 9, 14 and Table II: perplexity loss of formats and precisions on real models."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

from ...inputs import evaluation_cache
from ...precision_search.loss import Texts
from ...precision_search.precision_study import PrecisionSearch, PrecisionStudy
from .comparison import Comparison, FigureResult
from .formats import fig9_replay, fig14_published, table2_published_perplexities, table2_savings
from .options import FigureOptions
from .published import statements

TOLERANCES = {"0.1%": 0.001, "1%": 0.01}
ELSEWHERE = "The published models and data sets are not here; ours are {models} on Wikipedia text, {blocks} blocks of 512 tokens."


def _note(options: FigureOptions) -> str:
    """Note on models and text, for the reader of a comparison."""
    return ELSEWHERE.format(models=", ".join(options.models), blocks=options.blocks)


def fig5(options: FigureOptions) -> FigureResult:
    """Loss by group size and mantissa bits."""
    published = statements()["fig5"]["group_size"]
    comparisons = [Comparison("fig5", "group size", "the paper's choice", published, None, "unavailable")]
    for row in _rows("fig5", options):
        group = "per channel" if row["group_size"] is None else f"groups of {row['group_size']}"
        comparisons.append(_loss("fig5", f"{row['model']}, {group}", row))
    return _lines("fig5", "Loss by group size and mantissa bits", comparisons, options)


def fig6(options: FigureOptions) -> FigureResult:
    """Loss of each model if all modules have M mantissa bits."""
    comparisons = [_loss("fig6", row["model"], row) for row in _rows("fig6", options)]
    return _lines("fig6", "Sensitivity of models", comparisons, options)


def fig7(options: FigureOptions) -> FigureResult:
    """Loss if one module alone has short mantissas."""
    comparisons = [_loss("fig7", f"{row['model']}, only {row['module']}", row) for row in _rows("fig7", options)]
    return _lines("fig7", "Sensitivity of modules", comparisons, options)


def fig9(options: FigureOptions) -> FigureResult:
    """The order in which the search visits precisions: as published, and on our models."""
    comparisons = [*fig9_replay(), *(c for model in options.models for c in _visits(model, options))]
    notes = (
        "OPT-125M: our search, told the published outcome of each evaluation, whose perplexities are not printed.",
        _note(options),
    )
    return FigureResult("fig9", "Precision search at 1 %", tuple(comparisons), notes, drawing="lines", axis="visit")


def _visits(model: str, options: FigureOptions) -> Iterator[Comparison]:
    for number, step in enumerate(search(model, "1%", options.blocks, options.backend).history, 1):
        text = "".join(map(str, step.precision)) + "*" * step.step.best
        yield Comparison("fig9", model, f"visit {number}", None, text, "measured", x=number)


def fig14(options: FigureOptions) -> FigureResult:
    """Precision tuples that the search finds at both tolerances."""
    comparisons = list(fig14_published(options.precisions))
    for tolerance in TOLERANCES:
        for model in options.models:
            best = search(model, tolerance, options.blocks, options.backend).best
            found = "none" if best is None else str(best.precision)
            comparisons.append(Comparison("fig14", f"precision at {tolerance}", model, None, found, "measured"))
    return FigureResult("fig14", "Precision by model and tolerance", tuple(comparisons), (_note(options),))


def table2(options: FigureOptions) -> FigureResult:
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
        for row in _rows("table2", options)
    ]
    comparisons = [*table2_savings(options.precisions), *measured, *table2_published_perplexities()]
    notes = (
        "BOPs savings: 16 over the mean mantissa length at the published tuples, weighted by multiply-accumulates.",
        _note(options),
    )
    return FigureResult("table2", "Perplexity and BOPs savings", tuple(comparisons), notes)


@cache
def search(model: str, tolerance: str, blocks: int, backend: str) -> PrecisionStudy:
    """Precision search on a model; the figures share its result."""
    from ....workloads import evaluator, load_decoder

    decoder = load_decoder(model)
    return PrecisionSearch(
        decoder=evaluator(decoder, backend),
        texts=Texts.load(decoder, blocks=blocks),
        tolerance=TOLERANCES[tolerance],
        cache_dir=evaluation_cache(),
        accept="measured",  # as published
    ).search()


def _lines(name: str, title: str, comparisons: list[Comparison], options: FigureOptions) -> FigureResult:
    notes = ("The paper draws this without numbers, on models that are not here.", _note(options))
    return FigureResult(name, title, tuple(comparisons), notes, drawing="lines", axis="mantissa bits")


def _loss(figure: str, panel: str, row: dict[str, Any]) -> Comparison:
    bits = int(row["mantissa_bits"])
    error = _number(row["standard_error_percent"])
    loss = float(row["loss_percent"])
    return Comparison(figure, panel, f"loss at M = {bits} (%)", None, loss, "measured", x=bits, error=error)


def _rows(name: str, options: FigureOptions) -> list[dict[str, Any]]:
    """Rows of a sensitivity study, whose evaluations are cached."""
    from ...study.measure import study

    frame = study(name=name, model=options.models, blocks=options.blocks, backend=options.backend).frame
    return [{str(name): value for name, value in row.items()} for row in frame.to_dict("records")]


def _number(value: Any) -> float | None:
    return None if value is None or value != value else float(value)
