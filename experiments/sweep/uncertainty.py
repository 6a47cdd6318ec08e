"""Uncertain constants: a dimension each, over the range that its source states."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from pydantic import Field

from ...formats.documents.schema import Config
from ...sim import load_technology

_HALF_WIDTH = re.compile(r"\+-\s*(\d+(?:\.\d+)?)\s*(%?)")


class Uncertainty(Config):
    """Vary every constant of the technology over its uncertainty: a dimension each.

    Where a source states a half-width (``+-0.005 (printed digits)``), that is the range; where it has words alone, the
    range is `spread_percent` to either side; ``exact`` constants and the reference run are not varied.
    """

    spread_percent: float = Field(default=30, gt=0, lt=100)
    """Half-width of constants whose source states none."""
    at_least_percent: float = Field(default=0, ge=0, lt=100)
    """Widen every range to this half-width."""
    values: int = Field(default=31, ge=2, le=1001)
    """Evenly spaced values of a range."""

    def constants(self, technology: str) -> dict[str, tuple[float, ...]]:
        """The values of each constant by its dotted name."""
        ranges = _ranges(self, "", load_technology(technology).model_dump(by_alias=True))
        return {
            name: tuple(float(f"{v:.6g}") for v in np.linspace(low, high, self.values))
            for name, (low, high) in ranges.items()
        }


def _ranges(uncertainty: Uncertainty, path: str, data: dict[str, Any]) -> dict[str, tuple[float, float]]:
    """Lowest and highest value of the uncertain constants in a nested record."""
    if "value" in data and "uncertainty" in data:
        half = _half_width(uncertainty, data["value"], data["uncertainty"])
        return {path: (data["value"] - half, data["value"] + half)} if half else {}
    found: dict[str, tuple[float, float]] = {}
    for name, inner in data.items():
        if isinstance(inner, dict) and name != "reference":
            found |= _ranges(uncertainty, f"{path}.{name}" if path else name, inner)
    return found


def _half_width(uncertainty: Uncertainty, value: float, text: str) -> float:
    if text.startswith("exact"):
        return 0.0
    match = _HALF_WIDTH.search(text)
    if match is None:
        stated = value * uncertainty.spread_percent / 100
    else:
        stated = float(match[1]) * (value / 100 if match[2] else 1.0)
    return min(max(stated, value * uncertainty.at_least_percent / 100), 0.99 * value)
