"""AndaTensor: exhaustive encoding, layout of the words, decoding, and hand-built tensors."""

import dataclasses
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import pytest
from anda_codesign.formats import AndaFormat, AndaTensor, InputError
from anda_codesign.formats.anda.format import GROUP_SIZES
from cases import each
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

pytestmark = pytest.mark.usefixtures("each_backend")

EVERY_FINITE_HALF = np.concatenate([np.arange(0x7C00), np.arange(0x8000, 0xFC00)]).astype(np.uint16).view(np.float16)


def groups_of_every_offset() -> Iterator[tuple[int, NDArray[np.float16]]]:
    """Every shared exponent, with groups that hold it and every half whose exponent is not larger."""
    magnitudes = np.abs(EVERY_FINITE_HALF)
    for exponent in range(1, 31):
        anchor = np.float16(np.ldexp(1.0, exponent - 15))  # the smallest value of this exponent
        elements = EVERY_FINITE_HALF[magnitudes < 2 * np.float64(anchor)]
        padded = np.concatenate([elements, np.zeros(-len(elements) % 63, np.float16)]).reshape(-1, 63)
        yield exponent, np.concatenate([np.full((len(padded), 1), anchor), padded], axis=1)


@each("mantissa_bits", range(1, 17))
@pytest.mark.parametrize("rounding", ["truncate", "nearest"])
def test_every_half_at_every_exponent_offset(mantissa_bits: int, rounding: Literal["truncate", "nearest"]) -> None:
    """Against the definition in real numbers: mantissa = |x| / 2^(e* - 14 - M), cut or rounded."""
    fmt = AndaFormat(mantissa_bits, rounding=rounding)
    for exponent, x in groups_of_every_offset():
        tensor = fmt.encode(x)
        assert (tensor.exponents == exponent).all()
        exact = np.ldexp(np.abs(x.astype(np.float64)), 14 + mantissa_bits - exponent)
        expected = np.floor(exact) if rounding == "truncate" else np.minimum(np.rint(exact), 2**mantissa_bits - 1)
        mantissas = tensor.mantissas()[:, 0]
        np.testing.assert_array_equal(mantissas, expected)
        values = np.copysign(np.ldexp(expected, exponent - 14 - mantissa_bits), x)
        decoded = tensor.decode()
        np.testing.assert_array_equal(decoded, values)
        np.testing.assert_array_equal(np.signbit(decoded), np.signbit(x))


@each("mantissa_bits", range(1, 17))
def test_midpoint_of_every_half_at_every_exponent_offset(mantissa_bits: int) -> None:
    """m + 1/2 where m > 0, with the bits cut off that FP16 cannot hold; encoding it again gives the same words."""
    fmt = AndaFormat(mantissa_bits, reconstruct="midpoint")
    for exponent, x in groups_of_every_offset():
        tensor = fmt.encode(x)
        mantissas = tensor.mantissas()[:, 0].astype(np.float64)
        exact = np.ldexp(mantissas + 0.5 * (mantissas > 0), exponent - 14 - mantissa_bits)
        least_bit = np.ldexp(1.0, np.maximum(np.frexp(exact)[1] - 11, -24))
        decoded = tensor.decode()
        np.testing.assert_array_equal(np.abs(decoded), np.floor(exact / least_bit) * least_bit)
        if mantissa_bits <= 10:
            np.testing.assert_array_equal(np.abs(decoded), exact)
        again = fmt.encode(decoded)
        np.testing.assert_array_equal(again.planes, tensor.planes)
        np.testing.assert_array_equal(again.signs, tensor.signs)
        np.testing.assert_array_equal(again.exponents, tensor.exponents)


def test_words_of_a_small_group() -> None:
    # significands 1024 + 512 + 256 (1.75), 1024 (-1.0), and 0.5 one place lower, all under the exponent of 1.75
    x = np.array([1.75, -1.0, 0.5, -0.0, 0, 0, 0, 1.0], np.float16)
    tensor = AndaFormat(3, group_size=8).encode(x)
    np.testing.assert_array_equal(tensor.exponents, [15])
    np.testing.assert_array_equal(tensor.mantissas(), [[7, 4, 2, 0, 0, 0, 0, 4]])
    np.testing.assert_array_equal(tensor.signs, [0b00001010])
    np.testing.assert_array_equal(tensor.planes, [[0b10000011, 0b00000101, 0b00000001]])


