"""The search as a figure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...formats import InputError
from ...sim.output.palette import BLACK, GREY, VERMILION
from .precision_study import PrecisionStudy

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def search_figure(study: PrecisionStudy) -> Figure:
    """Loss with its 95 % t interval and BOPs saving of each iteration, like Fig. 9 of the paper (arXiv 2411.15982).

    Raises
    ------
    InputError
        The search has no steps.
    """
    from matplotlib.figure import Figure

    if not study.history:
        raise InputError("history: is empty; search with at least one iteration")
    figure = Figure(figsize=(8, 5), layout="constrained")
    losses, savings = figure.subplots(2, 1, sharex=True)
    numbers = list(range(1, len(study.history) + 1))
    records = [step.record() for step in study.history]
    percent = [100 * step.verdict.loss.loss for step in study.history]
    errors = [100 * step.verdict.loss.estimate.half_width() for step in study.history]
    losses.errorbar(numbers, percent, yerr=errors, color=BLACK, marker="o", capsize=3, linewidth=1)
    losses.axhline(100 * study.tolerance, color=GREY, linestyle="--", label=f"tolerance, {100 * study.tolerance:g} %")
    losses.set_yscale("symlog", linthresh=1)
    losses.yaxis.set_major_formatter("{x:g}")
    losses.set_ylabel("perplexity loss (%)")
    losses.legend(frameon=False)
    for best, color, hatch in ((False, GREY, ""), (True, VERMILION, "//")):
        places = [number for number, record in zip(numbers, records, strict=True) if record["best"] == best]
        heights = [record["bops_saving"] for record in records if record["best"] == best]
        savings.bar(places, heights, color=color, hatch=hatch, edgecolor="white", label="a new best" if best else None)
    savings.set_ylabel("BOPs saving")
    savings.legend(frameon=False)
    several = len({step.numerics for step in study.history}) > 1
    labels = [f"{step.precision}\n{step.numerics}" if several else str(step.precision) for step in study.history]
    savings.set_xticks(numbers, labels, rotation=60, fontsize="small")
    savings.set_xlabel("mantissa bits of qkv, o, u, d in the order of visits")
    return figure
