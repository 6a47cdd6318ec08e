"""Errors of measured columns: which points differ in a loss by more than the error of their difference on the same blocks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ...workloads.evaluation.statistics import student_quantile
from ..sweep.evaluation import BLOCKS_COLUMN, MEASURED_COLUMNS, read_block_losses

if TYPE_CHECKING:
    import pandas as pd

CONFIDENCE = 0.95
"""Two-sided confidence of a difference that counts."""


class PairedErrors:
    """Half widths of the 95 % t intervals of the differences between rows in a measured column.

    Where the losses of the blocks are known, differences are paired; otherwise the standard errors of both rows are added
    in quadrature, as for different text. A row without either has no error.

    Parameters
    ----------
    frame
        Rows of a sweep.
    column
        A column to compare; only those in `MEASURED_COLUMNS` have errors.
    """

    def __init__(self, frame: pd.DataFrame, column: str) -> None:
        name = column.removeprefix("-")
        self._blocks: NDArray[np.float64] | None = None
        self._errors: NDArray[np.float64] | None = None
        if name != MEASURED_COLUMNS[0]:
            return
        if BLOCKS_COLUMN in frame:
            texts, self._places = np.unique(frame[BLOCKS_COLUMN].fillna("").to_numpy(dtype=str), return_inverse=True)
            losses = [read_block_losses(text) for text in texts]
            lengths = {len(own) for own in losses if own}  # none where perplexity was not evaluated
            if len(lengths) == 1 and (length := lengths.pop()) > 1:
                self._blocks = np.array([own or [np.nan] * length for own in losses])
        elif (error := f"{name.removesuffix('_percent')}_standard_error_percent") in frame:
            self._errors = frame[error].to_numpy(dtype=np.float64)

    def __bool__(self) -> bool:
        """True if there are errors."""
        return self._blocks is not None or self._errors is not None

    def of(self, row: int) -> NDArray[np.float64]:
        """Half widths of the differences of all rows from one, by place ``[rows]``; 0 for rows with the same losses."""
        if self._blocks is not None:
            differences = self._blocks - self._blocks[self._places[row]]
            count = differences.shape[1]
            half = student_quantile((1 + CONFIDENCE) / 2, count - 1) * differences.std(axis=1, ddof=1) / np.sqrt(count)
            return np.nan_to_num(half)[self._places]
        assert self._errors is not None
        return np.nan_to_num(1.96 * np.hypot(self._errors, self._errors[row]))


def rank_values(values: NDArray[np.float64], column: str) -> NDArray[np.float64]:
    """Values by which rows are compared: a negative loss counts as zero, since no format is better than its reference."""
    return np.maximum(values, 0.0) if column in MEASURED_COLUMNS else values