def test_groups_of_128_are_two_words() -> None:
    x = np.zeros((2, 130), np.float16)
    x[:, [0, 64, 127, 129]] = [1, -1, 1, -1]
    tensor = AndaFormat(2, group_size=128).encode(x)
    assert tensor.signs.shape == (2, 2, 2)
    assert tensor.planes.shape == (2, 2, 2, 2)
    np.testing.assert_array_equal(tensor.signs[0], [[0, 1], [2, 0]])
    np.testing.assert_array_equal(tensor.planes[0], [[[1, 1 | 1 << 63], [0, 0]], [[2, 0], [0, 0]]])


@each("group_size", GROUP_SIZES)
@each("shape", [(1,), (7,), (64,), (3, 200), (2, 3, 129), (0, 5), (2, 0, 64)])
def test_any_shape(shape: tuple[int, ...], group_size: int) -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal(shape).astype(np.float16)
    tensor = AndaFormat(16, group_size=group_size).encode(x)
    assert tensor.shape == shape
    assert tensor.exponents.shape == (*shape[:-1], -(-shape[-1] // group_size))
    decoded = tensor.decode()
    assert decoded.shape == shape
    # 16 bits hold every element whose exponent is at most 5 below the group's largest.
    np.testing.assert_allclose(decoded, x, atol=4 * 2.0**-13)


def test_encodes_strided_input() -> None:
    x = np.random.default_rng(1).standard_normal((64, 6)).astype(np.float16)
    np.testing.assert_array_equal(AndaFormat(9).encode(x.T).planes, AndaFormat(9).encode(x.T.copy()).planes)


@settings(deadline=None)  # the first example may compile the kernels
@given(
    hnp.arrays(np.uint16, hnp.array_shapes(max_dims=3, max_side=70)),
    st.integers(1, 16),
    st.sampled_from(GROUP_SIZES),
)
def test_error_is_less_than_one_unit(bits: NDArray[np.uint16], mantissa_bits: int, group_size: int) -> None:
    x = np.where((bits & 0x7C00) == 0x7C00, bits & 0x83FF, bits).astype(np.uint16).view(np.float16)
    tensor = AndaFormat(mantissa_bits, group_size=group_size).encode(x)
    decoded = tensor.decode()
    units = np.repeat(np.ldexp(1.0, tensor.exponents.astype(int) - 14 - mantissa_bits), group_size, axis=-1)
    error = np.abs(x.astype(np.float64)) - np.abs(decoded.astype(np.float64))
    assert (error >= 0).all()
    assert (error < units[..., : x.shape[-1]]).all()
    np.testing.assert_array_equal(np.signbit(decoded), np.signbit(x))


def test_decodes_words_that_no_half_encodes_to() -> None:
    """A hand-built mantissa of 16 ones under the largest exponent is 65535, of which FP16 holds the upper 11 bits."""
    ones = np.full((1, 16), 1, np.uint64)
    tensor = AndaTensor(AndaFormat(16), (1,), np.zeros(1, np.uint64), ones, np.array([30], np.uint8))
    np.testing.assert_array_equal(tensor.decode(), np.array([65504], np.float16))
    assert tensor.signed_integers()[0, 0] == 65535


@pytest.mark.parametrize(
    ("name", "array", "found", "needed"),
    [
        ("signs", np.zeros((2, 1), np.int64), "int64 [2, 1]", "uint64 [2, 1]"),
        ("planes", np.zeros((2, 1, 9), np.uint64), "uint64 [2, 1, 9]", "uint64 [2, 1, 8]"),
        ("exponents", np.zeros(2, np.uint8), "uint8 [2]", "uint8 [2, 1]"),
    ],
)
def test_refuses_arrays_that_do_not_fit(name: str, array: Any, found: str, needed: str) -> None:
    tensor = AndaFormat(8).encode(np.ones((2, 64), np.float16))
    with pytest.raises(InputError) as caught:
        dataclasses.replace(tensor, **{name: array})
    assert str(caught.value).startswith(f"{name}: is {found}; ") and needed in str(caught.value)


def test_refuses_a_shape_without_channels() -> None:
    tensor = AndaFormat(8).encode(np.ones((2, 64), np.float16))
    with pytest.raises(InputError) as caught:
        dataclasses.replace(tensor, shape=())
    assert str(caught.value).startswith("shape: () has no channels")
