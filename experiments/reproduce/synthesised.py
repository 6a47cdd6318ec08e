"""Fig. 15 from synthesis of this project's own circuits, in every library that the package has tables of."""

from __future__ import annotations

from collections.abc import Iterator

from .comparison import Comparison

BASE = "FP-FP"
NOTE = (
    "Synthesised: our own circuits in open libraries, at equal throughput at 16 bits and equal clock (docs/synthesis.md); "
    "the published bars are of a 16 nm library and of designs that are not published as code."
)


def synthesised_elements() -> Iterator[Comparison]:
    """Area and energy efficiency of each element over FP-FP's; none where there are no tables."""
    from ...rtl.synthesis.results import library_names
    from ..synthesis_tables import element_rows

    for library in library_names():
        rows = [row for row in element_rows(library) if row.element != BASE]
        for quantity in ("area_efficiency", "energy_efficiency"):
            panel = f"{quantity.replace('_', ' ')}, synthesised ({library})"
            for row in rows:
                published, ours = row.published.get(quantity), getattr(row, quantity)
                yield Comparison("fig15", panel, row.element, published, ours, "measured")
