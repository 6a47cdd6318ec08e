"""Figures of the report, drawn from its table.

Every series has its own marker or hatch as well as its own colour, so that the figures can be read in greyscale.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ...sim.output.palette import BLACK, BLUE, GREEN, GREY, LIGHT, ORANGE, PURPLE, SKY, VERMILION

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TOLERANCE_PERCENT = 1.0
DARK_GREEN = "#00664b"
"""Colour of small text: that of `GREEN` points, with more contrast."""
SAME_LOSS = 0.15
"""Difference of two losses in percent below which their machines share a label."""


class Style(NamedTuple):
    """Colour, marker and line type of a series."""

    color: str
    marker: str
    line: str


MODULE_STYLES = {
    "qkv": Style(BLACK, "o", "-"),
    "o": Style(ORANGE, "s", "--"),
    "u": Style(VERMILION, "^", "-."),
    "d": Style(SKY, "D", ":"),
}

FORMAT_STYLES = tuple(
    Style(color, marker, "") for color, marker in zip((BLUE, ORANGE, PURPLE, SKY), "^sv<", strict=True)
)
"""Styles of further formats, in the order in which they are used."""

ENERGY_PARTS = {
    "compute_pj": ("compute", BLACK, ""),
    "sram_pj": ("SRAM", SKY, "///"),
    "dram_pj": ("DRAM", LIGHT, "..."),
}


def loss_figure(frame: pd.DataFrame) -> Figure:
    """Perplexity loss against the mantissa width of all modules, with 95 % t intervals."""
    figure = _figure(7.0, 4.2)
    axes = figure.subplots()
    uniform = frame[frame["kind"] == "uniform"].sort_values("mantissa_bits_qkv")
    axes.errorbar(
        uniform["mantissa_bits_qkv"].astype(int),
        uniform["loss_percent"],
        yerr=uniform["interval_95_percent"],
        color=BLACK, marker="o", markersize=5, capsize=4, linewidth=1.2, label="all four modules at M bits",
    )  # fmt: skip
    _loss_axis(axes)
    axes.set_xticks(range(int(uniform["mantissa_bits_qkv"].min()), int(uniform["mantissa_bits_qkv"].max()) + 1))
    axes.set_xlabel("mantissa bits M of every activation")
    axes.legend(frameon=False)
    return figure


def sensitivity_figure(frame: pd.DataFrame) -> Figure:
    """Perplexity loss when one module has few mantissa bits: shows which module needs them."""
    figure = _figure(7.0, 4.2)
    axes = figure.subplots()
    single = frame[frame["kind"] == "one module"].copy()
    for (module, style), shift in zip(MODULE_STYLES.items(), (-0.09, -0.03, 0.03, 0.09), strict=True):
        points = single[single["module"] == module]
        bits = points[f"mantissa_bits_{module}"].astype(int)
        order = bits.argsort()
        axes.errorbar(
            bits.iloc[order] + shift,
            points["loss_percent"].iloc[order],
            yerr=points["interval_95_percent"].iloc[order],
            color=style.color, marker=style.marker, linestyle=style.line, capsize=4, linewidth=1.4, label=f"only {module}",
        )  # fmt: skip
    _loss_axis(axes)
    axes.set_xticks(sorted(set(single[[f"mantissa_bits_{m}" for m in MODULE_STYLES]].min(axis=1).astype(int))))
    axes.set_xlabel("mantissa bits of the one module (the others at 16)")
    axes.legend(frameon=False)
    return figure


def tradeoff_figure(frame: pd.DataFrame) -> Figure:
    """Perplexity loss against cycles and against energy, both relative to FP-FP."""
    figure = _figure(9.5, 4.4)
    left, right = figure.subplots(1, 2, sharey=True)
    measured = frame[frame["loss_percent"].notna()]
    baseline = frame[frame["kind"] == "baseline"].iloc[0]
    kinds = measured["kind"]
    series = [
        (measured[kinds == "uniform"], Style(BLACK, "o", "-"), "all modules alike"),
        (measured[kinds == "mixed"], Style(VERMILION, "D", ""), "mixed"),
    ]
    formats = measured[kinds == "format"]
    series += [
        (formats[formats["label"] == label], style, label)
        for label, style in zip(formats["label"], itertools.cycle(FORMAT_STYLES), strict=False)
    ]
    annotated = measured[kinds.isin(("uniform", "mixed"))]
    for axes, column, title in ((left, "cycles", "cycles"), (right, "energy_pj", "energy")):
        for rows, style, label in series:
            points = rows.sort_values(column)
            axes.errorbar(
                100 * points[column] / baseline[column],
                points["loss_percent"],
                yerr=points["interval_95_percent"],
                color=style.color, marker=style.marker, linestyle=style.line, markersize=5, linewidth=0.8, capsize=2, label=label,
            )  # fmt: skip
        _annotate(axes, annotated, column, baseline[column])
        _draw_machines(axes, measured[kinds.isin(("baseline", "architecture"))], column, baseline[column])
        _loss_axis(axes)
        axes.set_xscale("log")
        ticks = (10, 15, 20, 30, 40, 60, 80, 100)
        lowest = 100 * measured.loc[measured["kind"] != "one module", column].min() / baseline[column]
        axes.set_xticks([tick for tick in ticks if tick > lowest * 0.8], minor=False)
        axes.set_xticks([], minor=True)
        axes.xaxis.set_major_formatter("{x:g}")
        axes.set_xlabel(f"{title}, percent of FP-FP")
    right.set_ylabel("")
    left.legend(frameon=False)
    return figure


def _draw_machines(axes: Axes, machines: pd.DataFrame, column: str, baseline: float) -> None:
    """Draw the machines of fixed width, each with its name; machines at the same place share one label."""
    axes.errorbar(
        100 * machines[column] / baseline,
        machines["loss_percent"],
        yerr=machines["interval_95_percent"],
        color=GREEN, marker="*", markersize=9, linestyle="", linewidth=0.8, capsize=2, label="machines of fixed width",
    )  # fmt: skip
    places: dict[tuple[float, float], list[str]] = {}
    for row in machines.to_dict("records"):
        x, y = 100 * row[column] / baseline, row["loss_percent"]
        near = next((place for place in places if abs(place[0] - x) < 4 and abs(place[1] - y) < SAME_LOSS), (x, y))
        places.setdefault(near, []).append(row["label"])
    for place, names in places.items():
        offset, anchor = ((7, 2), "left") if place[0] < 50 else ((0, 7), "center")
        names_text = "\n".join(names)
        axes.annotate(
            names_text, place, textcoords="offset points", xytext=offset, ha=anchor, fontsize=7, color=DARK_GREEN
        )


def energy_figure(frame: pd.DataFrame) -> Figure:
    """Energy of compute, SRAM and DRAM: one stacked bar for each architecture, precision of Anda and further format."""
    figure = _figure(9.5, 4.4)
    axes = figure.subplots()
    bars = frame[frame["kind"].isin(("baseline", "architecture", "uniform", "mixed", "format"))]
    total = frame.loc[frame["kind"] == "baseline", "energy_pj"].iloc[0]
    names = [
        f"Anda\n{label}" if kind in ("uniform", "mixed") else label.replace(" ", "\n", 1)
        for kind, label in zip(bars["kind"], bars["label"], strict=True)
    ]
    bottom = 0 * bars["energy_pj"]
    for column, (label, color, hatch) in ENERGY_PARTS.items():
        share = 100 * bars[column] / total
        axes.bar(names, share, bottom=bottom, color=color, edgecolor=GREY, hatch=hatch, linewidth=0.6, label=label)
        bottom = bottom + share
    for x, height in enumerate(bottom):
        axes.text(x, height + 1, f"{height:.0f}", ha="center", va="bottom", fontsize=8)
    axes.set_ylabel("energy, percent of FP-FP")
    axes.set_xticks(range(len(names)), names, rotation=45, ha="right", rotation_mode="anchor")
    axes.legend(frameon=False)
    return figure


FIGURES: dict[str, Callable[[Any], Any]] = {
    "loss": loss_figure,
    "sensitivity": sensitivity_figure,
    "tradeoff": tradeoff_figure,
    "energy": energy_figure,
}


def save_figures(frame: pd.DataFrame, folder: Path) -> list[Path]:
    """Write every figure into `folder` as PNG, SVG and PDF; the same table gives the same bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    with plot_style():
        return [path for name, draw in FIGURES.items() for path in save_figure(draw(frame), folder / name)]


