# amaranth: UnusedElaboratable=no
"""The arithmetic of the accumulation path against NumPy's, which is IEEE 754."""

import numpy as np
import pytest
from anda_codesign.formats import InputError
from anda_codesign.formats.numeric.fp16 import round_to_fp16
from anda_codesign.rtl import run_vectors
from anda_codesign.rtl.arithmetic.fp import Fp16Multiplier, Fp32Adder, Fp32ToFp16, IntToFp16
from numpy.typing import NDArray

compiled = pytest.mark.tool("g++")
ALL_FINITE_HALVES = np.concatenate([np.arange(0x7C00), np.arange(0x8000, 0xFC00)]).astype(np.uint16)


def halves(bits: NDArray[np.integer]) -> NDArray[np.float32]:
    return bits.astype(np.uint16).view(np.float16).astype(np.float32)


def assert_int_to_fp16(values: NDArray[np.int64], exponents: NDArray[np.int64], bits: int, simulator: str) -> None:
    inputs = {"value": values.tolist(), "exponent": exponents.tolist()}
    result = run_vectors(IntToFp16(bits=bits), inputs, ["half", "saturated"], simulator=simulator)
    exact = np.ldexp(values.astype(np.float64), exponents - 14)
    np.testing.assert_array_equal(result["half"], round_to_fp16(exact)[0].view(np.uint16))
    np.testing.assert_array_equal(result["saturated"], np.abs(exact) >= 65520)


def spread_integers(rng: np.random.Generator, count: int, bits: int) -> NDArray[np.int64]:
    """Integers of every length up to `bits` bits with their sign, the extremes included."""
    limit = 2 ** (bits - 1) - 1
    values = rng.integers(-limit, limit + 1, count) >> rng.integers(0, bits, count)
    values[:4] = 0, -1, limit, -limit
    return values


def test_int_to_fp16() -> None:
    rng = np.random.default_rng(0)
    assert_int_to_fp16(spread_integers(rng, 2000, 26), rng.integers(-15, 30, 2000), 26, "amaranth")


def test_int_to_fp16_of_few_bits() -> None:
    """Narrower than a half's significand: nothing to round but below the least normal half."""
    values, exponents = np.meshgrid(np.arange(-16, 16), np.arange(-15, 30))
    assert_int_to_fp16(values.ravel(), exponents.ravel(), 5, "amaranth")


@compiled
def test_int_to_fp16_of_every_14_bit_integer() -> None:
    values, exponents = np.meshgrid(np.arange(-(2**13), 2**13), np.arange(-15, 30))
    assert_int_to_fp16(values.ravel(), exponents.ravel(), 14, "cxxrtl")


@compiled
def test_int_to_fp16_at_random() -> None:
    rng = np.random.default_rng(1)
    assert_int_to_fp16(spread_integers(rng, 500_000, 26), rng.integers(-15, 30, 500_000), 26, "cxxrtl")


def assert_product(left: NDArray[np.integer], right: NDArray[np.integer], simulator: str) -> None:
    inputs = {"left": left.tolist(), "right": right.tolist()}
    result = run_vectors(Fp16Multiplier(), inputs, ["product"], simulator=simulator)["product"]
    np.testing.assert_array_equal(result, (halves(left) * halves(right)).view(np.uint32))


def test_product() -> None:
    rng = np.random.default_rng(2)
    left, right = rng.choice(ALL_FINITE_HALVES, (2, 2000))
    left[:600] &= 0x83FF  # subnormal
    right[300:900] &= 0x83FF
    left[:20] &= 0x8000
    assert_product(left, right, "amaranth")


@compiled
def test_product_of_every_half_with_some() -> None:
    extremes = np.array([0, 0x8000, 1, 0x8001, 0x3FF, 0x400, 0x3C00, 0xBC01, 0x7BFF, 0x5555], np.uint16)
    assert_product(np.tile(ALL_FINITE_HALVES, len(extremes)), np.repeat(extremes, len(ALL_FINITE_HALVES)), "cxxrtl")


def accumulator_values(rng: np.random.Generator, count: int) -> NDArray[np.float32]:
    """Singles that an accumulator can hold: multiples of 2**-48, of up to 24 bits."""
    significands = spread_integers(rng, count, 25) * rng.choice([-1, 1], count)
    return np.ldexp(significands.astype(np.float64), rng.integers(-48, 40, count)).astype(np.float32)


def assert_sum(left: NDArray[np.float32], right: NDArray[np.float32], simulator: str) -> None:
    inputs = {"left": left.view(np.uint32).tolist(), "right": right.view(np.uint32).tolist()}
    result = run_vectors(Fp32Adder(), inputs, ["sum"], simulator=simulator)["sum"]
    # adding +0 turns the one result that differs, -0 + -0, into +0
    np.testing.assert_array_equal(result, (left + right + np.float32(0)).view(np.uint32))


def near(values: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Values that all but cancel, or tie, with `values`."""
    ulps = rng.integers(-4, 5, len(values), np.int32)
    factors = rng.choice([-1, 1, 2.0**-24, -(2.0**-24), 2.0**-25, -(2.0**-25), 2.0**-1], len(values))
    moved = (values.view(np.int32) + ulps * (values != 0)).view(np.float32)
    return (moved * factors).astype(np.float32)


def test_sum() -> None:
    rng = np.random.default_rng(3)
    left = accumulator_values(rng, 1000)
    assert_sum(left, accumulator_values(rng, 1000), "amaranth")
    assert_sum(left, near(left, rng), "amaranth")


@compiled
def test_sum_at_random() -> None:
    rng = np.random.default_rng(4)
    left = accumulator_values(rng, 300_000)
    assert_sum(left, accumulator_values(rng, 300_000), "cxxrtl")
    assert_sum(left, near(left, rng), "cxxrtl")


def assert_fp32_to_fp16(values: NDArray[np.float32], simulator: str) -> None:
    inputs = {"single": values.view(np.uint32).tolist()}
    result = run_vectors(Fp32ToFp16(), inputs, ["half", "saturated"], simulator=simulator)
    np.testing.assert_array_equal(result["half"], round_to_fp16(values)[0].view(np.uint16))
    np.testing.assert_array_equal(result["saturated"], np.abs(values) >= 65520)


def around_halves(bits: NDArray[np.uint16]) -> NDArray[np.float32]:
    """Each half, the middle between it and the next one, and the singles beside both."""
    value = halves(bits)
    middle = np.where(np.abs(value) == 65504, np.sign(value) * 65520, (value + halves(bits + 1)) / 2)
    points = np.concatenate([value, middle]).astype(np.float32)
    beside = np.concatenate([np.nextafter(points, np.float32(np.inf)), np.nextafter(points, np.float32(-np.inf))])
    near_zero = np.abs(beside) < 2.0**-48
    return np.concatenate([points, beside[~near_zero]])


def test_fp32_to_fp16() -> None:
    assert_fp32_to_fp16(around_halves(ALL_FINITE_HALVES[::97]), "amaranth")
    assert_fp32_to_fp16(np.float32([2.0**-25, -(2.0**-25), 2.0**-48, 3.0e38, -3.0e38, 65519.996]), "amaranth")


@compiled
def test_fp32_to_fp16_around_every_half() -> None:
    assert_fp32_to_fp16(around_halves(ALL_FINITE_HALVES), "cxxrtl")


def test_illegal_bits() -> None:
    with pytest.raises(InputError) as error:
        IntToFp16(bits=1)
    assert str(error.value).startswith("bits: 1")
