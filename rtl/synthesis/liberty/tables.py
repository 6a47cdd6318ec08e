"""Look-up tables of the non-linear delay model, with bilinear interpolation and linear extrapolation."""

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from .reader import Group, numbers

LOAD = "total_output_net_capacitance"
_SECOND = (LOAD, "related_pin_transition")
"""Variables that become the second one of a table: load after slew, clock slew after data slew."""


@dataclass(frozen=True, slots=True)
class LookupTable:
    """Value over one or two variables.

    Attributes
    ----------
    rows, columns : `tuple` of `float`
        First variable: slew (of the constrained pin). Second variable: load, or slew of the related pin. An axis with a
        single entry means that the table does not depend on the variable.
    values : `tuple` of `tuple` of `float`
        Values ``[rows][columns]``.
    """

    rows: tuple[float, ...]
    columns: tuple[float, ...]
    values: tuple[tuple[float, ...], ...]

    def __call__(self, row: float, column: float) -> float:
        """Value at a point. Outside the table its last segment is continued, as static timing tools do."""
        i, x = _place(self.rows, row)
        j, y = _place(self.columns, column)
        values = self.values
        if not y:
            left = values[i][j]
            return left + x * (values[i + 1][j] - left) if x else left
        low = values[i][j] + y * (values[i][j + 1] - values[i][j])
        if not x:
            return low
        high = values[i + 1][j] + y * (values[i + 1][j + 1] - values[i + 1][j])
        return low + x * (high - low)

    def scaled(self, rows: float, columns: float, values: float) -> "LookupTable":
        """Table in other units: both axes and the values are multiplied by these factors."""
        return LookupTable(
            tuple(x * rows for x in self.rows),
            tuple(y * columns for y in self.columns),
            tuple(tuple(v * values for v in line) for line in self.values),
        )


def _place(index: Sequence[float], value: float) -> tuple[int, float]:
    """Segment of an axis that a value is in, and its position there as a fraction of the length."""
    if len(index) == 1:
        return 0, 0.0
    piece = min(max(bisect_right(index, value) - 1, 0), len(index) - 2)
    return piece, (value - index[piece]) / (index[piece + 1] - index[piece])


def read_table(group: Group, templates: dict[str, Group]) -> LookupTable:
    """Table of a group such as ``cell_rise (template)``, in the units of the library; `ValueError` if it is none."""
    template = templates.get(group.name)
    attributes = {**(template.attributes if template else {}), **group.attributes}
    values = numbers(attributes["values"])
    if len(values) > 1 and template is None and group.name not in ("", "scalar") and "index_1" not in attributes:
        raise ValueError(f"the template {group.name!r} of {group.kind} is missing")
    if "index_3" in attributes and len(values) > 1:
        raise ValueError(f"{group.kind} has three variables")
    axes = [
        (attributes.get(f"variable_{n}", ""), numbers(attributes[f"index_{n}"]))
        for n in (1, 2)
        if f"index_{n}" in attributes and len(values) > 1
    ]
    if len(values) != math.prod(len(index) for _, index in axes):
        raise ValueError(f"{group.kind} has {len(values)} values for {[len(index) for _, index in axes]} indices")
    if any(low >= high for _, index in axes for low, high in pairwise(index)):
        raise ValueError(f"the indices of {group.kind} do not rise")
    if not axes:
        return LookupTable((0.0,), (0.0,), (values[:1],))
    if len(axes) == 1:
        (variable, index), line = axes[0], values
        if variable == LOAD:
            return LookupTable((0.0,), index, (line,))
        return LookupTable(index, (0.0,), tuple((value,) for value in line))
    (first, outer), (_, inner) = axes
    lines = [values[i * len(inner) : (i + 1) * len(inner)] for i in range(len(outer))]
    if first in _SECOND:
        return LookupTable(inner, outer, tuple(zip(*lines, strict=True)))
    return LookupTable(outer, inner, tuple(lines))
