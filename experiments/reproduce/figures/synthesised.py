"""Fig. 15 and Table III from synthesis of this project's circuits, in every library with stored results."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

from .comparison import Comparison
from .published import published

if TYPE_CHECKING:
    from ...synthesis.elements import Scaling

BASE = "FP-FP"
LOGIC = ("array", "compressor", "vector_unit")
"""Parts of Table III that are synthesised here. The buffers are memories; the controller is not measured."""
PARTS_NOTE = (
    "Array, compressor and vector unit: our own circuits, synthesised in two libraries around 16 nm and brought there with "
    "published factors of area and energy (docs/synthesis.md); wires, clock tree, dispatch and registers are not in them."
)
NOTE = (
    "Synthesised: our own circuits in open libraries, at equal throughput at 16 bits and equal clock (docs/synthesis.md); "
    "the published bars are of a 16 nm library and of designs that are not published as code."
)


def synthesised_elements() -> Iterator[Comparison]:
    """Area and energy efficiency of each element over FP-FP's; empty without stored results."""
    from ....rtl.synthesis.results import library_names
    from ...synthesis.elements import element_rows

    for library in library_names():
        rows = [row for row in element_rows(library) if row.element != BASE]
        for quantity in ("area_efficiency", "energy_efficiency"):
            panel = f"{quantity.replace('_', ' ')}, synthesised ({library})"
            for row in rows:
                published, ours = row.published.get(quantity), getattr(row, quantity)
                yield Comparison("fig15", panel, row.element, published, ours, "measured")


def synthesised_parts() -> Iterator[Comparison]:
    """Area and power of parts of Table III, from each library with published scaling factors to 16 nm."""
    from ....sim import load_technology
    from ...synthesis.tables import PARTS

    rows = published()["table3_area_mm2_power_mw"]
    for library, factors in _factors().items():
        technology = load_technology(library)
        for index, (quantity, factor) in enumerate((("area", factors.area), ("power", factors.energy))):
            panel = f"{quantity} ({UNITS[quantity]}), synthesised ({library} to 16 nm)"
            for field in LOGIC:
                ours = getattr(getattr(technology, field), quantity).value * factor
                yield Comparison("table3", panel, PARTS[field], rows[PARTS[field]][index], ours, "derived")


UNITS = {"area": "mm²", "power": "mW"}


def _factors() -> dict[str, Scaling]:
    """Scaling factors to 16 nm of each library with published ones."""
    from ....rtl.synthesis.results import library_names
    from ...synthesis.elements import scaling_to_16nm

    found: dict[str, Scaling] = {}
    for library in library_names():
        with suppress(KeyError):
            found[library] = scaling_to_16nm(library)
    return found
