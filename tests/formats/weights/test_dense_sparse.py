"""The sparse matrix of SqueezeLLM and SpQR."""

from typing import Any

import numpy as np
import pytest
from anda_codesign.formats import InputError
from anda_codesign.formats.weights.dense_sparse import SparseWeights
from hypothesis import given, settings
from hypothesis import strategies as st


@given(st.integers(1, 20), st.integers(1, 20), st.floats(0, 1), st.integers(0, 1000))
@settings(deadline=None)
def test_mask_round_trip(channels: int, out: int, share: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    mask, values = rng.random((channels, out)) < share, rng.standard_normal((channels, out)).astype(np.float16)
    sparse = SparseWeights.from_mask(mask, values, np.uint16, np.float16)
    full = np.zeros((channels, out), np.float16)
    full[sparse.columns, sparse.rows()] = sparse.values
    np.testing.assert_array_equal(full, np.where(mask, values, 0))
    assert sparse.entries == mask.sum() == sparse.row_offsets[-1]
    np.testing.assert_array_equal(np.diff(sparse.row_offsets), mask.sum(axis=0))


GOOD: dict[str, Any] = {
    "shape": (4, 2),
    "row_offsets": np.array([0, 1, 3], np.uint32),
    "columns": np.array([3, 0, 2], np.uint16),
    "values": np.ones(3, np.float16),
}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"columns": np.array([3, 0, 2])},
            "sparse: uint32 [3], int64 [3] and float16 [3]",
        ),
        (
            {"values": np.ones(2, np.float16)},
            "sparse: uint32 [3], uint16 [3] and float16 [2]",
        ),
        (
            {"row_offsets": np.array([0, 2, 1], np.uint32)},
            "row_offsets: do not rise from 0 to the 3 entries",
        ),
        (
            {"row_offsets": np.array([0, 4, 3], np.uint32)},
            "row_offsets: do not rise from 0 to the 3 entries",
        ),
        ({"columns": np.array([3, 0, 4], np.uint16)}, "columns: reach 4"),
        (
            {"columns": np.array([3, 2, 2], np.uint16)},
            "columns: do not increase within an output channel",
        ),
        ({"values": np.array([1, np.inf, 1], np.float16)}, "values: element"),
    ],
)
def test_bad_fields(changes: dict[str, Any], message: str) -> None:
    SparseWeights(**GOOD)
    with pytest.raises(InputError) as error:
        SparseWeights(**{**GOOD, **changes})
    assert str(error.value).startswith(message)
