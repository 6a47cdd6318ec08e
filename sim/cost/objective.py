"""Quantities that a search can minimise."""

from typing import Literal

Objective = Literal["bops", "energy", "latency", "edp"]
"""``bops``: bit operations. ``energy``: picojoules. ``latency``: cycles. ``edp``: the product of energy and latency."""

TILING_OBJECTIVES: tuple[Objective, ...] = ("energy", "latency", "edp")
"""Objectives of the search for tilings, which all have the same bit operations."""
