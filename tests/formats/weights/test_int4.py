"""INT4 weights: validation, rounding to nearest, dequantisation, storage."""

from typing import Any

import numpy as np
import pytest
from anda_codesign.formats import InputError, Int4Weights
from hypothesis import given
from hypothesis import strategies as st


def weights(channels: int = 4, group_size: int = 2, **changes: Any) -> Int4Weights:
    """Symmetric weights with three outputs; changes replace constructor arguments."""
    fields: dict[str, Any] = {
        "codes": np.arange(channels * 3, dtype=np.int8).reshape(channels, 3) % 8,
        "scales": np.full((-(-channels // 2), 3), 0.5, np.float16)[: max(-(-channels // max(group_size, 1)), 1)],
        "group_size": group_size,
    }
    return Int4Weights(**{**fields, **changes})


def test_dequantize_symmetric() -> None:
    w = weights(codes=np.array([[-8, 7, 0], [1, 2, 3], [4, 5, 6], [7, -7, -1]], np.int8))
    np.testing.assert_array_equal(w.dequantize(), [[-4, 3.5, 0], [0.5, 1, 1.5], [2, 2.5, 3], [3.5, -3.5, -0.5]])
    assert w.dequantize().dtype == np.float32


def test_dequantize_affine_with_a_short_last_group() -> None:
    codes = np.array([[0], [15], [8]], np.int8)
    scales = np.array([[1], [0.25]], np.float16)
    offsets = np.array([[-8], [1]], np.float16)
    np.testing.assert_array_equal(Int4Weights(codes, scales, 2, offsets).dequantize(), [[-8], [7], [3]])


def test_bits_per_weight() -> None:
    assert weights(256, 128).bits_per_weight == 4.125
    assert weights(64, 32, offsets=np.zeros((2, 3), np.float16)).bits_per_weight == 5  # Q4_1: 20 bytes for 32 weights
    assert weights(576, 128).bits_per_weight == 4 + 16 * 5 / 576


def test_quantize_rounds_to_nearest() -> None:
    w = np.array([[7.0, 0.7], [-3.5, -0.7], [2.5, 0.35], [1.49, 0.04]], np.float32)
    q = Int4Weights.quantize(w, group_size=4)
    np.testing.assert_array_equal(q.scales, np.array([[1.0, 0.1]], np.float16))
    np.testing.assert_array_equal(q.codes, [[7, 7], [-4, -7], [2, 4], [1, 0]])  # -3.5 and 2.5: ties to even
    assert q.offsets is None


@given(st.integers(1, 300), st.sampled_from([32, 64, 128, 1000]), st.floats(1e-6, 1e4))
def test_quantize_error_is_half_a_step(channels: int, group_size: int, magnitude: float) -> None:
    w = np.random.default_rng(channels).standard_normal((channels, 3)) * magnitude
    q = Int4Weights.quantize(w, group_size)
    assert q.scales.shape == (-(-channels // group_size), 3)
    steps = np.repeat(q.scales.astype(np.float64), group_size, axis=0)[:channels]
    largest = np.repeat(np.maximum.reduceat(np.abs(w), np.arange(0, channels, group_size)), group_size, axis=0)[
        :channels
    ]
    rounding_of_the_scale = np.maximum(largest - 7 * steps, 0)
    assert (np.abs(q.dequantize() - w) <= np.maximum(steps / 2, rounding_of_the_scale) * (1 + 1e-6)).all()


def test_quantize_groups_of_zeros() -> None:
    w = np.zeros((6, 2), np.float32)
    w[5, 1] = 1e-9  # its scale underflows FP16
    q = Int4Weights.quantize(w, group_size=4)
    np.testing.assert_array_equal(q.codes, 0)
    np.testing.assert_array_equal(q.scales, 0)
    np.testing.assert_array_equal(q.dequantize(), 0)


def test_quantize_clips_where_the_scale_was_rounded_down() -> None:
    w = np.array([[7.4 * 2.0**-24], [-7.4 * 2.0**-24]])  # the scale 1.06 rounds to 1 unit of the subnormal numbers
    np.testing.assert_array_equal(Int4Weights.quantize(w).codes, [[7], [-7]])
    w = w * 1.35  # 1.43 rounds to 1: 9.99 steps are clipped to the code range
    np.testing.assert_array_equal(Int4Weights.quantize(w).codes, [[7], [-8]])


NAN_PARAMETERS = np.array([[1, 1, 1], [1, np.nan, 1]], np.float16)
ZERO_OFFSETS = np.zeros((2, 3), np.float16)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"group_size": 0}, "group_size: 0"),
        ({"codes": np.zeros((4, 3), np.int16)}, "codes: is int16 [4, 3]"),
        ({"codes": np.zeros((0, 3), np.int8)}, "codes: is int8 [0, 3]"),
        ({"codes": np.zeros(4, np.int8)}, "codes: is int8 [4]"),
        ({"codes": np.full((4, 3), 8, np.int8)}, "codes: span 8..8"),
        ({"codes": np.full((4, 3), -9, np.int8)}, "codes: span -9..-9"),
        (
            {"codes": np.full((4, 3), 16, np.int8), "offsets": ZERO_OFFSETS},
            "codes: span 16..16",
        ),
        (
            {"codes": np.array([[-1, 0, 8]] * 4, np.int8), "offsets": ZERO_OFFSETS},
            "codes: span -1..8",
        ),
        ({"scales": np.ones((3, 3), np.float16)}, "scales: is float16 [3, 3]"),
        ({"scales": np.ones((2, 3), np.float32)}, "scales: is float32 [2, 3]"),
        ({"scales": NAN_PARAMETERS}, "scales: element (1, 1) is nan"),
        ({"offsets": NAN_PARAMETERS}, "offsets: element (1, 1) is nan"),
        ({"offsets": np.ones((1, 3), np.float16)}, "offsets: is float16 [1, 3]"),
    ],
)
def test_refuses(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as caught:
        weights(**changes)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("w", "group_size", "message"),
    [
        (np.ones((2, 2), np.int8), 128, "w: is int8 [2, 2]"),
        (np.ones(2), 128, "w: is float64 [2]"),
        (np.ones((0, 2)), 128, "w: is float64 [0, 2]"),
        (np.array([[1.0], [np.nan]]), 128, "w: element (1, 0) is nan"),
        (np.ones((2, 2)), 64.0, "group_size: 64.0"),
        (np.ones((2, 2)), -1, "group_size: -1"),
        (np.array([[5e5]]), 128, "w: a group reaches 500000 and its scale overflows FP16"),
    ],
)
def test_refuses_to_quantize(w: Any, group_size: int, message: str) -> None:
    with pytest.raises(InputError) as caught:
        Int4Weights.quantize(w, group_size)
    assert str(caught.value).startswith(message)
