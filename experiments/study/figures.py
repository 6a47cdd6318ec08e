"""Figures of the studies, drawn from their frames."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from ...formats import InputError
from ...formats.checks import check_choice
from ...sim.output.palette import BLACK, GREEN, GREY, ORANGE, SKY, VERMILION
from ..report.figures import MODULE_STYLES, Style

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STYLES = [
    Style(BLACK, "o", "-"),
    Style(VERMILION, "^", "-."),
    Style(SKY, "D", ":"),
    Style(ORANGE, "s", "--"),
    Style(GREEN, "v", "-"),
    Style(GREY, "P", "--"),
]
"""Series styles; markers and line types differ, so that they can be distinguished in greyscale."""
TICKS = (-10, -1, -0.5, 0, 0.5, 1, 10, 100, 1000, 10000)


def study_figure(name: str, frame: pd.DataFrame) -> Figure:
    """Figure of a study's frame, `StudyResult.frame`.

    Raises
    ------
    InputError
        The study is unknown, or the frame is empty.
    """
    check_choice("study", name, _FIGURES)
    if frame.empty:
        raise InputError("frame: it is empty; run the study first")
    return _FIGURES[name](frame)


def _fig5(frame: pd.DataFrame) -> Figure:
    figure = _figure(frame["model"].nunique())
    for axes, part in _panels(figure, frame):
        for style, (size, points) in zip(STYLES, part.groupby("group_size"), strict=False):
            _line(axes, points, style, f"groups of {size}")
    return _finish(figure, "mantissa bits of all modules")


def _fig6(frame: pd.DataFrame) -> Figure:
    figure = _figure(1)
    axes = figure.subplots()
    for style, (model, points) in zip(STYLES, frame.groupby("model", sort=False), strict=False):
        _line(axes, points, style, str(model))
    return _finish(figure, "mantissa bits of all modules")


def _fig7(frame: pd.DataFrame) -> Figure:
    figure = _figure(frame["model"].nunique())
    for axes, part in _panels(figure, frame):
        for module, points in part.groupby("module", sort=False):
            _line(axes, points, MODULE_STYLES[str(module)], f"only {module}")
    return _finish(figure, "mantissa bits of one module, the others FP16")


def _table2(frame: pd.DataFrame) -> Figure:
    figure = _figure(frame["model"].nunique())
    for axes, part in _panels(figure, frame):
        labels = [_method_label(row) for row in part.to_dict("records")]
        axes.errorbar(
            range(len(part)), part["loss_percent"], yerr=part["interval_95_percent"],
            color=BLACK, marker="o", linestyle="", capsize=4,
        )  # fmt: skip
        axes.set_xticks(range(len(part)), labels, rotation=45, ha="right", fontsize=8)
    return _finish(figure, None)


def _arithmetic(frame: pd.DataFrame) -> Figure:
    figure = _figure(frame["model"].nunique())
    for axes, part in _panels(figure, frame):
        for style, (sums, points) in zip(STYLES, part.groupby("sums", sort=False), strict=False):
            _line(axes, points, style, f"{sums} sums")
    return _finish(figure, "mantissa bits of all modules")


def _position(frame: pd.DataFrame) -> Figure:
    figure = _figure(frame["model"].nunique())
    for axes, part in _panels(figure, frame):
        for style, (bits, points) in zip(STYLES, part.groupby("mantissa_bits"), strict=False):
            places = (points["first_position"] * points["end_position"]) ** 0.5
            axes.errorbar(
                places, points["loss_percent"], yerr=points["interval_95_percent"],
                color=style.color, marker=style.marker, linestyle=style.line, markersize=4, linewidth=1.2, capsize=3, label=f"M = {bits}",
            )  # fmt: skip
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_formatter("{x:g}")
        axes.axhline(0, color=GREY, linewidth=0.8)
        axes.axhline(1, color=GREY, linewidth=0.8, linestyle=(0, (4, 4)))
        axes.set_xlabel("position of the token in its block")
        axes.legend(frameon=False, fontsize=8)
    figure.axes[0].set_ylabel("perplexity loss against FP16 activations, percent")
    return figure


def _method_label(row: Mapping[Hashable, Any]) -> str:
    precision = row["precision"]
    bits = precision if isinstance(precision, str) else ""
    return f"{row['method']} {bits}\n{row['bops_saving']:.2f} times fewer BOPs"


def _figure(panels: int) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(6.2 * panels, 4.6), layout="constrained")


def _panels(figure: Figure, frame: pd.DataFrame) -> Iterator[tuple[Axes, pd.DataFrame]]:
    """One panel for each model, and the rows of that model."""
    models = list(frame["model"].unique())
    panels = figure.subplots(1, len(models), sharey=True, squeeze=False)[0]
    for axes, model in zip(panels, models, strict=True):
        axes.set_title(model)
        yield axes, frame[frame["model"] == model]


def _line(axes: Axes, points: pd.DataFrame, style: Style, label: str) -> None:
    axes.errorbar(
        points["mantissa_bits"], points["loss_percent"], yerr=points["interval_95_percent"],
        color=style.color, marker=style.marker, linestyle=style.line, markersize=4, linewidth=1.2, capsize=3, label=label,
    )  # fmt: skip


def _finish(figure: Figure, xlabel: str | None) -> Figure:
    from matplotlib.ticker import MaxNLocator

    for axes in figure.axes:
        axes.set_yscale("symlog", linthresh=1)
        low, high = axes.get_ylim()
        low, high = max(min(low, -0.2), -10), max(high, 2)
        axes.set_yticks(TICKS, [f"{tick:g}" for tick in TICKS])
        axes.minorticks_off()
        axes.set_ylim(low, high)
        axes.axhline(0, color=GREY, linewidth=0.8)
        axes.axhline(1, color=GREY, linewidth=0.8, linestyle=(0, (4, 4)))
        if xlabel:
            axes.set_xlabel(xlabel)
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            axes.legend(frameon=False, fontsize=8)
    figure.axes[0].set_ylabel("perplexity loss against FP16 activations, percent")
    return figure


_FIGURES: dict[str, Callable[[pd.DataFrame], Figure]] = {
    "fig5": _fig5,
    "fig6": _fig6,
    "fig7": _fig7,
    "table2": _table2,
    "arithmetic": _arithmetic,
    "position": _position,
}
