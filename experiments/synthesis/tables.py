"""Tables of synthesis results: processing elements compared with the published ones, features of the baseline, options.

``python -m anda_codesign.experiments.synthesis.tables --update docs/synthesis.md`` updates the tables of that page.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ...formats.latency.elements import FP16_GROUP_CYCLES
from ...formats.numeric.alignment import GROUP_SIZE
from ...rtl.synthesis.results import (
    GlitchResult,
    SynthesisResult,
    find_result,
    library_names,
    load_glitches,
    load_results,
)
from ..markdown import markdown_table, renew_page
from .elements import (
    ANDA,
    COMMON,
    MANTISSA_BITS,
    PAPER,
    Circuit,
    ElementRow,
    clock_points,
    element_result,
    element_rows,
    elements,
    scaling_to_16nm,
    skipping_ratios,
)
from .shared_units import shared_units_table

__all__ = ["ANDA", "TABLES", "ElementRow", "element_rows", "main"]


def _measured(*circuits: Circuit) -> list[str]:
    """Libraries with results of all these circuits."""
    return [
        library
        for library in library_names()
        if all(any((r.design, r.parameters) == circuit for r in load_results(library)) for circuit in circuits)
    ]


_ALIGNED = ("iFPU", "FIGNA", "FIGNA-M11", "FIGNA-M8")


def dot_products_table() -> str:
    """Dot-product parts of the elements, without conversion, scale and accumulator; FP-FP has no such separate parts.

    Anda's dot product is the circuit ``anda-pe``. For the others, the conversion, scale and accumulator are measured
    separately at the same rate and subtracted.
    """
    published = json.loads(PAPER.read_text("utf-8"))["fig15_pe_level_normalised_to_fp_fp"]
    circuits = [COMMON[name] for name in ("FP-FP", *_ALIGNED)]
    libraries = _measured(("group-accumulator", {}), ("anda-pe", {}), *circuits)
    ours = {library: _dot_products(library) for library in libraries}
    quantities = ("area", "power", "energy efficiency")
    columns = [column for quantity in quantities for column in (f"{quantity}: published", *ours)]
    rows: list[list[str]] = []
    for name in ours[libraries[0]]:
        index = published["designs"].index(name.split("-M")[0] if name.startswith("Anda") else name)
        theirs = (published["area"][index], published["power"][index], published["energy_efficiency"][name])
        cells = [
            cell
            for place, figure in enumerate(theirs)
            for cell in (f"{figure:.2f}", *(_deviation(found[name][place], figure) for found in ours.values()))
        ]
        rows.append([name, *cells])
    return markdown_table(["dot product alone", *columns], rows)


def _dot_products(library: str) -> dict[str, tuple[float, float, float]]:
    """Area, power and energy efficiency of each dot product, relative to FP-FP."""
    base = find_result(library, COMMON["FP-FP"][0], "trace", **COMMON["FP-FP"][1])
    behind = [find_result(library, "group-accumulator", f"M={m}") for m in (12, 13)]
    energies = [result.energy_pj_per_operation * GROUP_SIZE for result in behind]
    # extrapolated from groups of 13 and 14 cycles to a group of 16 cycles
    behind_pj = (energies[1] + 2 * (energies[1] - energies[0])) / GROUP_SIZE
    rows = {"FP-FP": (base.area_um2, base.energy_pj_per_operation, base.energy_pj_per_cycle)}
    for name in _ALIGNED:
        result = find_result(library, COMMON[name][0], "trace", **COMMON[name][1])
        energy = result.energy_pj_per_operation - behind_pj
        rows[name] = (result.area_um2 - behind[0].area_um2, energy, energy * GROUP_SIZE / FP16_GROUP_CYCLES)
    for m in (13, 7, 4):
        result = find_result(library, "anda-pe", f"M={m}")
        rows[f"Anda-M{m}"] = (result.area_um2, result.energy_pj_per_operation, result.energy_pj_per_cycle)
    return {
        name: (area / base.area_um2, power / base.energy_pj_per_cycle, base.energy_pj_per_operation / energy)
        for name, (area, energy, power) in rows.items()
    }


def _deviation(ours: float, theirs: float) -> str:
    return f"{ours:.2f} ({ours / theirs - 1:+.0%})"


LADDER: Sequence[tuple[str, str, dict[str, Any]]] = (
    ("IEEE 754: every rounding, subnormals, infinities, NaN", "fp-fp-pe", {"stages": 4}),
    ("no infinities, no NaN", "fp-fp-pe", {"stages": 4, "specials": False}),
    ("and no subnormals", "fp-fp-pe", {"stages": 4, "specials": False, "subnormals": False}),
    (
        "and sums are truncated",
        "fp-fp-pe",
        {"stages": 4, "specials": False, "subnormals": False, "rounding": "truncate"},
    ),
    ("one aligned sum per step instead, as in tensor cores", "fp-fp-pe", {"stages": 3, "summation": "aligned"}),
    (
        "aligned, without specials and subnormals, truncated",
        "fp-fp-pe",
        {"stages": 3, "summation": "aligned", "specials": False, "subnormals": False, "rounding": "truncate"},
    ),
    ("fixed-point accumulator of all magnitudes, rounded once", "fp-fp-pe", {"stages": 3, "summation": "exact"}),
    ("four single IEEE multiply-accumulate units", "fp-fp-mac", {"stages": 2}),
    (
        "four truncating ones without specials and subnormals",
        "fp-fp-mac",
        {"stages": 2, "specials": False, "subnormals": False, "rounding": "truncate"},
    ),
)

OPTIONS: Sequence[tuple[str, dict[str, Any]]] = (
    ("ripple adders, carries of the signs in the tree", {}),
    ("carry-save tree", {"tree": "carry-save"}),
    ("operands of idle cycles gated", {"operand_isolation": True}),
    ("carry-save tree, gated", {"tree": "carry-save", "operand_isolation": True}),
)


SKIPPING: Sequence[tuple[str, dict[str, Any]]] = (
    ("without", {"tree": "carry-save"}),
    ("without, gated", {"tree": "carry-save", "operand_isolation": True}),
    ("with", {"tree": "carry-save", "skipping": True}),
    ("with, gated", {"tree": "carry-save", "operand_isolation": True, "skipping": True}),
)
SKIPPED: Sequence[tuple[str, str]] = (
    ("none", ""),
    ("zero in 16 tokens", " skipping 16"),
    ("zero in the token", " skipping 1"),
)
"""Which zero planes a run skips, and the suffix of the run's name."""


