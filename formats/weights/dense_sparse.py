"""Weights as the sum of a dense FP16 matrix, decoded from codes, and a sparse matrix: SqueezeLLM and SpQR."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ..checks import check_finite
from ..errors import InputError
from .base import PackedWeights

STORED_DTYPES = (("uint32",), ("uint16", "uint32"), ("float16", "float32"))
"""Dtypes of row offsets, columns and values."""


@dataclass(frozen=True, eq=False)
class SparseWeights:
    """Sparse matrix ``[in, out]`` in CSR form; its rows are the output channels.

    Parameters
    ----------
    shape
        ``(in, out)``.
    row_offsets
        uint32 ``[out + 1]``: output channel n has the entries ``row_offsets[n]..row_offsets[n + 1] - 1``.
    columns
        uint16 or uint32 ``[entries]``: input channels, strictly increasing within an output channel.
    values
        float16 or float32 ``[entries]``, finite.

    Raises
    ------
    InputError
        The arrays are not a CSR matrix.
    """

    shape: tuple[int, int]
    row_offsets: NDArray[np.uint32]
    columns: NDArray[np.unsignedinteger]
    values: NDArray[np.floating]

    def __post_init__(self) -> None:
        channels, out = self.shape
        offsets, columns, values = self.row_offsets, self.columns, self.values
        if (
            not _are_stored(offsets.dtype, columns.dtype, values.dtype)
            or offsets.shape != (out + 1,)
            or columns.shape != values.shape
            or columns.ndim != 1
        ):
            raise InputError(
                f"sparse: {offsets.dtype} {list(offsets.shape)}, {columns.dtype} {list(columns.shape)} and "
                f"{values.dtype} {list(values.shape)} are no CSR matrix; give uint32 [{out + 1}], uint and float [n]"
            )
        if offsets[0] != 0 or offsets[-1] != len(values) or (np.diff(offsets.astype(np.int64)) < 0).any():
            raise InputError(f"row_offsets: do not rise from 0 to the {len(values)} entries; give cumulative counts")
        if len(columns) and columns.max() >= channels:
            raise InputError(
                f"columns: reach {columns.max()}; give columns below {channels}, the number of input channels"
            )
        same_row = np.diff(self.rows()) == 0
        if (np.diff(columns.astype(np.int64))[same_row] <= 0).any():
            raise InputError("columns: do not increase within an output channel; sort them and drop duplicates")
        check_finite("values", values)

    @property
    def entries(self) -> int:
        """Number of stored values."""
        return len(self.values)

    def rows(self) -> NDArray[np.intp]:
        """Output channel of each entry."""
        return np.repeat(np.arange(self.shape[1]), np.diff(self.row_offsets.astype(np.int64)))

    @classmethod
    def from_mask(
        cls, mask: NDArray[np.bool_], values: NDArray[np.floating], column_dtype: Any, value_dtype: Any
    ) -> Self:
        """Take the entries of ``values`` ``[in, out]`` where ``mask`` is True."""
        rows, columns = np.nonzero(mask.T)
        offsets = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=mask.shape[1]))]).astype(np.uint32)
        stored = values.T[rows, columns].astype(value_dtype)
        return cls((mask.shape[0], mask.shape[1]), offsets, columns.astype(column_dtype), stored)

    @classmethod
    def empty(cls, shape: tuple[int, int], column_dtype: Any, value_dtype: Any) -> Self:
        """Build a matrix without entries."""
        return cls.from_mask(np.zeros(shape, np.bool_), np.zeros(shape), column_dtype, value_dtype)


def _are_stored(offsets: np.dtype[Any], columns: np.dtype[Any], values: np.dtype[Any]) -> bool:
    kinds = offsets.name, columns.name, values.name
    return all(kind in allowed for kind, allowed in zip(kinds, STORED_DTYPES, strict=True))


class DenseSparseWeights(PackedWeights):
    """Packed weights that decode to ``dense() + sparse``."""

    @property
    def shape(self) -> tuple[int, int]:
        """Shape ``(in, out)``."""
        return self.sparse.shape

    @property
    @abstractmethod
    def sparse(self) -> SparseWeights:
        """Sparse part."""

    @abstractmethod
    def dense(self) -> NDArray[np.float16]:
        """Dense part, decoded from the codes: float16 ``[in, out]``."""

    def decode(self) -> NDArray[np.float32]:
        """Decode to float32 ``[in, out]``; adding a sparse value rounds once."""
        weights = self.dense().astype(np.float32)
        weights[self.sparse.columns, self.sparse.rows()] += self.sparse.values.astype(np.float32)
        return weights

    @property
    def sparse_fraction(self) -> float:
        """Number of sparse entries divided by the number of weights."""
        return self.sparse.entries / (self.shape[0] * self.shape[1])
