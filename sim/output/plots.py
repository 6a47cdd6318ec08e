"""Plots of results: energy, cycles and roofline. Matplotlib is imported when a plot is drawn.

Markers and hatches differ as well as colours, so that figures can be read in greyscale.
"""

import itertools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ...workloads import Precision
from ..models.whole_model import ModelResult
from ..result import GemmRun, SimulationResult
from .palette import BLACK, COLORS, GREY, SKY, YELLOW

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.ticker import Formatter

Result = SimulationResult | ModelResult

PARTS = {"compute": (BLACK, ""), "SRAM": (SKY, "///"), "DRAM": (YELLOW, "..."), "background": (GREY, "xx")}
BAR_COLORS = (*COLORS[1:], YELLOW, BLACK, GREY)
MARKERS = {"o": 11, "s": 8, "^": 6, "D": 5, "v": 5}
"""Markers and their sizes, the largest first, so that GeMMs at the same point stay visible."""
OFFSET, SAME_PLACE = 1.25, 0.08
"""Factor by which a marker that would lie on that of another design is moved to the right, and the distance in logarithms below which it would."""
LINES = ("-", "--", "-.", ":")
NAMED_SHARE = 0.05
"""Least share of a bar at which a part is labelled."""


def overview_figure(results: Sequence[Result]) -> "Figure":
    """Energy, cycles and roofline of one or several results, side by side."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(15, 4.6), layout="constrained")
    energy, cycles, roofline = figure.subplots(1, 3)
    draw_energy(energy, results)
    draw_cycles(cycles, results)
    draw_roofline(roofline, results)
    return figure


def energy_figure(results: Sequence[Result]) -> "Figure":
    """Stacked bars of compute, SRAM and DRAM energy in joules, one bar for each result."""
    figure, axes = _figure()
    draw_energy(axes, results)
    return figure


def cycle_figure(results: Sequence[Result]) -> "Figure":
    """Stacked bars of the cycles of each part, one bar for each result; hatched where the array waits."""
    figure, axes = _figure()
    draw_cycles(axes, results)
    return figure


def roofline_figure(result: Result) -> "Figure":
    """The GeMMs of a result under the roof of its machine, both axes logarithmic."""
    figure, axes = _figure()
    draw_roofline(axes, [result])
    return figure


def draw_energy(axes: "Axes", results: Sequence[Result]) -> None:
    """Draw the bars of `energy_figure`."""
    names = _labels(results)
    bottom = [0.0] * len(results)
    for part, (color, hatch) in PARTS.items():
        joules = [getattr(result.energy_pj, part.lower()) / 1e12 for result in results]
        if not any(joules):
            continue
        axes.bar(names, joules, bottom=bottom, label=part, color=color, hatch=hatch, edgecolor="white", width=0.6)
        bottom = [below + value for below, value in zip(bottom, joules, strict=True)]
    axes.set_ylabel("energy [J]")
    _finish_bars(axes, len(results))


def draw_cycles(axes: "Axes", results: Sequence[Result]) -> None:
    """Draw the bars of `cycle_figure`."""
    names = list(dict.fromkeys(part for result in results for part, _, _ in _cycle_parts(result)))
    named: set[str] = set()
    for name, result in zip(_cycle_labels(results), results, strict=True):
        bottom = 0
        for part, working, waiting in _cycle_parts(result):
            color = BAR_COLORS[names.index(part) % len(BAR_COLORS)]
            label = None if part in named else part
            named.add(part)
            drawn = axes.bar(name, working, bottom=bottom, color=color, label=label, edgecolor="white", width=0.6)
            if waiting:
                axes.bar(name, waiting, bottom=bottom + working, color=color, hatch="//", edgecolor="white", width=0.6)
            if working >= NAMED_SHARE * result.cycles:
                axes.bar_label(drawn, [part], label_type="center", color=_readable_on(color), fontsize=8)
            bottom += working + waiting
    axes.yaxis.set_major_formatter(_prefixed())
    axes.set_ylabel("cycles (hatched: waiting)")
    axes.set_xlabel("last line: array cycles of a group of values; a narrower mantissa takes fewer", fontsize=8)
    _finish_bars(axes, len(results))


def draw_roofline(axes: "Axes", results: Sequence[Result]) -> None:
    """Draw `roofline_figure`; each of several results has its own roof."""
    from matplotlib.lines import Line2D
    from matplotlib.ticker import LogLocator, NullLocator

    points = [[roofline_point(run, r.machine.clock_hz) for run in _gemms(r).runs] for r in results]
    roofs = [roof(_gemms(result)) for result in results]
    ridges = [peak / bandwidth for bandwidth, peak in roofs]
    places = [*ridges, *(x for of_result in points for x, _ in of_result)]
    span, moved = [min(places) / 4, max(places) * 4], 0
    for index, result in enumerate(results):
        (bandwidth, peak), ridge, color = roofs[index], ridges[index], BAR_COLORS[index % len(BAR_COLORS)]
        xs = sorted([*span, ridge])
        label = result.architecture if len(results) > 1 else None
        heights = [min(peak, x * bandwidth) for x in xs]
        axes.loglog(xs, heights, color=color, linestyle=LINES[index % len(LINES)], label=label)
        markers = itertools.cycle(MARKERS.items())
        for number, ((marker, size), point) in enumerate(zip(markers, points[index], strict=False)):
            earlier = (of_result[number] for of_result in points[:index] if number < len(of_result))
            same = sum(_coincide(point, other) for other in earlier)
            moved += same
            axes.plot(point[0] * OFFSET**same, point[1], marker, color=color, markerfacecolor="white", markersize=size)
    if len(results) > 1:
        _name_roofs(axes, [result.architecture for result in results], [peak for _, peak in roofs], span[1])
    axes.xaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(_prefixed())
    note = "\n(markers that coincide are moved to the right)" if moved else ""
    axes.set_xlabel(f"multiply-accumulates per DRAM byte{note}")
    axes.set_ylabel("multiply-accumulates per second")
    axes.set_title(", ".join(dict.fromkeys(f"level {_gemms(result).level}" for result in results)))
    modules = [
        Line2D(
            [], [], color="black", marker=marker, markerfacecolor="white", markersize=size, linestyle="", label=module
        )
        for module, (marker, size) in zip(_all_modules(results), itertools.cycle(MARKERS.items()), strict=False)
    ]
    axes.legend(handles=[*axes.get_legend_handles_labels()[0], *modules], frameon=False, loc="lower right")


def _coincide(point: tuple[float, float], other: tuple[float, float]) -> bool:
    """True if two markers would lie on each other."""
    return all(abs(math.log(a / b)) < SAME_PLACE for a, b in zip(point, other, strict=True))


def _name_roofs(axes: "Axes", names: Sequence[str], peaks: Sequence[float], right: float) -> None:
    """Write the names of the designs on their roofs; designs with the same roof share a text."""
    shared: dict[float, list[str]] = {}
    for name, peak in zip(names, peaks, strict=True):
        shared.setdefault(float(f"{peak:.2g}"), []).append(name)
    for peak, group in shared.items():
        height = next(value for value in peaks if float(f"{value:.2g}") == peak)
        text = ", ".join(dict.fromkeys(group))
        axes.annotate(text, (right, height), xytext=(0, 3), textcoords="offset points", ha="right", fontsize=7)


def roofline_point(run: GemmRun, clock_hz: float) -> tuple[float, float]:
    """Multiply-accumulates per DRAM byte and per second of one GeMM."""
    return run.gemm.macs * 8 / run.traffic.dram_bits, run.gemm.macs * clock_hz / run.cycles


def roof(result: SimulationResult) -> tuple[float, float]:
    """DRAM bytes per second, and multiply-accumulates per second of the array in the run's fastest GeMM."""
    machine, clock_hz = result.machine, result.machine.clock_hz
    cycles = min(run.mapped.group_cycles for run in result.runs)
    macs_per_cycle = machine.array.elements * machine.group_size / cycles
    return result.costs.dram_bits_per_cycle / 8 * clock_hz, macs_per_cycle * clock_hz


