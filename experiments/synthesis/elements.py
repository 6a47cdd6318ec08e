"""The published processing elements and the circuits that stand for them: what the tables of synthesis compare."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import yaml

from ...formats.latency.elements import FP16_GROUP_CYCLES
from ...rtl.synthesis.results import Result, find_result, load_clock_targets

PAPER = Path(__file__).parents[1] / "paper" / "anda_hpca2025.json"

GROUP = 64
MANTISSA_BITS = range(13, 3, -1)

Circuit: TypeAlias = tuple[str, dict[str, Any]]
"""A design and its parameters."""

ANDA: Circuit = ("anda-pe-scaled", {"tree": "carry-save", "gated": True})
COMMON: Mapping[str, Circuit] = {
    "FP-FP": ("fp-fp-pe", {"stages": 4}),
    "FP-INT": ("fp-int-pe", {"stages": 4}),
    "iFPU": ("ifpu-pe", {"stages": 2}),
    "FIGNA": ("figna-pe", {"mantissa_bits": 13}),
    "FIGNA-M11": ("figna-pe", {"mantissa_bits": 11}),
    "FIGNA-M8": ("figna-pe", {"mantissa_bits": 8}),
    "Anda": ANDA,
}
"""The circuits where a library says nothing else, and where circuits are compared between libraries."""
_DEEP: Mapping[str, Circuit] = {
    "FP-FP": ("fp-fp-pe", {"stages": 4, "depth": 6, "outputs": 6}),
    "FP-INT": ("fp-int-pe", {"stages": 4, "depth": 6, "outputs": 6}),
    "iFPU": ("ifpu-pe", {"stages": 3, "depth": 5}),
    "FIGNA": ("figna-pe", {"mantissa_bits": 13, "stages": 3, "depth": 5}),
    "FIGNA-M11": ("figna-pe", {"mantissa_bits": 11, "stages": 3, "depth": 5}),
    "FIGNA-M8": ("figna-pe", {"mantissa_bits": 8, "stages": 3, "depth": 5}),
    "Anda": (ANDA[0], {**ANDA[1], "stages": 3, "depth": 5}),
}
"""With the registers that 285 MHz take at 130 and 180 nm."""


def elements(library: str) -> Mapping[str, Circuit]:
    """The circuits that stand for the published elements in a library: each ends in an FP32 accumulator."""
    return COMMON if library == "asap7" else _DEEP


def element_result(library: str, name: str, mantissa_bits: int = MANTISSA_BITS[0]) -> Result:
    """The run of an element; Anda's has a mantissa length."""
    design, parameters = elements(library)[name]
    return find_result(library, design, f"M={mantissa_bits}" if name == "Anda" else "trace", **parameters)


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
    element = element_result(library, "Anda", 6)
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
    data = yaml.safe_load((PAPER.parent / "node_scaling.yaml").read_text("utf-8"))

    def level(entry: Mapping[str, Any]) -> float:
        a, b, c = entry["energy"]
        return a * entry["voltage_v"] ** 2 + b * entry["voltage_v"] + c

    origin = data["libraries"][library]
    return Scaling(origin["area"], level(data["target"]) / level(origin))


CLOCK_MANTISSA_BITS = 7
CLOCK_ELEMENTS = ("FP-FP", "FP-INT", "FIGNA", "Anda")


def clock_elements(library: str) -> dict[str, Circuit]:
    """The circuits that are mapped for several clocks, by element."""
    return {name: elements(library)[name] for name in CLOCK_ELEMENTS}


def clock_points(library: str) -> dict[str, list[Result]]:
    """Of each element the mappings that no other beats, fastest first: least period, area and energy of a product."""
    found: dict[str, list[Result]] = {}
    for name, (design, parameters) in clock_elements(library).items():
        results = [r for r in load_clock_targets(library) if (r.design, dict(r.parameters)) == (design, parameters)]
        results.sort(key=lambda result: (result.critical_ps, result.area_um2))
        best: list[Result] = []
        for result in results:
            if not best or result.area_um2 < best[-1].area_um2:
                best.append(result)
        found[name] = best
    return found