UNDATED = {".png": {"Software": None}, ".svg": {"Date": None}, ".pdf": {"CreationDate": None}}
"""Metadata of each kind of picture, without what differs from run to run."""


def save_figure(figure: Figure, stem: Path, dpi: int = 160, suffixes: Sequence[str] = tuple(UNDATED)) -> list[Path]:
    """Write a figure as PNG, SVG and PDF beside each other; the same figure gives the same bytes."""
    paths = [stem.with_name(stem.name + suffix) for suffix in suffixes]
    with plot_style():
        for path in paths:
            figure.savefig(path, dpi=dpi, metadata=UNDATED[path.suffix])
    return paths


@contextmanager
def plot_style() -> Generator[None]:
    """Matplotlib settings of all figures; the same data give the same bytes."""
    import matplotlib as mpl

    with mpl.rc_context(
        {
            "font.size": 10,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "svg.hashsalt": "anda",
            "hatch.linewidth": 0.6,
        }
    ):
        yield


def _figure(width: float, height: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def _loss_axis(axes: Axes) -> None:
    from matplotlib.ticker import FuncFormatter

    axes.set_yscale("symlog", linthresh=1.0, linscale=1.2)
    axes.set_yticks([-1, -0.5, 0, 0.5, 1, 10, 100, 1000])
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:+g}" if value else "0"))
    axes.set_ylabel("perplexity loss against FP16, percent")
    axes.axhline(0, color=GREY, linewidth=0.8)
    axes.axhline(TOLERANCE_PERCENT, color=GREY, linewidth=0.8, linestyle=(0, (4, 4)), label="1 % tolerance")


def _annotate(axes: Axes, points: pd.DataFrame, column: str, baseline: float) -> None:
    """Label uniform widths at the right of their point, or below it where the curve is flat; mixed tuples at the left."""
    for row in points.to_dict("records"):
        if row["kind"] == "mixed":
            place, anchor = (-6, -4), "right"
        else:
            place, anchor = ((4, 5), "left") if row["mantissa_bits_qkv"] < 10 else ((0, -13), "center")
        axes.annotate(
            row["label"].removeprefix("M = "),
            (100 * row[column] / baseline, row["loss_percent"]),
            textcoords="offset points",
            xytext=place,
            ha=anchor,
            fontsize=8,
        )