def _gemms(result: Result) -> SimulationResult:
    return result.gemms if isinstance(result, ModelResult) else result


def _modules(result: Result) -> list[str]:
    return list(dict.fromkeys(run.gemm.module for run in _gemms(result).runs))


def _all_modules(results: Sequence[Result]) -> list[str]:
    """Modules of all results, which share their markers where the first has them."""
    return list(dict.fromkeys(module for result in results for module in _modules(result)))


def _cycle_parts(result: Result) -> list[tuple[str, int, int]]:
    """Name, working cycles and waiting cycles of each part, from the bottom up; the vector unit is one part."""
    parts: dict[str, tuple[int, int]] = {}
    for run in _gemms(result).runs:
        working, waiting = parts.get(run.gemm.module, (0, 0))
        more = run.array_cycles * run.gemm.repeat
        parts[run.gemm.module] = working + more, waiting + run.cycles * run.gemm.repeat - more
    for row in result.other_rows if isinstance(result, ModelResult) else ():
        name = "vector unit" if row.kind == "vector" else row.kind
        parts[name] = parts.get(name, (0, 0))[0] + row.cycles, 0
    return [(name, *cycles) for name, cycles in parts.items()]


def _labels(results: Sequence[Result]) -> list[str]:
    """Labels of the bars: the architecture, and the precision if it is variable."""
    return [f"{r.architecture}\n{_precision(r)}" if r.machine.takes_precision else r.architecture for r in results]


def _cycle_labels(results: Sequence[Result]) -> list[str]:
    """Labels of the bars of cycles: also the array's cycles of a group, one number where all modules have the same."""
    return [f"{label}\n{_group_cycles(result)}" for label, result in zip(_labels(results), results, strict=True)]


def _group_cycles(result: Result) -> str:
    cycles = [
        f"{cycles:.3g}" for cycles in {run.gemm.module: run.mapped.group_cycles for run in _gemms(result).runs}.values()
    ]
    return ",".join(cycles if len(set(cycles)) > 1 else cycles[:1])


def _precision(result: Result) -> str:
    precision = _gemms(result).precision
    return str(precision) if isinstance(precision, Precision) else "by layer"


def _finish_bars(axes: "Axes", bars: int) -> None:
    """Leave room for the legend beside the bars."""
    axes.set_xlim(-0.6, bars - 0.4 + 0.45 * max(bars, 2))
    axes.legend(frameon=False, loc="upper right", reverse=True)
    if bars > 3:
        axes.tick_params("x", labelsize=8)


def _prefixed() -> "Formatter":
    """Formatter of numbers such as 14 G and 200 M."""
    from matplotlib.ticker import EngFormatter

    return EngFormatter()


def _readable_on(color: str) -> str:
    """Black or white, the one with more contrast to a colour."""
    red, green, blue = (int(color[place : place + 2], 16) for place in (1, 3, 5))
    return "black" if 0.299 * red + 0.587 * green + 0.114 * blue > 115 else "white"


def _figure() -> "tuple[Figure, Axes]":
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    return figure, figure.add_subplot()