def zero_planes_table(library: str) -> str:
    """Energy of the dot product with and without zero-plane skipping and gating."""
    columns = ["skipping", "skipped", "area µm²", "needs ps", "pJ a product, M = 4", "M = 7", "M = 13"]
    rows: list[list[str]] = []
    for label, parameters in SKIPPING:
        for skipped, suffix in SKIPPED if "skipping" in parameters else SKIPPED[:1]:
            runs = [find_result(library, "anda-pe", f"M={m}{suffix}", **parameters) for m in (4, 7, 13)]
            energies = [f"{run.energy_pj_per_operation:.4g}" for run in runs]
            rows.append([label, skipped, f"{runs[0].area_um2:.4g}", f"{runs[0].critical_ps:.0f}", *energies])
    return markdown_table(columns, rows, text_columns=2)


def skipping_table() -> str:
    """Cost and saving of zero-plane skipping in the complete element, in each library."""
    rows: list[list[str]] = []
    for library in library_names():
        ratios = skipping_ratios(library)
        rows.append([library, f"{ratios.area - 1:+.1%}", f"{ratios.power - 1:+.1%}", f"{ratios.plane:.2f} of a cycle"])
    return markdown_table(["library", "area", "power, nothing skipped", "energy of a skipped plane"], rows)


def elements_table(library: str) -> str:
    """Fig. 15 in a library, next to the published figures."""
    fields = ("area", "power", "area_efficiency", "energy_efficiency")
    rows: list[list[str]] = []
    for row in element_rows(library):
        cells: list[str] = []
        for field in fields:
            ours, published = getattr(row, field), row.published[field]
            cells += [f"{ours:.2f}", f"{published:.2f} ({ours / published - 1:+.0%})"]
        rows.append([row.element, *cells])
    columns = [column for field in fields for column in (field.replace("_", " "), "published")]
    return markdown_table(["element", *columns], rows)


