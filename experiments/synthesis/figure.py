"""Figure of clock targets: area and energy of an element against its clock period."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...rtl.synthesis.results import library_names, load_clock_targets
from ...sim.output.palette import COLORS
from .elements import clock_points

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MARKERS = "osD^v<>"


def clocks_figure() -> Figure:
    """Area and energy against the clock period, relative to the element's slowest mapping."""
    from matplotlib.figure import Figure

    libraries = [library for library in library_names() if load_clock_targets(library)]
    figure = Figure(figsize=(4.2 * len(libraries), 6), layout="constrained")
    axes = figure.subplots(2, len(libraries), sharex="col", squeeze=False)
    for column, library in enumerate(libraries):
        for (name, results), color, marker in zip(clock_points(library).items(), COLORS, MARKERS, strict=False):
            periods = [result.critical_ps * 1e-3 for result in results]
            for row, field in enumerate(("area_um2", "energy_pj_per_operation")):
                values = [getattr(result, field) / getattr(results[-1], field) for result in results]
                axes[row][column].plot(periods, values, marker=marker, color=color, label=name)
        axes[0][column].set_title(library)
        axes[1][column].set_xlabel("period (ns)")
    axes[0][0].set_ylabel("area over the slowest mapping's")
    axes[1][0].set_ylabel("energy a product over the slowest's")
    axes[0][0].legend()
    return figure
