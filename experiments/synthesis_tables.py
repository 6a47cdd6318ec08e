"""Tables of the synthesis results: processing elements beside the published ones, the baseline's features, circuits' options.

``python -m anda_codesign.experiments.synthesis_tables --update docs/synthesis.md`` renews those of that page.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..formats.latency import FP16_GROUP_CYCLES
from ..rtl.synthesis.results import Result, find_result, library_names, load_results

PAPER = Path(__file__).parent / "paper" / "anda_hpca2025.json"

GROUP = 64
MANTISSA_BITS = range(13, 3, -1)

FP_FP = ("fp-fp-pe", {"stages": 3})
ANDA: tuple[str, dict[str, Any]] = ("anda-pe-scaled", {"tree": "carry-save", "gated": True})
ELEMENTS: Mapping[str, tuple[str, dict[str, Any]]] = {
    "FP-FP": FP_FP,
    "FP-INT": ("fp-int-pe", {"stages": 3}),
    "iFPU": ("ifpu-pe", {"stages": 2}),
    "FIGNA": ("figna-pe", {"mantissa_bits": 13}),
    "FIGNA-M11": ("figna-pe", {"mantissa_bits": 11}),
    "FIGNA-M8": ("figna-pe", {"mantissa_bits": 8}),
}
"""The published elements, and the circuits that stand for them: each ends in an FP32 accumulator."""


@dataclass(frozen=True)
class ElementRow:
    """A processing element over FP-FP's, ours and published."""

    library: str
    element: str
    area: float
    power: float
    area_efficiency: float
    energy_efficiency: float
    published: Mapping[str, float]
    """Of the same fields; of single lengths of Anda the published efficiencies alone."""


def element_rows(library: str) -> list[ElementRow]:
    """Fig. 15 in a library: at equal throughput at 16 bits and equal clock, on the same dot products.

    Area efficiency is products per cycle and area; energy efficiency is products per energy, whose leakage is that of the
    clock each keeps. Power is that of a working cycle.
    """
    published = json.loads(PAPER.read_text("utf-8"))["fig15_pe_level_normalised_to_fp_fp"]
    names = published["designs"]
    base = find_result(library, FP_FP[0], "trace", **FP_FP[1])
    rows = [
        _row(library, name, find_result(library, design, "trace", **parameters), base, published, names.index(name))
        for name, (design, parameters) in ELEMENTS.items()
    ]
    for m in MANTISSA_BITS:
        result = find_result(library, ANDA[0], f"M={m}", **ANDA[1])
        rows.append(_row(library, f"Anda-M{m}", result, base, published, names.index("Anda")))
    return rows


def _row(library: str, name: str, result: Result, base: Result, published: Mapping[str, Any], index: int) -> ElementRow:
    area = result.area_um2 / base.area_um2
    rate = _products_per_cycle(name, result) / (GROUP / FP16_GROUP_CYCLES)
    return ElementRow(
        library,
        name,
        area,
        result.energy_pj_per_cycle / base.energy_pj_per_cycle,
        rate / area,
        base.energy_pj_per_operation / result.energy_pj_per_operation,
        {
            "area": published["area"][index],
            "power": published["power"][index],
            "area_efficiency": published["area_efficiency"][name],
            "energy_efficiency": published["energy_efficiency"][name],
        },
    )


def _products_per_cycle(name: str, result: Result) -> float:
    """Without the cycles in which a pipeline fills."""
    if name.startswith("Anda-M"):
        return GROUP / (int(name.removeprefix("Anda-M")) + 1)
    return float(round(result.operations_per_cycle))