def absolute_table(library: str) -> str:
    """Area in µm², critical path in ps and energy in pJ of the elements in a library."""
    found = {name: element_result(library, name) for name in elements(library) if name != "Anda"}
    found |= {f"Anda-M{m}": element_result(library, "Anda", m) for m in MANTISSA_BITS}
    rows = (
        [
            name,
            result.cells,
            f"{result.area_um2:.4g}",
            f"{result.flip_flop_area_um2:.3g}",
            f"{result.critical_ps:.0f}",
            *_energies(result),
        ]
        for name, result in found.items()
    )
    energies = ["pJ a product", "zero delay"][: len(_energies(next(iter(found.values()))))]
    return markdown_table(["element", "cells", "area µm²", "flip-flops µm²", "needs ps", *energies], rows)


def ladder_table() -> str:
    """Cost of the baseline's features: area and energy relative to Anda's element at M = 7."""
    libraries = _measured(*((design, parameters) for _, design, parameters in LADDER))
    columns = _columns(libraries, "needs ps", "area over Anda's", "energy over Anda-M7's")
    rows: list[list[str]] = []
    for label, design, parameters in LADDER:
        cells = [label]
        for library in libraries:
            anda = find_result(library, ANDA[0], "M=7", **ANDA[1])
            result = find_result(library, design, "trace", **parameters)
            area = (4 if design == "fp-fp-mac" else 1) * result.area_um2 / anda.area_um2
            energy = result.energy_pj_per_operation / anda.energy_pj_per_operation
            cells += [f"{result.critical_ps:.0f}", f"{area:.2f}", f"{energy:.2f}"]
        rows.append(cells)
    return markdown_table(["FP-FP", *columns], rows)


def _columns(prefixes: Iterable[str], first: str, *others: str) -> list[str]:
    """Titles of columns that repeat for each library: the first of each names the library."""
    return [column for prefix in prefixes for column in (f"{prefix}: {first}", *others)]


def options_table() -> str:
    """Relative change of area, critical path and energy by each option of Anda's element."""
    libraries = _measured(*((ANDA[0], parameters) for _, parameters in OPTIONS))
    columns = _columns(libraries, "area", "needs", "pJ, M = 4", "M = 7", "M = 13")
    rows: list[list[str]] = []
    for label, parameters in OPTIONS:
        cells = [label]
        for library in libraries:
            now, before = (
                [find_result(library, ANDA[0], f"M={m}", **chosen) for m in (4, 7, 13)]
                for chosen in (parameters, OPTIONS[0][1])
            )
            values, bases = (
                [runs[0].area_um2, runs[0].critical_ps, *(run.energy_pj_per_operation for run in runs)]
                for runs in (now, before)
            )
            if parameters == OPTIONS[0][1]:
                cells += [f"{value:.4g}" for value in values]
            else:
                cells += [f"{value / base - 1:+.1%}" for value, base in zip(values, bases, strict=True)]
        rows.append(cells)
    return markdown_table(["Anda element", *columns], rows)


def clocks_table() -> str:
    """Area and energy of elements synthesised for several clocks, in each library with such results."""
    rows = (
        [
            library,
            name,
            f"{result.critical_ps:.0f}",
            result.cells,
            f"{result.area_um2:.4g}",
            f"{result.energy_pj_per_operation:.3g}",
        ]
        for library in library_names()
        for name, results in clock_points(library).items()
        for result in results
    )
    return markdown_table(["library", "element", "needs ps", "cells", "area µm²", "pJ a product"], rows, text_columns=2)


def bracket_table() -> str:
    """Elements at 16 nm: scaled up from ASAP7 and down from sky130."""
    ends = {library: scaling_to_16nm(library) for library in ("asap7", "sky130")}
    columns = _columns((f"from {name}" for name in ends), "area µm²", "pJ a product")
    rows: list[list[str]] = []
    named = [(name, name, 13) for name in elements("asap7") if name != "Anda"]
    for label, name, m in [*named, *((f"Anda-M{m}", "Anda", m) for m in MANTISSA_BITS)]:
        cells = [label]
        for library, factors in ends.items():
            result = element_result(library, name, m)
            area, energy = result.area_um2 * factors.area, result.energy_pj_per_operation * factors.energy
            cells += [f"{area:.4g}", f"{energy:.3g}"]
        rows.append(cells)
    return markdown_table(["element at 16 nm, 0.8 V", *columns], rows)


