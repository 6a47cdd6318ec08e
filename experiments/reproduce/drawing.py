"""Plots of published and own values: published ones light and hatched, own ones solid, so that greyscale is enough."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Any

from ...sim.output.palette import BLACK, GREEN, GREY, LIGHT, ORANGE, SKY, VERMILION
from ..report.figures import UNDATED, plot_style, save_figure
from .figures.comparison import Comparison, FigureResult, Value

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SERIES = tuple(
    zip((BLACK, ORANGE, SKY, GREEN, VERMILION, GREY), "os^Dv*", ("-", "--", "-.", ":", "-", "--"), strict=True)
)
PARTS = {"compute (%)": BLACK, "SRAM (%)": SKY, "DRAM (%)": LIGHT}
HATCHES = {"compute (%)": "", "SRAM (%)": "///", "DRAM (%)": "..."}
BAR_STYLES: dict[str, dict[str, Any]] = {
    "published": {"facecolor": LIGHT, "hatch": "///"},
    "ours": {"facecolor": SKY, "hatch": ""},
}
SIDES: dict[str, Callable[[Comparison], Value | None]] = {
    "published": lambda c: c.published,
    "ours": lambda c: c.ours,
}
BARS_LEAST = 7
"""Minimum number of bar slots, so that a single bar is not as wide as the plot."""
FEW, WRAP = 4, 16
"""Most bars of panels that stand side by side, and characters in a line of their labels."""
PANELS_LIMIT = 6
"""Most panels of a plot; if there are more, those without own values are left out."""


def comparison_figure(result: FigureResult) -> Figure:
    """Plot of a comparison."""
    with plot_style():
        return DRAWINGS[result.drawing](result)


def save_comparison_figure(result: FigureResult, folder: Path, suffixes: Sequence[str] = tuple(UNDATED)) -> list[Path]:
    """Draw a comparison into ``folder/NAME.png``, ``.svg`` and ``.pdf``."""
    return save_figure(comparison_figure(result), folder / result.name, 130, suffixes)


def height(value: Value | None) -> float | None:
    """Height of a value: a number itself, or the mean mantissa bits of a precision."""
    if not isinstance(value, str):
        return value
    bits = [int(b) for b in (value.split(",") if "," in value else re.sub(r"\D", "", value))]
    return sum(bits) / len(bits) if len(bits) == 4 else None


def draw_bars(result: FigureResult) -> Figure:
    """Draw a row of bars for each panel: published and ours, with the deviation above."""
    from matplotlib.patches import Patch

    panels = _panels(result.comparisons)
    if len(panels) > PANELS_LIMIT:
        panels = {title: values for title, values in panels.items() if any(c.ours is not None for c in values)}
    columns = 2 if len(panels) > 1 and max(map(len, panels.values())) <= FEW else 1
    rows = -(-len(panels) // columns)
    figure = _figure(9.0, 2.5 * rows)
    places = figure.subplots(rows, columns, squeeze=False).flat
    for (title, values), axes in zip(panels.items(), places, strict=False):
        _paired_bars(axes, values, room=FEW if columns == 2 else BARS_LEAST)
        texts = any(isinstance(value, str) for c in values for value in (c.published, c.ours))
        axes.set_title(f"{title}: mean mantissa bits" if texts else title, fontsize=10, loc="left")
    for axes in places:  # those that are left
        axes.set_axis_off()
    handles = [Patch(label=label, edgecolor=BLACK, **style) for label, style in BAR_STYLES.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=2, frameon=False)
    return figure


def _paired_bars(axes: Axes, values: Sequence[Comparison], room: int) -> None:
    both = {label: any(height(pick(c)) is not None for c in values) for label, pick in SIDES.items()}
    for side, (label, pick) in zip((-0.2, 0.2), SIDES.items(), strict=True):
        shift = side if all(both.values()) else 0.0
        drawn = [(i + shift, h, c.error) for i, c in enumerate(values) if (h := height(pick(c))) is not None]
        places, heights = [place for place, _, _ in drawn], [h for _, h, _ in drawn]
        axes.bar(places, heights, 0.4, edgecolor=BLACK, linewidth=0.6, **BAR_STYLES[label])
        for place, h, error in drawn:
            if label == "ours" and error is not None:
                axes.errorbar([place], [h], yerr=[error], color=BLACK, capsize=3, linewidth=0.9)
    for index, c in enumerate(values):
        tops = [h for h in (height(c.published), height(c.ours)) if h is not None]
        if c.deviation is not None and tops:
            axes.annotate(
                f"{100 * c.deviation:+.1f} %", (index, max(tops)), ha="center", va="bottom", fontsize=7,
                xytext=(0, 1), textcoords="offset points",
            )  # fmt: skip
    axes.margins(y=0.15)
    axes.set_xlim(-0.6, max(len(values), room) - 0.4)
    if room == FEW:
        axes.set_xticks(range(len(values)), [fill(c.label, WRAP) for c in values], fontsize=8)
    else:
        axes.set_xticks(range(len(values)), [c.label for c in values], rotation=30, ha="right", fontsize=8)


def draw_lines(result: FigureResult) -> Figure:
    """Draw a line for each panel over `Comparison.x`; published points are open circles."""
    figure = _figure(8.0, 4.6)
    axes = figure.subplots()
    for index, (title, values) in enumerate(_panels([c for c in result.comparisons if c.x is not None]).items()):
        color, marker, line = SERIES[index % len(SERIES)]
        ours = [(c.x or 0.0, h, c.error or 0.0) for c in values if (h := height(c.ours)) is not None]
        x, y, error = zip(*ours, strict=True)
        axes.errorbar(
            x, y, yerr=error if any(error) else None, color=color, marker=marker, linestyle=line, capsize=3,
            markersize=5, linewidth=1.1, label=title, fillstyle="full" if index < len(SERIES) else "none",
        )  # fmt: skip
        printed = [(c.x or 0.0, h) for c in values if (h := height(c.published)) is not None]
        if printed:
            axes.plot(
                *zip(*printed, strict=True),
                "o",
                markersize=11,
                fillstyle="none",
                color=GREY,
                label=f"{title}, published",
            )
    _line_axes(axes, result)
    return figure


def _line_axes(axes: Axes, result: FigureResult) -> None:
    from matplotlib.ticker import MaxNLocator

    losses = any("loss" in c.label for c in result.comparisons)
    if losses:
        axes.set_yscale("symlog", linthresh=1.0)
        axes.axhline(0, color=GREY, linewidth=0.8)
        axes.axhline(1, color=GREY, linewidth=0.8, linestyle=(0, (4, 4)))
        axes.set_ylabel("perplexity loss (%), dashed: 1 %")
    elif result.axis == "tokens":
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_formatter("{x:g}")
        axes.axhline(90, color=GREY, linewidth=0.8, linestyle=(0, (4, 4)))
        axes.set_ylabel("share of MACs (%), dashed: published bound below 4K")
    else:
        axes.set_ylabel("mean mantissa bits")
    if result.axis != "tokens":
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel(result.axis)
    axes.legend(frameon=False, fontsize=8)


def draw_stacks(result: FigureResult) -> Figure:
    """Draw energy by place: a published stack and one of ours for each design."""
    figure = _figure(9.0, 4.6)
    axes = figure.subplots()
    designs = list(dict.fromkeys(c.label for c in result.comparisons))
    found = {(c.panel, c.label): c for c in result.comparisons}
    for shift, pick in ((-0.2, lambda c: c.published), (0.2, lambda c: c.ours)):
        bottom = [0.0] * len(designs)
        for part, color in PARTS.items():
            values = [height(pick(found[part, design])) or 0.0 for design in designs]
            places = [i + shift for i in range(len(designs))]
            axes.bar(
                places, values, 0.36, bottom, color=color, hatch=HATCHES[part], edgecolor=GREY, linewidth=0.6,
                label=part.removesuffix(" (%)") if shift > 0 else None,
            )  # fmt: skip
            bottom = [b + v for b, v in zip(bottom, values, strict=True)]
        for place, top in enumerate(bottom):
            axes.text(place + shift, top + 1, f"{top:.0f}", ha="center", fontsize=8)
    axes.set_xticks(range(len(designs)), [f"{design}\npublished | ours" for design in designs], fontsize=7)
    axes.set_ylabel("energy, percent of FP-FP")
    axes.legend(frameon=False)
    return figure


def draw_lengths(result: FigureResult) -> Figure:
    """Draw mantissa lengths of formats: open circles are published, dots are ours."""
    figure = _figure(8.0, 4.2)
    axes = figure.subplots()
    for index, c in enumerate(result.comparisons):
        for value, style, size in ((c.published, "o", 10), (c.ours, ".", 9)):
            lengths = _lengths(value)
            fill = "none" if style == "o" else "full"
            label = ("published" if style == "o" else "ours") if index == 0 else None
            axes.plot(lengths, [index] * len(lengths), style, markersize=size, fillstyle=fill, color=BLACK, label=label)
    axes.set_yticks(range(len(result.comparisons)), [c.label for c in result.comparisons])
    axes.invert_yaxis()
    axes.set_xlabel("mantissa bits")
    axes.legend(frameon=False)
    return figure


def _lengths(value: Value | None) -> list[int]:
    if value is None:
        return []
    first, dots, last = str(value).partition("..")
    return list(range(int(first), int(last) + 1)) if dots else [int(part) for part in first.split("/")]


def _panels(comparisons: Sequence[Comparison]) -> dict[str, list[Comparison]]:
    """Comparisons with a number to draw, by panel; panels without any are left out."""
    panels: dict[str, list[Comparison]] = {}
    for c in comparisons:
        if height(c.published) is not None or height(c.ours) is not None:
            panels.setdefault(c.panel, []).append(c)
    return panels


def _figure(width: float, height: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


DRAWINGS: dict[str, Callable[[FigureResult], Figure]] = {
    "bars": draw_bars,
    "lines": draw_lines,
    "stacks": draw_stacks,
    "lengths": draw_lengths,
}
