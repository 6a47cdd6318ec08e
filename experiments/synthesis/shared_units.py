"""Elements of which several share signs, conversion, multiplier and adder: table and picture of what that saves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from ...rtl.synthesis.results import SynthesisResult, find_result, library_names, load_results
from ...sim.output.palette import COLORS
from ..markdown import markdown_table
from .elements import ANDA, Circuit, element_result, elements

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

UNITS = 4
ROW = {"signs": "row", "units": UNITS}
TABLE_MANTISSA_BITS = (4, 7, 13)


def shared_circuits(library: str) -> Mapping[str, Circuit]:
    """Circuits of `UNITS` elements that share what they can, by the element's name."""
    own = elements(library)
    found = {name: (own[name][0], {**own[name][1], "units": UNITS}) for name in ("iFPU", "FIGNA")}
    return found | {"Anda": (own["Anda"][0], {**own["Anda"][1], **ROW})}


def shared_units_table() -> str:
    """Area, period and energy of an element by itself, and as one of `UNITS` that share what they can, in each library."""
    energies = [f"M = {m}" for m in TABLE_MANTISSA_BITS]
    energies[0] = f"pJ a product, {energies[0]}"
    columns = ["library", "element", "area µm²", "flip-flops µm²", "needs ps", *energies]
    columns += ["area over FP-FP's", "power over FP-FP's, M = 4", "M = 7", "M = 13"]
    rows = [row for library in library_names() for row in _rows(library)]
    return markdown_table(columns, rows, text_columns=2)


def _rows(library: str) -> Iterable[list[str]]:
    """A row for each circuit that is measured in the library."""
    own, shared = elements(library), shared_circuits(library)
    anda, options = own["Anda"]
    circuits = {"FP-FP": own["FP-FP"]}
    for name in shared:
        circuits |= {name: own[name], f"{name}, {UNITS} units": shared[name]}
    circuits |= {
        "Anda, signs of the row": (anda, {**options, "signs": "row"}),
        f"Anda, {UNITS} units, M up to 13": (anda, {**options, **ROW, "max_mantissa_bits": 13}),
        "Anda, 8 units": (anda, {**options, **ROW, "units": 8}),
    }
    measured = [(result.design, result.parameters) for result in load_results(library)]
    return [_row(library, label, circuit) for label, circuit in circuits.items() if circuit in measured]


def _row(library: str, label: str, circuit: Circuit) -> list[str]:
    """Figures of one unit."""
    design, parameters = circuit
    units, base = parameters.get("units", 1), element_result(library, "FP-FP")
    names = [f"M={m}" if design == ANDA[0] else "trace" for m in TABLE_MANTISSA_BITS]
    runs = [find_result(library, design, name, **parameters) for name in names]
    area = runs[0].area_um2 / units
    return [
        library,
        label,
        f"{area:.4g}",
        f"{runs[0].flip_flop_area_um2 / units:.3g}",
        f"{runs[0].critical_ps:.0f}",
        *[f"{run.energy_pj_per_operation:.3g}" for run in runs],
        f"{area / base.area_um2:.2f}",
        *[f"{run.energy_pj_per_cycle / units / base.energy_pj_per_cycle:.2f}" for run in runs],
    ]


class ElementBlock(NamedTuple):
    """Part of an element and its area in µm², of a part that is shared the share of one unit."""

    label: str
    area_um2: float


def element_blocks(units: int, library: str = "asap7") -> list[ElementBlock]:
    """Parts of the complete Anda element, in the order of the data: by itself, or as one of `UNITS` that share.

    Conversion, multiplier and adder are measured by themselves; the rest is what is left of the measured whole.
    """
    options = ANDA[1] if units == 1 else {**ANDA[1], **ROW}

    def area(design: str, **parameters: object) -> float:
        return _any_run(library, design, parameters).area_um2 / units

    dot_product, whole = area("anda-pe", **options), area(ANDA[0], **options)
    parts = [
        ElementBlock("conversion to FP16", area("int-to-fp16")),
        ElementBlock("multiplier", area("fp16-multiplier")),
        ElementBlock("FP32 adder", area("fp32-adder")),
    ]
    rest = whole - dot_product - sum(part.area_um2 for part in parts)
    first = "signs, dot product, accumulator" if units == 1 else "dot product, accumulator, a share of the row's signs"
    last = "FP32 accumulator, registers" if units == 1 else "FP32 accumulator, registers of waiting sums"
    return [ElementBlock(first, dot_product), *parts, ElementBlock(last, rest)]