def glitches_table() -> str:
    """Energy of elements without delays, with glitches, and by what is assumed about delays."""
    rows: list[list[str]] = []
    for library in library_names():
        for element, result in _glitch_results(library):
            changes = (result.faster_pj, result.slower_pj, result.varied_pj, result.transport_pj)
            rows.append(
                [
                    library,
                    element,
                    f"{result.zero_delay_pj:.3g}",
                    f"{result.inertial_pj:.3g}",
                    f"{result.inertial_pj / result.zero_delay_pj:.2f}",
                    f"{result.inertial_toggles / result.zero_delay_toggles:.2f}",
                    *(f"{energy / result.inertial_pj - 1:+.1%}" for energy in changes),
                ]
            )
    columns = ["library", "element", "pJ a product, zero delay", "with glitches", "ratio", "ratio of toggles"]
    changes = ["delays x 0.8", "delays x 1.2", "each cell x 0.8 to 1.2", "transport delays"]
    return markdown_table([*columns, *changes], rows, text_columns=2)


def glitch_power_table() -> str:
    """Power and energy efficiency of elements relative to FP-FP, as in Fig. 15: without delays, with glitches, published."""
    published = json.loads(PAPER.read_text("utf-8"))["fig15_pe_level_normalised_to_fp_fp"]
    rows: list[list[str]] = []
    for library in library_names():
        results = _glitch_results(library)
        base = results[0][1] if results else None
        for element, result in results[1:]:
            assert base is not None
            theirs = published["power"][published["designs"].index(element.split("-M")[0])]
            bars = [_power(library, result, field) / _power(library, base, field) for field in _GLITCH_FIELDS]
            efficiencies = [getattr(base, field) / getattr(result, field) for field in _GLITCH_FIELDS]
            rows.append(
                [
                    library,
                    element,
                    *(f"{bar:.2f}" for bar in bars),
                    f"{theirs:.2f}",
                    f"{(bars[0] - bars[1]) / (bars[0] - theirs):.0%}",
                    *(f"{efficiency:.2f}" for efficiency in efficiencies),
                    f"{published['energy_efficiency'][element]:.2f}",
                ]
            )
    power = ["power, zero delay", "with glitches", "published", "gap closed"]
    efficiency = ["energy efficiency, zero delay", "with glitches", "published"]
    return markdown_table(["library", "element", *power, *efficiency], rows, text_columns=2)


_GLITCH_FIELDS = ("zero_delay_pj", "inertial_pj")


def _glitch_results(library: str) -> list[tuple[str, GlitchResult]]:
    """Label and energies of each element that was measured by model of delay, FP-FP first."""
    names = {(design, json.dumps(parameters)): name for name, (design, parameters) in elements(library).items()}
    found = [(names[result.design, json.dumps(result.parameters)], result) for result in load_glitches(library)]
    return [(f"{name}-{result.run.replace('=', '')}" if name == "Anda" else name, result) for name, result in found]


def _power(library: str, result: GlitchResult, field: str) -> float:
    """Energy of a mean cycle, in pJ."""
    run = find_result(library, result.design, result.run, **result.parameters)
    return getattr(result, field) * run.operations_per_cycle


PARTS = {
    "array": "MXU 16x16 APU",
    "compressor": "BPC 16 lanes",
    "vector_unit": "vector unit 64 FPU",
    "activation_buffer": "activation buffer 1 MB + 0.125 MB",
    "weight_buffer": "weight buffer 1 MB",
    "controller": "others",
}
"""Row of Table III for each part of a technology file."""


def machine_table() -> str:
    """Table III: area and power of the accelerator in each technology and published at 16 nm."""
    from ...sim import load_technology

    published = json.loads(PAPER.read_text("utf-8"))["table3_area_mm2_power_mw"]
    technologies = [load_technology(library) for library in library_names()]
    columns = _columns(("published", *(technology.name for technology in technologies)), "mm²", "mW")
    rows: list[list[str]] = []
    sums = [0.0] * len(columns)
    for field, label in PARTS.items():
        parts = [getattr(technology, field) for technology in technologies]
        ours = [figure.value for part in parts for figure in (part.area, part.power)]
        rows.append([label, *map(str, published[label]), *(f"{figure:.3g}" for figure in ours)])
        sums = [total + figure for total, figure in zip(sums, (*published[label], *ours), strict=True)]
    rows.append(["sum", *(f"{total:.3g}" for total in sums)])
    return markdown_table(["part", *columns], rows)


