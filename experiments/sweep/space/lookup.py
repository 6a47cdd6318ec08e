"""Columns that depend on few dimensions: a value is found once for each combination of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .combinations import Indices

TABLE_LIMIT = 1 << 20
"""Most combinations of a lookup whose values are kept for later blocks."""
COMPOSITE_LIMIT = 1 << 42
"""Largest number of a combination before numbers are made small again."""


class Lookup:
    """Values of a column by the combination of some dimensions.

    Parameters
    ----------
    sizes
        Number of values of each dimension that the column depends on.
    """

    def __init__(self, sizes: Mapping[str, int]) -> None:
        self._sizes = sizes
        size = math.prod(sizes.values())
        self._table = np.full(size, -1, dtype=np.int32) if size <= TABLE_LIMIT else None
        self.values: list[Any] = []

    def codes(self, indices: Indices, rows: int, find: Callable[[int], Any]) -> NDArray[np.int32]:
        """For each row the place of its value in `values`; `find` gives the value of a row and is called in their order."""
        composite, small = self._composite(indices, rows)
        if self._table is None or not small:
            first, inverse = _first_rows(composite)
            self.values = [find(row) for row in first]
            return inverse
        missing = np.flatnonzero(self._table[composite] < 0)
        if len(missing):
            first = missing[_first_rows(composite[missing])[0]].tolist()
            self.values += [find(row) for row in first]
            self._table[composite[first]] = np.arange(len(self.values) - len(first), len(self.values), dtype=np.int32)
        return self._table[composite]

    def _composite(self, indices: Indices, rows: int) -> tuple[NDArray[np.int64], bool]:
        """A number for each combination; False if the numbers are those of this block alone."""
        composite, size, small = np.zeros(rows, dtype=np.int64), 1, True
        for name, length in self._sizes.items():
            if length == 1:
                continue
            if size * length > COMPOSITE_LIMIT:
                composite, size, small = np.unique(composite, return_inverse=True)[1], rows, False
            composite = composite * length + indices[name]
            size *= length
        return composite, small


def _first_rows(numbers: NDArray[np.int64]) -> tuple[list[int], NDArray[np.int32]]:
    """The first row of each number, in order; and for each row which of these it equals."""
    _, first, inverse = np.unique(numbers, return_index=True, return_inverse=True)
    order = np.argsort(first)
    place = np.empty(len(order), dtype=np.int32)
    place[order] = np.arange(len(order), dtype=np.int32)
    return first[order].tolist(), place[inverse]


def as_column(values: Sequence[Any]) -> NDArray[Any]:
    """Values as an array of numbers, or of texts (objects) if one of them is a text."""
    if any(isinstance(value, str) for value in values):
        return np.array([str(value) for value in values], dtype=object)
    return np.array(values)
