"""Quantities that a search can minimise."""

from typing import Literal

Objective = Literal["bops", "energy", "latency", "edp", "dram"]
"""``bops``: bit operations. ``energy``: picojoules. ``latency``: cycles. ``edp``: the product of energy and latency.
``dram``: bits over the DRAM interface.
"""

MAPPING_OBJECTIVES: tuple[Objective, ...] = ("energy", "latency", "edp", "dram")
"""Objectives of the search for mappings, which all have the same bit operations."""

ENERGY, LATENCY, EDP, DRAM = range(4)
"""The same as numbers, for compiled code."""
NUMBERS = {name: number for number, name in enumerate(MAPPING_OBJECTIVES)}
