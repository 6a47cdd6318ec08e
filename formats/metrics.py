"""Metrics of a user's own: classes that compute a column of a sweep from each of its rows."""

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Protocol

from .errors import InputError
from .registry import Registry


class Metric(Protocol):
    """A column of a sweep, computed from a row. It is built without parameters."""

    name: ClassVar[str]
    """Name in sweep files; the column has underscores for hyphens."""
    source: ClassVar[str]
    """Publication that defines the metric, or what it is for."""

    def measure(self, row: Mapping[str, Any]) -> float:
        """Value for a row, the columns by name: those of the input, then the results; None or NaN where it is unknown."""
        ...


metrics: Registry[Metric] = Registry("metrics", "metric")


def measured(name: str, rows: Iterable[Mapping[str, Any]]) -> list[float]:
    """Values of a registered metric for all rows.

    Raises
    ------
    InputError
        It fails for a row, or returns no number.
    """
    try:
        metric: Any = metrics.find(name)()
    except Exception as error:  # a user's class may do anything
        raise InputError(
            f"metrics: {name} cannot be built ({type(error).__name__}: {error}); give it no parameters"
        ) from None
    return [_value(name, metric, row) for row in rows]


def _value(name: str, metric: Any, row: Mapping[str, Any]) -> float:
    try:
        value = metric.measure(row)
    except Exception as error:  # a user's method may do anything
        raise InputError(
            f"metrics: {name} fails ({type(error).__name__}: {error}); its row has the columns {', '.join(map(str, row))}"
        ) from None
    if value is None:
        return float("nan")
    try:
        if isinstance(value, str):
            raise TypeError
        return float(value)
    except (TypeError, ValueError, OverflowError):
        raise InputError(f"metrics: {name} returns {value!r}; return a number, or None where it is unknown") from None
