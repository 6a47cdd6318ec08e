"""The FP-INT GeMM: by hand, and against the slow reference bit for bit on random, adversarial and drawn operands."""

from typing import Any, Literal

import numpy as np
import pytest
from anda_codesign.formats import (
    AndaFormat,
    AndaTensor,
    GemmFlags,
    InputError,
    Int4Weights,
    fp_int_gemm,
    fp_int_gemm_reference,
)
from anda_codesign.formats.anda.bitplanes import pack_planes
from anda_codesign.formats.anda.format import GROUP_SIZES
from anda_codesign.formats.options import Partial
from cases import each
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

pytestmark = pytest.mark.usefixtures("each_backend")


def assert_same_bits(a: AndaTensor, w: Int4Weights, partial: Partial = "fp16") -> GemmFlags:
    """The fast result and its flags equal the reference's; the flags are returned."""
    flags, expected_flags = GemmFlags(), GemmFlags()
    result = fp_int_gemm(a, w, partial, flags)
    expected = fp_int_gemm_reference(a, w, partial, expected_flags)
    assert result.dtype == np.float16
    np.testing.assert_array_equal(result.view(np.uint16), expected.view(np.uint16))
    assert flags == expected_flags
    return flags


def wide_activations(rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float16]:
    """Normal values spread over most of FP16's range."""
    return (rng.standard_normal(shape) * np.exp2(rng.integers(-20, 12, shape))).astype(np.float16)


