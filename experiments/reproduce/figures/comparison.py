"""A published value and this program's, side by side."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias

Kind: TypeAlias = Literal["measured", "derived", "unavailable"]
"""Origin of this program's value.

``measured``: from models, circuits and counts that run here. ``derived``: computed here, with published constants among
the inputs (areas, powers, precision tuples). ``unavailable``: needs models or data that are not here, so there is none.
"""
Value: TypeAlias = float | int | str
"""A number, or a text such as a precision ``"7,5,6,6"``."""

MEANINGS: dict[Kind, str] = {
    "measured": "runs here: model evaluations, circuits, counts of operations",
    "derived": "computed here with published constants among the inputs: areas, powers, precision tuples",
    "unavailable": "takes the original models, data or synthesis, which are not here",
}


@dataclass(frozen=True)
class Comparison:
    """One value of a figure. `ours` is None where there is none, `published` where the paper prints none."""

    figure: str
    panel: str
    """Quantity or series, such as ``speedup`` or ``OPT-1.3B``."""
    label: str
    """Design or setting, such as ``Anda 1%`` or ``2048 tokens``."""
    published: Value | None
    ours: Value | None
    kind: Kind
    x: float | None = None
    """Position on the horizontal axis, in figures that have one."""
    error: float | None = None
    """Standard error of `ours`, if it was measured on samples."""

    def __post_init__(self) -> None:
        if (self.ours is None) != (self.kind == "unavailable"):
            raise AssertionError(f"{self.quantity}: a value of ours is measured or derived, and none is unavailable")

    @property
    def quantity(self) -> str:
        """Panel and label in one text."""
        return f"{self.panel}, {self.label}" if self.label else self.panel

    @property
    def deviation(self) -> float | None:
        """Ours over published, minus one; 0 for equal texts; None if the two cannot be compared."""
        if isinstance(self.published, str) or isinstance(self.ours, str):
            return 0.0 if self.published == self.ours else None
        if self.published is None or self.ours is None or self.published == 0:
            return None
        return self.ours / self.published - 1

    def record(self) -> dict[str, Any]:
        """The comparison as plain data, for JSON."""
        return {
            "figure": self.figure,
            "quantity": self.quantity,
            "published": self.published,
            "ours": self.ours,
            "deviation": self.deviation,
            "kind": self.kind,
        }


@dataclass(frozen=True)
class FigureResult:
    """All comparisons of a figure or table."""

    name: str
    title: str
    comparisons: tuple[Comparison, ...]
    notes: tuple[str, ...]
    """Notes that a reader needs to judge the comparison."""
    seconds: float = 0.0
    """Time to compute the comparison, in seconds."""
    drawing: str = "bars"
    """Kind of plot: a key of `drawing.DRAWINGS`."""
    axis: str = ""
    """Title of the axis of `Comparison.x`."""

    def to_dict(self) -> dict[str, Any]:
        """All fields as plain data, for the cache."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> FigureResult:
        """The inverse of `to_dict`."""
        comparisons = tuple(Comparison(**comparison) for comparison in data["comparisons"])
        fields: dict[str, Any] = {**data, "comparisons": comparisons, "notes": tuple(data["notes"])}
        return cls(**fields)
