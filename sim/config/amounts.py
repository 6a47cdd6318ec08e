"""Areas and energies of a user's own processing element: absolute, or relative to a named element of the technology."""

from typing import Self

from pydantic import AfterValidator, Field, model_validator

from ...formats.documents.schema import Config
from .yaml_config import Hertz

AREA_UNITS = {"um^2": 1e-6, "mm^2": 1.0}
"""Square millimetres of each unit."""
ENERGY_UNITS = {"fJ": 1e-3, "pJ": 1.0}
"""Picojoules of each unit."""
POWER_UNITS = {"uW": 1e6, "mW": 1e9}
"""Picojoules in a second of each unit: over the clock's frequency, the energy of a cycle."""


class Amount(Config):
    """A number with its unit, node and source, or a ratio to the same amount of another element.

    `node`, `source` and `uncertainty` are those of the element where they are left out.
    """

    value: float = Field(gt=0, ge=1e-30, le=1e30)
    relative_to: str | None = None
    """An element of the technology; `value` is then the ratio of two elements with equal lanes."""
    unit: str | None = None
    clock_hz: Hertz | None = Field(default=None, alias="clock")
    """Clock at which a power was measured."""
    node: str | None = Field(default=None, min_length=1)
    source: str | None = Field(default=None, min_length=1)
    uncertainty: str | None = Field(default=None, min_length=1)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.relative_to is not None and self.unit not in (None, "1"):
            raise ValueError(f"unit: a value relative to {self.relative_to} is a ratio; leave {self.unit} out")
        if (self.unit in POWER_UNITS) != (self.clock_hz is not None):
            raise ValueError(
                "clock: a power in uW or mW needs the clock at which it was measured, and nothing else does"
            )
        return self

    def scaled(self, units: dict[str, float]) -> float:
        """The value in the base unit of `AREA_UNITS` or `ENERGY_UNITS`; powers as energies of a cycle."""
        unit = str(self.unit)
        return self.value * units[unit] if self.clock_hz is None else self.value * POWER_UNITS[unit] / self.clock_hz


def in_units(*names: str) -> AfterValidator:
    """A validator that accepts ratios, and amounts in one of these units."""

    def check(amount: Amount) -> Amount:
        if amount.relative_to is None and amount.unit not in names:
            shown = "is missing" if amount.unit is None else f"is {amount.unit!r}"
            raise ValueError(f"unit: {shown}; give the value in {' or '.join(names)}, or relative_to an element")
        return amount

    return AfterValidator(check)
