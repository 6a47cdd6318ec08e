"""Integer group weights and rounding to nearest."""

from typing import Any

import numpy as np
import pytest
from anda_codesign.formats import InputError, Int4Weights
from anda_codesign.formats.weights.grouped_int import IntegerWeights, RoundToNearest, fit_grid, round_to_grid
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray


def normal(channels: int = 300, out: int = 7, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal((channels, out)).astype(np.float32)


def per_channel(values: NDArray[Any], w: IntegerWeights) -> NDArray[Any]:
    return np.repeat(values, w.group_size, axis=0)[: w.shape[0]]


@settings(deadline=None)
@given(
    st.integers(2, 8), st.integers(8, 200), st.sampled_from([32, 64, 128, 1000]), st.booleans(), st.floats(1e-3, 1e3)
)
def test_error_is_half_a_step_inside_the_range(
    bits: int, channels: int, group: int, symmetric: bool, size: float
) -> None:
    w = normal(channels, 3, channels).astype(np.float64) * size
    q = RoundToNearest(bits, group, symmetric).quantize(w)
    scales = per_channel(q.scales.astype(np.float64), q)
    zeros = np.full(w.shape, 2 ** (bits - 1)) if q.zero_points is None else per_channel(q.zero_points.astype(int), q)
    inside = (w >= scales * -zeros) & (w <= scales * (2**bits - 1 - zeros))
    error = np.abs(q.decode() - w)
    assert inside.any()
    assert (error[inside] <= (scales / 2)[inside] * (1 + 1e-6)).all()
    assert (error <= scales * (1 + 2**bits * 2.0**-11)).all()


@settings(deadline=None)
@given(st.integers(2, 8), st.booleans())
def test_zero_is_exact(bits: int, symmetric: bool) -> None:
    w = normal()
    w[::3] = 0
    assert (RoundToNearest(bits, 64, symmetric).quantize(w).decode()[::3] == 0).all()


def test_affine_grid_by_hand() -> None:
    grid = fit_grid(np.array([[-1.0], [0.25], [6.5]]), bits=4, symmetric=False)
    assert (grid.scales[0], grid.zero_points[0]) == (np.float16(0.5), 2)
    assert round_to_grid(np.array([[-1.0], [0.25], [6.5], [9.0]]), grid, 4).ravel().tolist() == [0, 2, 15, 15]


def test_symmetric_grid_by_hand() -> None:
    grid = fit_grid(np.array([[-7.5], [3.0]]), bits=4, symmetric=True)
    assert (grid.scales[0], grid.zero_points[0]) == (1, 8)
    assert round_to_grid(np.array([[-7.5], [3.0], [7.5]]), grid, 4).ravel().tolist() == [0, 11, 15]


@pytest.mark.parametrize("symmetric", [False, True])
def test_groups_of_zeros_and_of_one_value(symmetric: bool) -> None:
    w = np.zeros((130, 2), np.float32)
    w[:, 1] = 0.375
    decoded = RoundToNearest(4, 64, symmetric).quantize(w).decode()
    assert (decoded[:, 0] == 0).all()
    np.testing.assert_allclose(decoded[:, 1], 0.375, rtol=0.07 if symmetric else 1e-3)


def test_weights_below_fp16_take_the_least_scale() -> None:
    q = RoundToNearest(4, 64).quantize(np.full((64, 1), 1e-9))
    assert q.scales[0, 0] == np.float16(2.0**-24)
    assert (q.decode() == 0).all()


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
@pytest.mark.parametrize("form", ["symmetric", "zero points", "offsets"])
def test_file_round_trip_and_size(bits: int, form: str) -> None:
    q = RoundToNearest(bits, 128, form == "symmetric").quantize(normal(576, 64))
    if form == "offsets":
        q = q.with_offsets()
    again = IntegerWeights.from_bytes(q.to_bytes())
    np.testing.assert_array_equal(again.codes, q.codes)
    np.testing.assert_array_equal(again.decode(), q.decode())
    assert again.bits_per_weight == q.bits_per_weight
    share = {"symmetric": 16, "zero points": 16 + bits, "offsets": 32}[form]
    assert q.bits_per_weight == bits + share * 5 / 576  # four groups of 128 and one of 64
    assert q.bits_per_weight_stored == pytest.approx(q.bits_per_weight)  # 576 and 64 codes fill whole words


def test_published_size_of_affine_weights() -> None:
    assert RoundToNearest(4, 128).quantize(normal(256)).bits_per_weight == 4 + 16 / 128 + 4 / 128


def test_offset_form_moves_weights_by_the_rounding_of_the_offset() -> None:
    q = RoundToNearest(4, 64).quantize(normal())
    moved = np.abs(q.with_offsets().decode() - q.decode())
    ulp = per_channel(np.spacing(q.with_offsets().offsets).astype(np.float64), q)
    assert moved.max() > 0
    assert (moved <= np.abs(ulp) / 2 + 1e-7).all()


def test_int4_round_trip() -> None:
    symmetric = Int4Weights.quantize(normal(), 64)
    wrapped = IntegerWeights.from_int4(symmetric)
    np.testing.assert_array_equal(wrapped.decode(), symmetric.dequantize())
    np.testing.assert_array_equal(wrapped.to_int4().codes, symmetric.codes)
    affine = RoundToNearest(4, 32).quantize(normal()).to_int4()
    np.testing.assert_array_equal(IntegerWeights.from_int4(affine).decode(), affine.dequantize())
    assert IntegerWeights.from_int4(affine).bits_per_weight == affine.bits_per_weight


GOOD: dict[str, Any] = {
    "codes": np.zeros((4, 3), np.uint8),
    "scales": np.ones((2, 3), np.float16),
    "bits": 4,
    "group_size": 2,
}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"codes": np.full((4, 3), 16, np.uint8)}, "codes: span 16..16"),
        ({"codes": np.zeros(4, np.uint8)}, "codes: have shape [4]"),
        ({"bits": 9}, "bits: 9"),
        ({"group_size": 0}, "group_size: 0"),
        (
            {"scales": np.ones((1, 3), np.float16)},
            "scales: is float16 [1, 3]",
        ),
        ({"scales": np.full((2, 3), np.nan, np.float16)}, "scales: element (0, 0) is nan"),
        (
            {"zero_points": np.zeros((2, 3), np.int64)},
            "zero_points: is int64 [2, 3]",
        ),
        ({"zero_points": np.full((2, 3), 16, np.uint8)}, "zero_points: span 16..16"),
        (
            {"zero_points": np.zeros((2, 3), np.uint8), "offsets": np.zeros((2, 3), np.float16)},
            "offsets: cannot be combined with zero_points",
        ),
    ],
)
def test_bad_fields(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as error:
        IntegerWeights(**{**GOOD, **changes})
    assert str(error.value).startswith(message)


@pytest.mark.parametrize(
    ("w", "message"),
    [
        (np.zeros(3), "w: is float64 [3]"),
        (np.zeros((0, 3)), "w: is float64 [0, 3]"),
        (np.zeros((2, 2), int), "w: is int64 [2, 2]"),
        (
            np.array([[0.0, np.nan]]),
            "w: element (0, 1) is nan",
        ),
        (np.array([[7e4]]), "w: element (0, 0) is 70000.0"),
    ],
)
def test_bad_weights(w: NDArray[Any], message: str) -> None:
    with pytest.raises(InputError) as error:
        RoundToNearest().quantize(w)
    assert str(error.value).startswith(message)


def test_a_statistic_has_no_use() -> None:
    with pytest.raises(InputError, match=r"^statistic: is not used"):
        RoundToNearest().quantize(normal(), np.eye(300))


def test_eight_bits_do_not_fit_the_int4_gemm() -> None:
    with pytest.raises(InputError, match=r"^bits: 8 "):
        RoundToNearest(8).quantize(normal()).to_int4()


def test_negative_codes_with_offsets() -> None:
    affine = Int4Weights(np.full((2, 2), -8, np.int8), np.ones((1, 2), np.float16), 2, np.zeros((1, 2), np.float16))
    with pytest.raises(InputError, match=r"^codes: are negative"):
        IntegerWeights.from_int4(affine)
