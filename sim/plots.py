"""Pictures of results: where energy and cycles go, and the roofline. Matplotlib is imported when one is drawn."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .result import GemmRun, SimulationResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PARTS = ("compute", "sram", "dram")


def energy_figure(results: Sequence[SimulationResult]) -> "Figure":
    """Stacked bars of compute, SRAM and DRAM energy in joules, one bar for each result."""
    figure, axes = _figure("energy [J]")
    names = _labels(results)
    bottom = [0.0] * len(results)
    for part in PARTS:
        joules = [getattr(result.energy_pj, part) / 1e12 for result in results]
        axes.bar(names, joules, bottom=bottom, label=part)
        bottom = [below + value for below, value in zip(bottom, joules, strict=True)]
    axes.legend()
    return figure


def cycle_figure(results: Sequence[SimulationResult]) -> "Figure":
    """Stacked bars of the cycles of each module, one bar for each result; hatched where the array does not work."""
    figure, axes = _figure("cycles")
    for name, result in zip(_labels(results), results, strict=True):
        bottom = 0
        for index, run in enumerate(result.runs):
            working, waiting = (run.gemm.repeat * c for c in (run.array_cycles, run.cycles - run.array_cycles))
            color, label = f"C{index}", run.gemm.module if result is results[0] else None
            axes.bar(name, working, bottom=bottom, color=color, label=label)
            axes.bar(name, waiting, bottom=bottom + working, color=color, hatch="//")
            bottom += working + waiting
    axes.legend()
    return figure


def roofline_point(run: GemmRun, clock_hz: float) -> tuple[float, float]:
    """Multiply-accumulates per DRAM byte, and per second, of one GeMM."""
    return run.gemm.macs * 8 / run.traffic.dram_bits, run.gemm.macs * clock_hz / run.cycles


def roof(result: SimulationResult) -> tuple[float, float]:
    """DRAM bytes per second, and multiply-accumulates per second of the array at the fastest of the run's GeMMs."""
    machine, clock_hz = result.machine, result.machine.clock_hz
    cycles = min(run.problem.group_cycles for run in result.runs)
    macs_per_cycle = machine.array.rows * machine.array.columns * machine.group_size / cycles
    return result.costs.dram_bits_per_cycle / 8 * clock_hz, macs_per_cycle * clock_hz


def roofline_figure(result: SimulationResult) -> "Figure":
    """The GeMMs of a result under the roof of its machine, both axes logarithmic."""
    figure, axes = _figure("multiply-accumulates per second")
    bandwidth, peak = roof(result)
    points = [roofline_point(run, result.machine.clock_hz) for run in result.runs]
    ridge = peak / bandwidth
    span = [min(ridge, *(x for x, _ in points)) / 4, max(ridge, *(x for x, _ in points)) * 4]
    axes.loglog(sorted([*span, ridge]), [min(peak, x * bandwidth) for x in sorted([*span, ridge])], color="black")
    for run, (intensity, rate) in zip(result.runs, points, strict=True):
        axes.plot(intensity, rate, "o", label=run.gemm.module)
    axes.set_xlabel("multiply-accumulates per DRAM byte")
    axes.set_title(f"{result.architecture}, {result.level}")
    axes.legend()
    return figure


def _labels(results: Sequence[SimulationResult]) -> list[str]:
    """A bar's name: the architecture, and the precision where it is not the machine's own."""
    return [
        f"{r.architecture}\n{r.precision}"
        if r.machine.processing_element.mantissa_bits == "variable"
        else r.architecture
        for r in results
    ]


def _figure(ylabel: str) -> "tuple[Figure, Axes]":
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.add_subplot()
    axes.set_ylabel(ylabel)
    return figure, axes