def random_weights(rng: np.random.Generator, channels: int, outputs: int, group_size: int, affine: bool) -> Int4Weights:
    """Codes over their whole range, scales of both signs over many magnitudes."""
    shape = (-(-channels // group_size), outputs)

    def parameters() -> NDArray[np.float16]:
        return (rng.standard_normal(shape) * np.exp2(rng.integers(-18, 2, shape))).astype(np.float16)

    codes = rng.integers(0, 16, (channels, outputs)) if affine else rng.integers(-8, 8, (channels, outputs))
    return Int4Weights(codes.astype(np.int8), parameters(), group_size, parameters() if affine else None)


def test_by_hand() -> None:
    """Two segments whose rounding to FP16 shows: 2049 and 2051 are ties that go to 2048 and 2052."""
    x = np.array([[1024, 1024, 1, 0, 0, 0, 0, 0, 1024, 1024, 3, 0, 0, 0, 0, 0]], np.float16)
    a = AndaFormat(11, group_size=8).encode(x)
    w = Int4Weights(np.ones((16, 1), np.int8), np.array([[1], [-0.5]], np.float16), group_size=8)
    np.testing.assert_array_equal(fp_int_gemm(a, w), [[2048 - 0.5 * 2052]])
    np.testing.assert_array_equal(fp_int_gemm(a, w, partial="fp32"), [[2049 - 0.5 * 2051]])
    np.testing.assert_array_equal(fp_int_gemm_reference(a, w), [[1022]])


def test_affine_by_hand() -> None:
    a = AndaFormat(11, group_size=8).encode(np.array([1, 2, 3, 0, 0, 0, 0, 0], np.float16))
    codes = np.array([[1], [0], [15], [7], [7], [7], [7], [7]], np.int8)
    w = Int4Weights(codes, np.full((1, 1), 0.5, np.float16), 8, np.full((1, 1), -4, np.float16))
    np.testing.assert_array_equal(fp_int_gemm(a, w), [46 * 0.5 - 6 * 4])


def test_midpoint_by_hand() -> None:
    """Mantissas 7, 4, 0 of 3 bits stand for 7.5, 4.5 and 0 units of 1/4."""
    x = np.array([1.9, -1.1, 0.1, 0, 0, 0, 0, 0], np.float16)
    a = AndaFormat(3, group_size=8, reconstruct="midpoint").encode(x)
    w = Int4Weights(np.full((8, 1), 2, np.int8), np.ones((1, 1), np.float16), 8)
    np.testing.assert_array_equal(fp_int_gemm(a, w), [2 * (7.5 - 4.5) / 4])


@each("mantissa_bits", range(1, 17))
@each("group_size", GROUP_SIZES)
@pytest.mark.parametrize("affine", [False, True])
def test_random(mantissa_bits: int, group_size: int, affine: bool) -> None:
    rng = np.random.default_rng([mantissa_bits, group_size, affine])
    rounding: list[Literal["truncate", "nearest"]] = ["truncate", "nearest"]
    for reconstruct in ("truncate", "midpoint"):
        fmt = AndaFormat(mantissa_bits, group_size, rounding[rng.integers(2)], reconstruct=reconstruct)
        a = fmt.encode(wide_activations(rng, (2, 200)))
        w = random_weights(rng, 200, 2, int(rng.choice([32, 64, 128, 256])), affine)
        for partial in ("fp16", "fp32"):
            assert_same_bits(a, w, partial)


ADVERSARIAL: dict[str, list[float]] = {
    "zeros": [0.0],
    "negative zeros": [-0.0],
    "subnormals": [2.0**-24, -3 * 2.0**-24, 1023 * 2.0**-24],
    "least normals": [2.0**-14, -(2.0**-14)],
    "largest": [65504.0],
    "largest of both signs": [65504.0, -65504.0],
    "outlier": [65504.0] + 63 * [2.0**-24],
    "outlier that cancels": [30000.0, -30000.0] + 62 * [1.0],
    "ties": [1.0, 2.0**-11, 3 * 2.0**-11],
}


@each("values", ADVERSARIAL.values())
@each("mantissa_bits", [1, 7, 11, 15, 16])
@pytest.mark.parametrize("reconstruct", ["truncate", "midpoint"])
def test_adversarial(values: list[float], mantissa_bits: int, reconstruct: Literal["truncate", "midpoint"]) -> None:
    x = np.resize(np.array(values, np.float16), (1, 130))
    codes = np.tile(np.array([[-8, 7, 1, -1, 0]], np.int8), (130, 1))
    codes[1::2, 3] = 1  # alternating signs cancel
    for scale in (1.0, -65504.0, 2.0**-24, 0.0):
        w = Int4Weights(codes, np.full((2, 5), scale, np.float16))
        affine = Int4Weights(codes, w.scales, offsets=np.full((2, 5), -scale, np.float16))
        for group_size in (64, 128):
            a = AndaFormat(mantissa_bits, group_size, reconstruct=reconstruct).encode(x)
            for partial in ("fp16", "fp32"):
                assert_same_bits(a, w, partial)
                assert_same_bits(a, affine, partial)


@settings(deadline=None)  # the first example may compile the kernels
@given(st.data())
def test_drawn(data: st.DataObject) -> None:
    """Any words at all, not only those that the encoder makes."""
    group_size = data.draw(st.sampled_from(GROUP_SIZES), "group_size")
    mantissa_bits = data.draw(st.integers(1, 16), "mantissa_bits")
    channels = data.draw(st.integers(1, 140), "channels")
    weight_group = data.draw(st.sampled_from([16, 32, 64, 128, 256]), "weight_group")
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32), "seed"))
    fmt = AndaFormat(mantissa_bits, group_size, reconstruct=data.draw(st.sampled_from(["truncate", "midpoint"])))
    words = AndaFormat(mantissa_bits, group_size).encode(np.ones((2, channels), np.float16))
    mask = np.uint64(2 ** min(group_size, 64) - 1)
    a = AndaTensor(
        fmt,
        words.shape,
        rng.integers(0, 2**64, words.signs.shape, np.uint64) & mask,
        rng.integers(0, 2**64, words.planes.shape, np.uint64) & mask,
        rng.integers(1, 31, words.exponents.shape, np.uint8),
    )
    w = random_weights(rng, channels, 3, weight_group, affine=data.draw(st.booleans(), "affine"))
    assert_same_bits(a, w, data.draw(st.sampled_from(["fp16", "fp32"]), "partial"))


def test_minus_zero() -> None:
    """A tiny negative sum rounds to -0; an exact zero is +0, also with negative scales."""
    a = AndaFormat(4).encode(np.array([[1.0, 0.0], [0.0, -0.0]], np.float16))
    w = Int4Weights(np.array([[-1], [1]], np.int8), np.full((1, 1), 2.0**-24, np.float16))
    tiny = Int4Weights(w.codes, -w.scales)
    assert_same_bits(a, w)
    for weights in (w, tiny):
        assert_same_bits(AndaFormat(4).encode(np.full((1, 2), 2.0**-12, np.float16)), weights)
    small = AndaFormat(4).encode(np.array([2.0**-12, 0], np.float16))
    np.testing.assert_array_equal(fp_int_gemm(small, w).view(np.uint16), [0x8000])
    np.testing.assert_array_equal(fp_int_gemm(small, tiny).view(np.uint16), [0])
    np.testing.assert_array_equal(fp_int_gemm(a, tiny).view(np.uint16), [[1], [0]])


