"""Metrics, derived columns and constraints that a sweep computes from its rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from ....formats import InputError
from ....formats.documents.expressions import Expression
from ....formats.metrics import measured, metrics
from ....formats.plugins import load_entry_points

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Formulas:
    """The formulas of a sweep file, as texts.

    Attributes
    ----------
    metrics
        Registered metrics of a user's own.
    derived
        Formulas of further columns by their names; each may use those before it.
    constraints
        Conditions that every row has to meet.
    """

    metrics: tuple[str, ...]
    derived: Mapping[str, str]
    constraints: tuple[str, ...]

    @property
    def conditions(self) -> list[Expression]:
        """The constraints, parsed."""
        return [_parsed(text, "constraints") for text in self.constraints]

    @property
    def derived_columns(self) -> dict[str, Expression]:
        """The derived columns, parsed."""
        return {name: _parsed(text, f"derived.{name}") for name, text in self.derived.items()}

    @property
    def metric_columns(self) -> dict[str, str]:
        """The metrics by the names of their columns.

        Raises
        ------
        InputError
            One is not registered.
        """
        load_entry_points()
        for name in self.metrics:
            if name not in metrics.names():
                known = f"; registered are {', '.join(metrics.names())}" if metrics.names() else ""
                raise InputError(
                    f"metrics: {name!r} is not registered; register a class with that name in a file and name it with --plugin FILE{known}"
                )
        return {name.replace("-", "_"): name for name in self.metrics}

    @property
    def added(self) -> list[str]:
        """Names of all columns that are added."""
        return [*self.metric_columns, *self.derived]

    @property
    def names(self) -> frozenset[str]:
        """Columns that constraints and derived columns read."""
        return frozenset[str]().union(
            *(formula.names for formula in (*self.conditions, *self.derived_columns.values()))
        )

    def allow(self, inputs: Mapping[str, Any]) -> bool:
        """True if the input columns of a row meet the constraints on inputs alone."""
        return all(formula.holds(inputs) for formula in self.conditions if formula.names <= set(inputs))

    def check(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Calculate everything for one row, in which metrics are 1; returns the row with all columns.

        Raises
        ------
        InputError
            A formula has a name that is not a column or cannot be calculated, a constraint is no condition, or a new column's
            name is taken.
        """
        columns = dict(row)
        for name, metric in self.metric_columns.items():
            if name in columns or not name.isidentifier():
                raise InputError(
                    f"metrics: the column of {metric} cannot be named {name}; choose another name for the class"
                )
            columns[name] = 1.0
        for name, formula in self.derived_columns.items():
            if not name.isidentifier() or name in columns:
                raise InputError(
                    f"derived.{name}: cannot be a new name; use letters, digits and underscores, and not a column's name"
                )
            columns[name] = formula.evaluate(columns)
        for formula in self.conditions:
            formula.holds(columns)
        return columns

    def with_columns(self, table: pa.Table) -> pa.Table:
        """Rows with their metrics and derived columns."""
        import pyarrow as pa

        from .tables import columns_of

        rows = table.to_pylist() if self.metrics else []
        for name, metric in self.metric_columns.items():
            table = table.append_column(name, pa.array(measured(metric, rows), pa.float64()))
        for name, formula in self.derived_columns.items():
            value = formula.evaluate(columns_of(table, formula.names))
            table = table.append_column(name, pa.array(np.broadcast_to(value, len(table))))
        return table

    def finished(self, tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
        """The last step of a sweep: rows with all columns that meet all constraints, table by table.

        Raises
        ------
        InputError
            No row does.
        """
        import pyarrow as pa

        from .tables import columns_of

        meeting = [0] * len(self.constraints)
        for table in tables:
            rows = self.with_columns(table)
            for place, formula in enumerate(self.conditions):
                kept = np.broadcast_to(formula.holds(columns_of(rows, formula.names)), len(rows))
                rows = rows if kept.all() else rows.filter(pa.array(kept))
                meeting[place] += len(rows)
            yield rows
        for text, count in zip(self.constraints, meeting, strict=True):
            if not count:
                raise InputError(f"constraints: no point meets {text!r}; loosen it or vary more")


@lru_cache(maxsize=256)
def _parsed(text: str, field: str) -> Expression:
    return Expression(text, field)
