"""Published processing elements and the circuits of this program that correspond to them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from ...formats.documents.yaml_file import read_yaml
from ...formats.latency.elements import FP16_GROUP_CYCLES
from ...formats.numeric.alignment import GROUP_SIZE
from ...rtl.synthesis.results import SynthesisResult, find_result, load_clock_targets

PAPER = Path(__file__).parents[1] / "paper" / "anda_hpca2025.json"

MANTISSA_BITS = range(13, 3, -1)

Circuit: TypeAlias = tuple[str, dict[str, Any]]
"""Name of a design, and its parameters."""

ANDA: Circuit = ("anda-pe-scaled", {"tree": "carry-save", "operand_isolation": True})
COMMON: Mapping[str, Circuit] = {
    "FP-FP": ("fp-fp-pe", {"stages": 4}),
    "FP-INT": ("fp-int-pe", {"stages": 4}),
    "iFPU": ("ifpu-pe", {"stages": 2}),
    "FIGNA": ("figna-pe", {"mantissa_bits": 13}),
    "FIGNA-M11": ("figna-pe", {"mantissa_bits": 11}),
    "FIGNA-M8": ("figna-pe", {"mantissa_bits": 8}),
    "Anda": ANDA,
}
"""Circuit of each element, unless a library needs another one; also used to compare libraries with each other."""
_DEEP: Mapping[str, Circuit] = {
    "FP-FP": ("fp-fp-pe", {"stages": 4, "adder_stages": 6, "interleave": 6}),
    "FP-INT": ("fp-int-pe", {"stages": 4, "adder_stages": 6, "interleave": 6}),
    "iFPU": ("ifpu-pe", {"stages": 3, "adder_stages": 5}),
    "FIGNA": ("figna-pe", {"mantissa_bits": 13, "stages": 3, "adder_stages": 5}),
    "FIGNA-M11": ("figna-pe", {"mantissa_bits": 11, "stages": 3, "adder_stages": 5}),
    "FIGNA-M8": ("figna-pe", {"mantissa_bits": 8, "stages": 3, "adder_stages": 5}),
    "Anda": (ANDA[0], {**ANDA[1], "stages": 3, "adder_stages": 5}),
}
"""Circuits with the additional pipeline registers needed for 285 MHz at 130 and 180 nm."""


def elements(library: str) -> Mapping[str, Circuit]:
    """Circuits of the published elements in a library; each includes an FP32 accumulator."""
    return COMMON if library == "asap7" else _DEEP


def element_result(library: str, name: str, mantissa_bits: int = MANTISSA_BITS[0]) -> SynthesisResult:
    """Synthesis result of an element; `mantissa_bits` applies to Anda only."""
    design, parameters = elements(library)[name]
    return find_result(library, design, f"M={mantissa_bits}" if name == "Anda" else "trace", **parameters)


@dataclass(frozen=True)
class ElementRow:
    """Figures of a processing element relative to FP-FP, computed here and published."""

    library: str
    element: str
    area: float
    power: float
    area_efficiency: float
    energy_efficiency: float
    published: Mapping[str, float]
    """Published values of the fields above."""


def element_rows(library: str) -> list[ElementRow]:
    """Rows of Fig. 15 in a library: equal throughput at 16 bits, equal clock, and the same dot products.

    Area efficiency is products per cycle and area. Energy efficiency is products per energy; the energy includes leakage
    over the clock period that each element achieves. Power is that of a working cycle.
    """
    published = json.loads(PAPER.read_text("utf-8"))["fig15_pe_level_normalised_to_fp_fp"]
    names = published["designs"]
    base = element_result(library, "FP-FP")
    rows = [
        _row(library, name, element_result(library, name), base, published, names.index(name))
        for name in elements(library)
        if name != "Anda"
    ]
    for m in MANTISSA_BITS:
        result = element_result(library, "Anda", m)
        rows.append(_row(library, f"Anda-M{m}", result, base, published, names.index("Anda")))
    return rows


def _row(
    library: str, name: str, result: SynthesisResult, base: SynthesisResult, published: Mapping[str, Any], index: int
) -> ElementRow:
    area = result.area_um2 / base.area_um2
    rate = _products_per_cycle(name, result) / (GROUP_SIZE / FP16_GROUP_CYCLES)
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


def _products_per_cycle(name: str, result: SynthesisResult) -> float:
    """Products per cycle in steady state, without the cycles that fill the pipeline."""
    if name.startswith("Anda-M"):
        return GROUP_SIZE / (int(name.removeprefix("Anda-M")) + 1)
    return float(round(result.operations_per_cycle))


@dataclass(frozen=True)
class SkippingRatios:
    """Cost and saving of zero-plane skipping, relative to Anda's element without it at M = 6."""

    area: float
    """Area ratio."""
    power: float
    """Power ratio in a run without skipped planes."""
    plane: float
    """Energy saved by a skipped plane, as a share of a mean cycle's energy."""


def skipping_ratios(library: str) -> SkippingRatios:
    """Ratios of the dot product's change to the whole element; skipping does not change the rest of the element."""
    element = element_result(library, "Anda", 6)
    plain = find_result(library, "anda-pe", "M=6", tree="carry-save", operand_isolation=True)
    every, skipped = (
        find_result(library, "anda-pe", f"M=6{suffix}", tree="carry-save", operand_isolation=True, skipping=True)
        for suffix in ("", " skipping 1")
    )
    saved = every.energy_pj_per_cycle * every.cycles - skipped.energy_pj_per_cycle * skipped.cycles
    return SkippingRatios(
        area=1 + (every.area_um2 - plain.area_um2) / element.area_um2,
        power=1 + (every.energy_pj_per_cycle - plain.energy_pj_per_cycle) / element.energy_pj_per_cycle,
        plane=saved / (every.cycles - skipped.cycles) / element.energy_pj_per_cycle,
    )


@dataclass(frozen=True)
class Scaling:
    """Factors that scale area and energy from a library's node to 16 nm at 0.8 V."""

    area: float
    energy: float


def scaling_to_16nm(library: str) -> Scaling:
    """Published scaling factors of a library's node.

    Raises
    ------
    KeyError
        No factors are published for the node.
    """
    data = read_yaml(PAPER.parent / "node_scaling.yaml", "node scaling")

    def level(entry: Mapping[str, Any]) -> float:
        a, b, c = entry["energy"]
        return a * entry["voltage_v"] ** 2 + b * entry["voltage_v"] + c

    origin = data["libraries"][library]
    return Scaling(origin["area"], level(data["target"]) / level(origin))


CLOCK_MANTISSA_BITS = 7
GLITCH_ELEMENTS = ("FP-FP", "FIGNA", "Anda")
GLITCH_MANTISSA_BITS = (4, 7, 13)
CLOCK_ELEMENTS = ("FP-FP", "FP-INT", "FIGNA", "Anda")


def clock_elements(library: str) -> dict[str, Circuit]:
    """Circuits that are synthesised for several clocks, by element."""
    return {name: elements(library)[name] for name in CLOCK_ELEMENTS}


def clock_points(library: str) -> dict[str, list[SynthesisResult]]:
    """Pareto-optimal mappings of each element in period and area, fastest first."""
    found: dict[str, list[SynthesisResult]] = {}
    for name, (design, parameters) in clock_elements(library).items():
        results = [r for r in load_clock_targets(library) if (r.design, dict(r.parameters)) == (design, parameters)]
        results.sort(key=lambda result: (result.critical_ps, result.area_um2))
        best: list[SynthesisResult] = []
        for result in results:
            if not best or result.area_um2 < best[-1].area_um2:
                best.append(result)
        found[name] = best
    return found