def dot_products_table(library: str) -> str:
    """The same without what follows the dot product of a group, which every element but FP-FP has.

    Anda's is the circuit ``anda-pe`` by itself; of the others the conversion, scale and accumulator, measured by
    themselves at the same rate, are taken off.
    """
    published = json.loads(PAPER.read_text("utf-8"))["fig15_pe_level_normalised_to_fp_fp"]
    base = find_result(library, FP_FP[0], "trace", **FP_FP[1])
    behind = [find_result(library, "group-accumulator", f"M={m}") for m in (12, 13)]
    energies = [result.energy_pj_per_operation * GROUP for result in behind]
    # of a group of 16 cycles, from those of 13 and 14
    behind_pj = (energies[1] + 2 * (energies[1] - energies[0])) / GROUP
    rows = [("FP-FP", base.area_um2, base.energy_pj_per_operation, base.energy_pj_per_cycle)]
    for name in ("iFPU", "FIGNA", "FIGNA-M11", "FIGNA-M8"):
        design, parameters = ELEMENTS[name]
        result = find_result(library, design, "trace", **parameters)
        energy = result.energy_pj_per_operation - behind_pj
        rows.append((name, result.area_um2 - behind[0].area_um2, energy, energy * GROUP / FP16_GROUP_CYCLES))
    for m in (13, 7, 4):
        result = find_result(library, "anda-pe", f"M={m}")
        rows.append((f"Anda-M{m}", result.area_um2, result.energy_pj_per_operation, result.energy_pj_per_cycle))
    lines = [
        "| dot product alone | area | published | power | published | energy efficiency | published |",
        "|---|" + "---:|" * 6,
    ]
    for name, area, energy, power in rows:
        index = published["designs"].index(name.split("-M")[0] if name.startswith("Anda") else name)
        pairs = (
            (area / base.area_um2, published["area"][index]),
            (power / base.energy_pj_per_cycle, published["power"][index]),
            (base.energy_pj_per_operation / energy, published["energy_efficiency"][name]),
        )
        cells = " | ".join(f"{ours:.2f} | {theirs:.2f} ({ours / theirs - 1:+.0%})" for ours, theirs in pairs)
        lines.append(f"| {name} | {cells} |")
    return "\n".join(lines)


