"""The vector unit's functions: every half against float64, and the integer arithmetic against Python's."""

from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest
from anda_codesign.formats.numeric.fp16 import MAX_FP16, round_to_fp16, ulp_errors
from anda_codesign.formats.vector.functions import LARGEST, SMALLEST, VectorFunction, evaluate, log2_e, table
from numpy.typing import NDArray

HALVES = np.arange(65536, dtype=np.uint32).astype(np.uint16).view(np.float16)
FINITE = HALVES[np.isfinite(HALVES)]
FUNCTIONS = list(VectorFunction)[1:]
Real = Callable[[NDArray[np.float64]], NDArray[np.float64]]
EXACT: dict[VectorFunction, Real] = {
    VectorFunction.EXPONENTIAL: np.exp,
    VectorFunction.RECIPROCAL: lambda x: 1 / x,
    VectorFunction.RECIPROCAL_ROOT: lambda x: 1 / np.sqrt(x),
}
ULP = {VectorFunction.EXPONENTIAL: 0.538, VectorFunction.RECIPROCAL: 0.541, VectorFunction.RECIPROCAL_ROOT: 0.524}


def as_halves(function: VectorFunction, values: NDArray[np.float16]) -> NDArray[np.float16]:
    return round_to_fp16(evaluate(function, values.astype(np.float32)))[0]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_every_half(function: VectorFunction) -> None:
    defined = FINITE if function == VectorFunction.EXPONENTIAL else FINITE[FINITE != 0]
    defined = defined[defined > 0] if function == VectorFunction.RECIPROCAL_ROOT else defined
    exact = EXACT[function](
        np.minimum(defined.astype(np.float64), 100 if function == VectorFunction.EXPONENTIAL else np.inf)
    )
    results = as_halves(function, defined)
    fits = np.abs(exact) < 65520
    assert ulp_errors(results[fits], exact[fits]).max() < ULP[function]
    assert (np.abs(results[~fits]) == MAX_FP16).all()
    assert (np.sign(results) == np.sign(np.where(results == 0, 0, exact))).all()


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_single_precision_argument_within_two_to_the_minus_fourteen(function: VectorFunction) -> None:
    rng = np.random.default_rng(0)
    values = (rng.uniform(1, 4, 100_000) * 2.0 ** rng.integers(-40, 40, 100_000)).astype(np.float32)
    if function == VectorFunction.EXPONENTIAL:
        values = rng.uniform(-32, 32, 100_000).astype(np.float32)
    errors = np.abs(evaluate(function, values) / EXACT[function](values.astype(np.float64)) - 1)
    assert errors.max() < 2.0**-14


@pytest.mark.parametrize("function", FUNCTIONS)
def test_what_a_half_cannot_hold(function: VectorFunction) -> None:
    zero, negative, large = np.float32([0, -0.0]), np.float32([-3, -(2.0**-20)]), np.float32([32, -32, 2.0**30, -3e9])
    match function:
        case VectorFunction.EXPONENTIAL:
            assert evaluate(function, large).tolist() == [LARGEST, SMALLEST, LARGEST, SMALLEST]
            assert as_halves(function, zero.astype(np.float16)).tolist() == [1, 1]
        case VectorFunction.RECIPROCAL:
            assert evaluate(function, zero).tolist() == [LARGEST, -LARGEST]
        case _:
            assert evaluate(function, np.concatenate([zero, negative])).tolist() == [LARGEST] * 4


@pytest.mark.parametrize("function", [VectorFunction.RECIPROCAL, VectorFunction.RECIPROCAL_ROOT])
def test_powers_of_two_are_exact(function: VectorFunction) -> None:
    powers = 2.0 ** np.arange(-14, 15, 2)
    assert (as_halves(function, powers.astype(np.float16)) == EXACT[function](powers)).all()


@pytest.mark.parametrize("function", FUNCTIONS)
def test_interpolated_values_need_one_step_of_normalisation_at_most(function: VectorFunction) -> None:
    chords = table(function)
    segments, steps = np.meshgrid(np.arange(len(chords.starts)), np.arange(1024))
    values = chords.interpolate(segments, steps)
    assert values.min() >= 2**16 and values.max() < 2**18


def test_the_exponential_in_exact_arithmetic() -> None:
    """One value at a time, from the statement of the method."""
    chords = table(VectorFunction.EXPONENTIAL)
    for value in np.random.default_rng(1).uniform(-31, 31, 300).astype(np.float32):
        argument = int(abs(Fraction(float(value))) * 2**17)
        power = argument * log2_e() >> 21
        power = -power if value < 0 else power
        whole, fraction = divmod(power, 2**16)
        segment, step = divmod(fraction, 2**10)
        expected = (
            Fraction(chords.starts[segment] + (chords.slopes[segment] * step >> 10), 2**17) * Fraction(2) ** whole
        )
        assert Fraction(float(evaluate(VectorFunction.EXPONENTIAL, value.reshape(1))[0])) == expected


@pytest.mark.parametrize("function", [VectorFunction.RECIPROCAL, VectorFunction.RECIPROCAL_ROOT])
def test_reciprocals_in_exact_arithmetic(function: VectorFunction) -> None:
    chords = table(function)
    rng = np.random.default_rng(2)
    for value in (rng.uniform(1, 2, 300) * 2.0 ** rng.integers(-40, 40, 300)).astype(np.float32):
        mantissa, exponent = Fraction(float(value)), 0
        wide = function == VectorFunction.RECIPROCAL_ROOT
        while mantissa >= (4 if wide else 2):
            mantissa, exponent = mantissa / (4 if wide else 2), exponent + 1
        while mantissa < 1:
            mantissa, exponent = mantissa * (4 if wide else 2), exponent - 1
        upper = mantissa >= 2
        position = int(((mantissa / 2 if upper else mantissa) - 1) * 2**16)
        segment, step = divmod(position, 2**10)
        segment += 64 * upper
        expected = (
            Fraction(chords.starts[segment] + (chords.slopes[segment] * step >> 10), 2**17) / Fraction(2) ** exponent
        )
        assert Fraction(float(evaluate(function, value.reshape(1))[0])) == expected
