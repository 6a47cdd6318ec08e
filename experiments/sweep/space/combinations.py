"""Combinations of a sweep's values, by number: a range of numbers becomes a column of indices for each dimension."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Indices: TypeAlias = Mapping[str, NDArray[np.int64]]
"""For each dimension an index into its values, of one combination an element."""

GRID_LIMIT = 10_000_000
"""Most combinations of a grid; the number of each point that is kept takes 8 bytes."""
TRIES = 100
"""Most random draws for each combination asked for."""


@dataclass(frozen=True)
class Combinations:
    """All combinations of the grid's values, at each sample of the other dimensions.

    Attributes
    ----------
    grid
        Number of values of each dimension that is taken in full; the last one varies fastest.
    samples
        Index of each sample, for each sampled dimension.
    count
        Number of samples; 1 if nothing is sampled.
    """

    grid: Mapping[str, int]
    samples: Indices = field(default_factory=dict[str, NDArray[np.int64]])
    count: int = 1

    @property
    def size(self) -> int:
        """Number of combinations."""
        return self.count * math.prod(self.grid.values())

    def indices(self, numbers: NDArray[np.int64]) -> Indices:
        """The combinations of some numbers, as columns."""
        columns: dict[str, NDArray[np.int64]] = {}
        rest = numbers
        for name, length in reversed(list(self.grid.items())):
            rest, columns[name] = np.divmod(rest, length) if length > 1 else (rest, np.zeros_like(rest))
        return columns | {name: column[rest] for name, column in self.samples.items()}


def first_of_equal(columns: Indices, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Positions of rows that are unlike all rows before, in order; `rows` are the positions to look at."""
    table = np.ascontiguousarray(np.column_stack([column[rows].astype(np.int32) for column in columns.values()]))
    _, first = np.unique(table.view(np.dtype((np.void, table.itemsize * table.shape[1]))), return_index=True)
    return rows[np.sort(first)]


def random_samples(
    sizes: Mapping[str, int], count: int, seed: int, wanted: Callable[[Indices], NDArray[np.bool_]]
) -> Indices:
    """Distinct samples, each dimension drawn on its own, of those that are wanted.

    Parameters
    ----------
    sizes
        Number of values of each dimension.
    count
        Samples asked for; there are fewer if not enough are wanted.
    seed
        Seed of the draws.
    wanted
        True for the samples to take.
    """
    rng = random.Random(seed)
    count = min(count, math.prod(sizes.values()))
    found: Indices = {name: np.zeros(0, dtype=np.int64) for name in sizes}
    tries, taken = TRIES * count, 0
    while tries > 0 and taken < count:
        block = min(tries, max(count - taken, 256))
        tries -= block
        drawn = [[rng.choice(range(size)) for size in sizes.values()] for _ in range(block)]
        table = np.array(drawn, dtype=np.int64).reshape(block, len(sizes))
        new = dict(zip(sizes, table.T, strict=True))
        mask = wanted(new)
        together = {name: np.concatenate([found[name], column[mask]]) for name, column in new.items()}
        kept = first_of_equal(together, np.arange(taken + int(mask.sum())))[:count]
        found, taken = {name: column[kept] for name, column in together.items()}, len(kept)
    return found


def latin_hypercube(sizes: Mapping[str, int], count: int, seed: int) -> Indices:
    """Distinct samples that take the values of each dimension equally often: counts differ by one at most.

    There are fewer than asked for if no more combinations exist; parameters are those of `random_samples`.
    """
    rng = np.random.default_rng(seed)
    total = math.prod(sizes.values())
    if count >= total:
        return Combinations(sizes).indices(rng.permutation(total))
    columns = {name: rng.permutation(_balanced(size, count, rng.random())) for name, size in sizes.items()}
    every = np.arange(count)
    for _ in range(TRIES):
        repeated = np.setdiff1d(every, first_of_equal(columns, every))
        if not len(repeated):
            break
        for row, other in zip(repeated, rng.integers(count, size=len(repeated)), strict=True):
            column = columns[list(sizes)[rng.integers(len(sizes))]]
            column[[row, other]] = column[[other, row]]  # keeps the counts
    kept = first_of_equal(columns, every)
    return {name: column[kept] for name, column in columns.items()}


def _balanced(size: int, count: int, offset: float) -> NDArray[np.int64]:
    """`count` indices below `size`, evenly spaced from an offset of 0 to below 1."""
    return np.minimum(((np.arange(count) + offset) * size / count).astype(np.int64), size - 1)