def test_flags_are_sticky() -> None:
    loud = AndaFormat(11).encode(np.full(64, 60000, np.float16))
    quiet = AndaFormat(11).encode(np.full(64, 1, np.float16))
    ones = np.ones((64, 1), np.int8)
    flags = GemmFlags()
    fp_int_gemm(quiet, Int4Weights(ones, np.ones((1, 1), np.float16)), flags=flags)
    assert flags == GemmFlags(partial_saturated=False, result_saturated=False)
    assert fp_int_gemm(loud, Int4Weights(ones, np.full((1, 1), 0.5, np.float16)), flags=flags) == 32752
    assert flags == GemmFlags(partial_saturated=True, result_saturated=False)
    assert fp_int_gemm(quiet, Int4Weights(ones, np.full((1, 1), -2000, np.float16)), flags=flags) == -65504
    assert flags == GemmFlags(partial_saturated=True, result_saturated=True)
    fp_int_gemm(quiet, Int4Weights(ones, np.ones((1, 1), np.float16)), flags=flags)
    assert flags == GemmFlags(partial_saturated=True, result_saturated=True)


def test_fp32_partial_sums_do_not_saturate() -> None:
    a = AndaFormat(11).encode(np.full(64, 60000, np.float16))
    w = Int4Weights(np.ones((64, 1), np.int8), np.full((1, 1), 2.0**-10, np.float16))
    flags = GemmFlags()
    assert fp_int_gemm(a, w, partial="fp32", flags=flags) == 3750
    assert flags == GemmFlags()


@pytest.mark.parametrize("leading", [(), (3,), (2, 3), (0,), (2, 0, 1)])
def test_any_leading_shape(leading: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    x = wide_activations(rng, (*leading, 70))
    w = random_weights(rng, 70, 4, 128, affine=True)
    result = fp_int_gemm(AndaFormat(9).encode(x), w)
    assert result.shape == (*leading, 4)
    flat = fp_int_gemm(AndaFormat(9).encode(x.reshape(-1, 70)), w)
    np.testing.assert_array_equal(result.reshape(flat.shape).view(np.uint16), flat.view(np.uint16))


def test_approaches_the_real_product() -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((4, 576)).astype(np.float16)
    w = Int4Weights.quantize(rng.standard_normal((576, 8)).astype(np.float32))
    expected = x.astype(np.float64) @ w.dequantize()
    np.testing.assert_allclose(fp_int_gemm(AndaFormat(16).encode(x), w), expected, rtol=2e-3, atol=2e-2)


@pytest.mark.parametrize("gemm", [fp_int_gemm, fp_int_gemm_reference])
@pytest.mark.parametrize(
    ("group_size", "channels", "weight_group", "partial", "message"),
    [
        (64, 64, 64, "fp8", "partial: 'fp8'"),
        (64, 65, 64, "fp16", "w: has 64 input channels, a has 65"),
        (64, 64, 48, "fp16", "w: weight group 48 and activation group 64 do not nest"),
    ],
)  # fmt: skip
def test_refuses(gemm: Any, group_size: int, channels: int, weight_group: int, partial: Any, message: str) -> None:
    a = AndaFormat(8, group_size).encode(np.ones((1, channels), np.float16))
    w = Int4Weights.quantize(np.ones((64, 2)), weight_group)
    with pytest.raises(InputError) as caught:
        gemm(a, w, partial)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(("rest", "code", "expected"), [(1056, 1, 1 + 2.0**-10), (3104, -1, 1 + 2.0**-10)])
def test_no_double_rounding(rest: int, code: int, expected: float) -> None:
    """2^24 + 2^13 + 1 and 2^24 + 3 * 2^13 - 1: with 24 bits they become ties of FP16, which go the other way."""
    mantissas = np.array([65535] * 32 + [rest] + [0] * 30 + [1], np.uint16)
    codes = np.array([-8] * 33 + [0] * 30 + [code], np.int8)[:, None]
    signs = np.array([2**33 - 1], np.uint64)
    planes = pack_planes(mantissas[None], 16)
    a = AndaTensor(AndaFormat(16), (64,), signs, planes, np.array([6], np.uint8))
    w = Int4Weights(codes, np.ones((1, 1), np.float16))
    assert fp_int_gemm(a, w) == expected
    assert fp_int_gemm_reference(a, w) == expected
    assert_same_bits(a, w, "fp32")