LADDER: Sequence[tuple[str, str, dict[str, Any]]] = (
    ("IEEE 754: every rounding, subnormals, infinities, NaN", "fp-fp-pe", {"stages": 3}),
    ("no infinities, no NaN", "fp-fp-pe", {"stages": 3, "specials": False}),
    ("and no subnormals", "fp-fp-pe", {"stages": 3, "specials": False, "subnormals": False}),
    (
        "and sums are truncated",
        "fp-fp-pe",
        {"stages": 3, "specials": False, "subnormals": False, "rounding": "truncate"},
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
    ("operands of idle cycles gated", {"gated": True}),
    ("carry-save tree, gated", {"tree": "carry-save", "gated": True}),
)


SKIPPING: Sequence[tuple[str, dict[str, Any]]] = (
    ("without", {"tree": "carry-save"}),
    ("without, gated", {"tree": "carry-save", "gated": True}),
    ("with", {"tree": "carry-save", "skipping": True}),
    ("with, gated", {"tree": "carry-save", "gated": True, "skipping": True}),
)
SKIPPED: Sequence[tuple[str, str]] = (
    ("none", ""),
    ("zero in 16 tokens", " skipping 16"),
    ("zero in the token", " skipping 1"),
)
"""What of zero planes is left out in a run, and the end of the run's name."""


def zero_planes_table(library: str) -> str:
    """Energy of the dot product with and without zero-plane skipping and gating."""
    lines = [
        "| skipping | area µm² | needs ps | skipped | pJ a product, M = 4 | M = 7 | M = 13 |",
        "|---|---:|---:|---|" + "---:|" * 3,
    ]
    for label, parameters in SKIPPING:
        for what, suffix in SKIPPED if "skipping" in parameters else SKIPPED[:1]:
            runs = [find_result(library, "anda-pe", f"M={m}{suffix}", **parameters) for m in (4, 7, 13)]
            energies = " | ".join(f"{run.energy_pj_per_operation:.4g}" for run in runs)
            lines.append(f"| {label} | {runs[0].area_um2:.4g} | {runs[0].critical_ps:.0f} | {what} | {energies} |")
    return "\n".join(lines)


@dataclass(frozen=True)
class SkippingRatios:
    """What zero-plane skipping does to Anda's element, each over the element without it at M = 6."""

    area: float
    power: float
    """In a run in which no plane is skipped."""
    plane: float
    """Energy that a skipped plane saves, over that of a mean cycle."""


def skipping_ratios(library: str) -> SkippingRatios:
    """From the dot product alone, taken over the whole element: what stands behind it does not change."""
    element = find_result(library, ANDA[0], "M=6", **ANDA[1])
    plain = find_result(library, "anda-pe", "M=6", tree="carry-save", gated=True)
    every, skipped = (
        find_result(library, "anda-pe", f"M=6{suffix}", tree="carry-save", gated=True, skipping=True)
        for suffix in ("", " skipping 1")
    )
    saved = every.energy_pj_per_cycle * every.cycles - skipped.energy_pj_per_cycle * skipped.cycles
    return SkippingRatios(
        area=1 + (every.area_um2 - plain.area_um2) / element.area_um2,
        power=1 + (every.energy_pj_per_cycle - plain.energy_pj_per_cycle) / element.energy_pj_per_cycle,
        plane=saved / (every.cycles - skipped.cycles) / element.energy_pj_per_cycle,
    )


def skipping_table() -> str:
    """What skipping costs the complete element and saves, in each library."""
    lines = ["| library | area | power, nothing skipped | energy of a skipped plane |", "|---|---:|---:|---:|"]
    for library in library_names():
        ratios = skipping_ratios(library)
        lines.append(
            f"| {library} | {ratios.area - 1:+.1%} | {ratios.power - 1:+.1%} | {ratios.plane:.2f} of a cycle |"
        )
    return "\n".join(lines)


def elements_table(library: str) -> str:
    """Fig. 15 in a library, beside the published figures."""
    lines = [
        "| element | area | published | power | published | area efficiency | published | energy efficiency | published |",
        "|---|" + "---:|" * 8,
    ]
    for row in element_rows(library):
        cells = [
            f"{getattr(row, field):.2f} | {row.published[field]:.2f} ({getattr(row, field) / row.published[field] - 1:+.0%})"
            for field in ("area", "power", "area_efficiency", "energy_efficiency")
        ]
        lines.append(f"| {row.element} | {' | '.join(cells)} |")
    return "\n".join(lines)


def absolute_table(library: str) -> str:
    """The same circuits in square micrometres, picoseconds and picojoules."""
    lines = ["| element | cells | area µm² | flip-flops µm² | needs ps | pJ a product |", "|---|" + "---:|" * 5]
    for name, (design, parameters) in ELEMENTS.items():
        lines.append(_absolute(name, find_result(library, design, "trace", **parameters)))
    for m in (13, 11, 8, 7, 6, 5, 4):
        lines.append(_absolute(f"Anda-M{m}", find_result(library, ANDA[0], f"M={m}", **ANDA[1])))
    return "\n".join(lines)


def _absolute(name: str, result: Result) -> str:
    energy = result.energy_pj_per_operation
    return (
        f"| {name} | {result.cells} | {result.area_um2:.4g} | {result.flip_flop_area_um2:.3g} | "
        f"{result.critical_ps:.0f} | {energy:.3g} |"
    )


def ladder_table(library: str) -> str:
    """What the baseline's features cost: area and energy over those of Anda's element at M = 7."""
    anda = find_result(library, ANDA[0], "M=7", **ANDA[1])
    lines = [
        "| FP-FP | area µm² | needs ps | pJ a product | area over Anda's | energy over Anda-M7's |",
        "|---|" + "---:|" * 5,
    ]
    for label, design, parameters in LADDER:
        result = find_result(library, design, "trace", **parameters)
        units = 4 if design == "fp-fp-mac" else 1
        area, energy = units * result.area_um2, result.energy_pj_per_operation
        lines.append(
            f"| {label} | {area:.4g} | {result.critical_ps:.0f} | {energy:.3g} | {area / anda.area_um2:.2f} | "
            f"{energy / anda.energy_pj_per_operation:.2f} |"
        )
    return "\n".join(lines)


def options_table(library: str) -> str:
    """Before and after: the options of Anda's element."""
    lines = ["| Anda element | area µm² | needs ps | pJ a product, M = 4 | M = 7 | M = 13 |", "|---|" + "---:|" * 5]
    for label, parameters in OPTIONS:
        runs = [find_result(library, ANDA[0], f"M={m}", **parameters) for m in (4, 7, 13)]
        energies = " | ".join(f"{run.energy_pj_per_operation:.4f}" for run in runs)
        lines.append(f"| {label} | {runs[0].area_um2:.4g} | {runs[0].critical_ps:.0f} | {energies} |")
    return "\n".join(lines)


@dataclass(frozen=True)
class Scaling:
    """Factors of area and energy from a library to 16 nm, 0.8 V."""

    area: float
    energy: float


def scaling_to_16nm(library: str) -> Scaling:
    """Published factors, for libraries whose node they have.

    Raises:
        KeyError: they have no such node.
    """
    import yaml

    data = yaml.safe_load((PAPER.parent / "node_scaling.yaml").read_text("utf-8"))

    def level(entry: Mapping[str, Any]) -> float:
        a, b, c = entry["energy"]
        return a * entry["voltage_v"] ** 2 + b * entry["voltage_v"] + c

    origin = data["libraries"][library]
    return Scaling(origin["area"], level(data["target"]) / level(origin))


def bracket_table() -> str:
    """Elements at 16 nm: scaled up from ASAP7 and down from sky130."""
    ends = {library: scaling_to_16nm(library) for library in ("asap7", "sky130")}
    head = "".join(f" from {name}: area µm² | pJ a product |" for name in ends)
    lines = [f"| element at 16 nm, 0.8 V |{head}", "|---|" + "---:|" * 4]
    circuits = [("FP-FP", FP_FP, "trace"), ("FIGNA", ELEMENTS["FIGNA"], "trace")]
    circuits += [(f"Anda-M{m}", ANDA, f"M={m}") for m in (7, 4)]
    for label, (design, parameters), run in circuits:
        cells = ""
        for library, factors in ends.items():
            result = find_result(library, design, run, **parameters)
            area, energy = result.area_um2 * factors.area, result.energy_pj_per_operation * factors.energy
            cells += f" {area:.4g} | {energy:.3g} |"
        lines.append(f"| {label} |{cells}")
    return "\n".join(lines)


PARTS = {
    "array": "MXU 16x16 APU",
    "compressor": "BPC 16 lanes",
    "vector_unit": "vector unit 64 FPU",
    "activation_buffer": "activation buffer 1 MB + 0.125 MB",
    "weight_buffer": "weight buffer 1 MB",
    "controller": "others",
}
"""Parts of a technology file, and the rows of Table III."""


def machine_table() -> str:
    """Table III: area and power of the accelerator in each technology, and as published at 16 nm."""
    from ..sim import load_technology

    published = json.loads(PAPER.read_text("utf-8"))["table3_area_mm2_power_mw"]
    technologies = [load_technology(library) for library in library_names()]
    head = "".join(f" {technology.name}: mm² | mW |" for technology in technologies)
    lines = [f"| part | published: mm² | mW |{head}", "|---|" + "---:|" * (2 + 2 * len(technologies))]
    for field, label in PARTS.items():
        parts = [getattr(technology, field) for technology in technologies]
        ours = "".join(f" {part.area.value:.3g} | {part.power.value:.3g} |" for part in parts)
        lines.append(f"| {label} | {published[label][0]} | {published[label][1]} |{ours}")
    return "\n".join(lines)


def circuits_table() -> str:
    """Every circuit in every library, at the run with M = 7 where it has one."""
    found: dict[tuple[str, str], dict[str, Result]] = {}
    for library in library_names():
        for result in load_results(library):
            if result.run in ("trace", "M=7"):
                key = result.design, " ".join(f"{name}={value}" for name, value in result.parameters.items())
                found.setdefault(key, {})[library] = result
    libraries = library_names()
    head = "".join(f" {library}: area µm² | needs ps | pJ |" for library in libraries)
    lines = [f"| circuit | energy per |{head}", "|---|---|" + "---:|" * (3 * len(libraries))]
    for (design, parameters), results in sorted(found.items()):
        cells = "".join(_cells(results.get(library)) for library in libraries)
        operation = next(iter(results.values())).operation
        lines.append(f"| {design} {parameters} | {operation} |{cells}".replace("  ", " "))
    return "\n".join(lines)


def _cells(result: Result | None) -> str:
    if result is None:
        return " | | |"
    return f" {result.area_um2:.4g} | {result.critical_ps:.0f} | {result.energy_pj_per_operation:.3g} |"


TABLES: Mapping[str, Callable[[], str]] = {
    **{f"elements-{name}": lambda name=name: elements_table(name) for name in library_names()},
    **{f"absolute-{name}": lambda name=name: absolute_table(name) for name in library_names()},
    "dot-products": lambda: dot_products_table("asap7"),
    "ladder": lambda: ladder_table("asap7"),
    "options": lambda: options_table("asap7"),
    **{f"zero-planes-{name}": lambda name=name: zero_planes_table(name) for name in library_names()},
    "skipping": skipping_table,
    "bracket": bracket_table,
    "machine": machine_table,
    "circuits": circuits_table,
}


def updated(page: str) -> str:
    """A page with its tables renewed: what stands between ``<!-- table: NAME -->`` and ``<!-- end -->``."""

    def renew(match: re.Match[str]) -> str:
        return f"<!-- table: {match[1]} -->\n{TABLES[match[1]]()}\n<!-- end -->"

    return re.sub(r"<!-- table: ([\w-]+) -->\n.*?<!-- end -->", renew, page, flags=re.DOTALL)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print every table, or renew those of a page."""
    parser = argparse.ArgumentParser(description="Print the tables of synthesis.")
    parser.add_argument("--update", type=Path, metavar="PAGE", help="renew the tables of this page")
    options = parser.parse_args(arguments)
    if options.update is None:
        print("\n\n".join(f"{name}\n{table()}" for name, table in TABLES.items()))
        return
    options.update.write_text(updated(options.update.read_text("utf-8")), "utf-8")


if __name__ == "__main__":
    main()