def arrays_table() -> str:
    """Area and energy of one unit in arrays; rows share planes and columns share weights."""
    rows: list[list[str]] = []
    for library in library_names():
        found = [r for r in load_results(library) if r.design == "matrix-unit" and r.run == "M=7"]
        for result in sorted(found, key=lambda result: tuple(result.parameters.values())):
            height, width = result.parameters["rows"], result.parameters["columns"]
            area, energy = result.area_um2 / (height * width), result.energy_pj_per_operation
            rows.append([library, f"{height} x {width}", f"{area:.4g}", f"{result.critical_ps:.0f}", f"{energy:.3g}"])
    columns = ["library", "units", "area µm² a unit", "needs ps", "pJ a product, M = 7"]
    return markdown_table(columns, rows, text_columns=2)


def circuits_table() -> str:
    """Every circuit in every library, with the run at M = 7 if there is one."""
    found: dict[tuple[str, str], dict[str, SynthesisResult]] = {}
    for library in library_names():
        for result in load_results(library):
            key = result.design, " ".join(f"{name}={value}" for name, value in result.parameters.items())
            if result.run == "M=7" or library not in found.setdefault(key, {}):
                found[key][library] = result
    libraries = library_names()
    width = max(len(_cells(result)) for results in found.values() for result in results.values())
    titles = ("area µm²", "needs ps", "pJ", "zero delay")[:width]
    columns = ["circuit", "energy per", *_columns(libraries, *titles)]
    rows: list[list[str]] = []
    for (design, parameters), results in sorted(found.items()):
        operation = next(iter(results.values())).operation
        cells = [cell for library in libraries for cell in _padded(results.get(library), width)]
        rows.append([f"{design} {parameters}".strip(), operation, *cells])
    return markdown_table(columns, rows, text_columns=2)


def _padded(result: SynthesisResult | None, width: int) -> list[str]:
    cells = [] if result is None else _cells(result)
    return cells + [""] * (width - len(cells))


def _cells(result: SynthesisResult) -> list[str]:
    return [f"{result.area_um2:.4g}", f"{result.critical_ps:.0f}", *_energies(result)]


def _energies(result: SynthesisResult) -> list[str]:
    """Energy of an operation, and that without delays if the table has both."""
    energies = (result.energy_pj_per_operation, result.zero_delay_pj_per_operation)
    return [f"{energy:.3g}" for energy in energies if energy is not None]


TABLES: Mapping[str, Callable[[], str]] = {
    **{f"elements-{name}": lambda name=name: elements_table(name) for name in library_names()},
    **{f"absolute-{name}": lambda name=name: absolute_table(name) for name in library_names()},
    "dot-products": dot_products_table,
    "ladder": ladder_table,
    "options": options_table,
    **{f"zero-planes-{name}": lambda name=name: zero_planes_table(name) for name in library_names()},
    "skipping": skipping_table,
    "clocks": clocks_table,
    "glitches": glitches_table,
    "glitch-power": glitch_power_table,
    "bracket": bracket_table,
    "shared-units": shared_units_table,
    "arrays": arrays_table,
    "machine": machine_table,
    "circuits": circuits_table,
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Print every table, update the tables of a page, or write the figure of clock targets."""
    parser = argparse.ArgumentParser(description="Print the tables of synthesis results.")
    parser.add_argument("--update", type=Path, metavar="PAGE", help="update the tables of this page")
    parser.add_argument("--figure", type=Path, metavar="FILE", help="write the figure of clock targets to this file")
    options = parser.parse_args(arguments)
    if options.figure is not None:
        from .figure import clocks_figure

        clocks_figure().savefig(options.figure, dpi=110, metadata={"Software": None})
        return
    if options.update is None:
        print("\n\n".join(f"{name}\n{table()}" for name, table in TABLES.items()))
        return
    renew_page(options.update, TABLES)


if __name__ == "__main__":
    main()
