"""The scoreboard: deviations of this program from the published values, figure by figure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import median
from typing import get_args

from ..report.document import Block, Bullets, Heading, Paragraph, Picture, TableBlock, to_markdown
from .figures.comparison import MEANINGS, Comparison, FigureResult, Kind, Value
from .figures.registry import figure_names

TITLE = "# Scoreboard: the paper's figures and tables"
INTRODUCTION = (
    "Published values of the Anda paper (arXiv 2411.15982) beside this program's. `anda reproduce all --out DIR "
    "--scoreboard docs/scoreboard.md` writes this page; each figure that evaluates a model says on how much text, which "
    "`--blocks` sets (`--backend torch` is faster)."
)
COLUMNS = ("quantity", "published", "ours", "deviation", "kind")


def scoreboard(results: Sequence[FigureResult], pictures: bool = False) -> str:
    """The scoreboard as Markdown; with `pictures`, plots are linked under ``figures/``."""
    return to_markdown(list(_blocks(results, pictures)))


def _blocks(results: Sequence[FigureResult], pictures: bool) -> Iterator[Block]:
    yield Heading(TITLE.removeprefix("# "), 1)
    yield Paragraph(INTRODUCTION)
    yield Bullets([f"{kind}: {meaning}." for kind, meaning in MEANINGS.items()])
    if missing := sorted(set(figure_names()) - {result.name for result in results}):
        yield Paragraph(
            f"Not on this page: {', '.join(missing)}, which evaluate a model and were left out of this run."
        )
    yield TableBlock(
        ("figure", "what", *get_args(Kind), "deviation, median", "deviation, largest", "time (s)"),
        [_summary_row(result) for result in results],
        "Values by kind; deviations of ours from published, where both are numbers; time when it was computed.",
        2,
    )
    for result in results:
        yield Heading(f"{result.name}: {result.title}")
        yield Bullets([*result.notes, *_missing(result)])
        if pictures:
            yield Picture(result.name, result.title, f"{result.title}: published and ours")
        rows = [comparison_row(c) for c in result.comparisons if c.kind != "unavailable"]
        if rows:
            yield TableBlock(COLUMNS, rows, f"{result.name}, computed in {result.seconds:.1f} s.")


def _summary_row(result: FigureResult) -> tuple[str, ...]:
    kinds = [sum(c.kind == kind for c in result.comparisons) for kind in get_args(Kind)]
    deviations = [d for c in result.comparisons if (d := c.deviation) is not None]
    sizes = [abs(d) for d in deviations]
    largest = max(deviations, key=abs, default=None)
    return (
        result.name,
        result.title,
        *map(str, kinds),
        f"{100 * median(sizes):.1f} %" if sizes else "",
        "" if largest is None else f"{100 * largest:+.1f} %",
        f"{result.seconds:.1f}",
    )


def _missing(result: FigureResult) -> list[str]:
    """Panels with published values that are not reproduced, as notes."""
    panels: dict[str, int] = {}
    for c in result.comparisons:
        if c.kind == "unavailable":
            panels[c.panel] = panels.get(c.panel, 0) + 1
    return [f"Not reproduced: {panel} ({count} published values)." for panel, count in panels.items()]


def comparison_row(comparison: Comparison) -> tuple[str, ...]:
    """A comparison as a row of texts."""
    error = "" if comparison.error is None else f" ± {comparison.error:.2g}"
    deviation = comparison.deviation
    return (
        comparison.quantity,
        value_text(comparison.published),
        value_text(comparison.ours) + error,
        "" if deviation is None else f"{100 * deviation:+.1f} %",
        comparison.kind,
    )


def value_text(value: Value | None) -> str:
    """A value as text; empty where there is none."""
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