def _any_run(library: str, design: str, parameters: Mapping[str, object]) -> SynthesisResult:
    """The result of a circuit at M = 7 or, if it has no mantissa length, of its only run."""
    name = "trace" if design in ("fp16-multiplier", "fp32-adder") else "M=7"
    return find_result(library, design, name, **parameters)


def blocks_figure() -> Figure:
    """The Anda element before and after, as blocks with heights in proportion to their areas."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.2, 6.4), layout="constrained")
    axes = figure.add_subplot()
    axes.axis("off")
    axes.set_xlim(0, 2.1)
    for place, units in enumerate((1, UNITS)):
        blocks = element_blocks(units)
        total = sum(block.area_um2 for block in blocks)
        title = "an element by itself" if units == 1 else f"one of {units} units of a row that share"
        axes.text(1.1 * place + 0.5, -38, f"{title}: {total:.0f} µm²", ha="center", weight="bold")
        _stack(axes, 1.1 * place, blocks, units)
    axes.set_ylim(sum(block.area_um2 for block in element_blocks(1)) + 60, -55)
    figure.suptitle("Complete Anda element in ASAP7: bit-planes and weights above, FP32 below", fontsize=10)
    return figure


def _stack(axes: Axes, left: float, blocks: Iterable[ElementBlock], units: int) -> None:
    """Blocks from the top down; a hatch marks those of which `units` elements have one."""
    from matplotlib.patches import Rectangle

    top = 0.0
    for index, (block, color) in enumerate(zip(blocks, COLORS[1:], strict=False)):
        hatch = "//" if units > 1 and 1 <= index <= 3 else None
        axes.add_patch(
            Rectangle((left, top), 1, block.area_um2, facecolor=color, alpha=0.25, edgecolor="black", hatch=hatch)
        )
        shared = f" (one for {units} units)" if hatch else ""
        text = f"{block.label}{shared}  {block.area_um2:.0f} µm²"
        box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 1.0}
        axes.text(left + 0.5, top + block.area_um2 / 2, text, ha="center", va="center", fontsize=8, bbox=box)
        top += block.area_um2 + 9
        if index < 4:
            axes.annotate("", (left + 0.5, top), (left + 0.5, top - 9), arrowprops={"arrowstyle": "-|>", "lw": 0.8})


def array_figure() -> Figure:
    """A corner of the array: what a unit has for itself, what four units share, what a row and a column share."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 5.2), layout="constrained")
    axes = figure.add_subplot()
    axes.axis("off")
    axes.set_xlim(-2.6, 2 * UNITS + 0.9)
    axes.set_ylim(3.3, -1)
    for row in range(3):
        text = f"token {row}: sign plane, exponent\nsends x = sign XOR plane"
        _box(axes, (-2.5, row + 0.1), (2.1, 0.76), text, COLORS[4])
        _arrow(axes, (-0.4, row + 0.23), (2 * UNITS + 0.7, row + 0.23))
        for group in range(2):
            left = group * (UNITS + 0.4)
            for unit in range(UNITS):
                _box(axes, (left + unit, row + 0.1), (0.86, 0.32), "dot product", COLORS[2])
            text = "in turn: conversion, multiplier, adder, rounder\nfor each unit: FP32 accumulator, FP16 output"
            _box(axes, (left, row + 0.47), (UNITS - 0.14, 0.39), text, COLORS[1])
    for column in range(2 * UNITS):
        left = column + 0.4 * (column // UNITS)
        _arrow(axes, (left + 0.43, -0.2), (left + 0.43, 3.15))
        axes.text(left + 0.43, -0.3, f"weights,\nscale {column}", ha="center", fontsize=8)
    return figure


def _box(axes: Axes, corner: tuple[float, float], size: tuple[float, float], text: str, color: str) -> None:
    from matplotlib.patches import Rectangle

    axes.add_patch(Rectangle(corner, *size, facecolor="white", edgecolor="none", zorder=2))
    axes.add_patch(Rectangle(corner, *size, facecolor=color, alpha=0.3, edgecolor="black", zorder=3))
    axes.text(corner[0] + size[0] / 2, corner[1] + size[1] / 2, text, ha="center", va="center", fontsize=8, zorder=4)


def _arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    """An arrow behind all boxes."""
    axes.annotate("", end, start, arrowprops={"arrowstyle": "-|>", "lw": 0.9, "color": "0.35"}, zorder=1)
