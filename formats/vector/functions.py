"""Functions of the vector unit, bit for bit: exponential, reciprocal and reciprocal square root of FP32 values.

Each takes an FP32 value, zero or normal, and gives an FP32 value of 18 significant bits, which the unit rounds to FP16.
The argument is scaled into one binade. Its leading 6 bits choose a segment, the next 10 bits interpolate along the chord
of the segment. All three functions are convex, so a chord lies above the function; it is lowered by half its largest
distance, which halves the error. All computations use integers:

* exponential: ``|x|`` with 17 fraction bits times log2(e) with 20, cut to 16 fraction bits; with n the integer part and
  f the fraction, ``e**x = 2**n * 2**f``;
* reciprocal of ``m * 2**k`` with m in [1, 2): ``2**-k * (1 / m)``;
* reciprocal root of ``m * 2**(2 k)`` with m in [1, 4): ``2**-k * (1 / sqrt(m))``; segments above 2 are twice as wide.

The reciprocal of zero, and the reciprocal root of a value that is not positive, are `LARGEST`. FP16 cannot hold this, so
the rounding to FP16 saturates and sets the flag. Exponentials from ``|x| = 32`` on are `LARGEST`, or `SMALLEST`, which
rounds to zero.

The method is that of a GPU's special function unit (Oberman and Siu, ARITH 2005), with polynomials of degree one.
"""

from collections.abc import Callable
from decimal import ROUND_CEILING, Decimal, localcontext
from enum import IntEnum
from functools import cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

SEGMENT_BITS = 6
"""Leading fraction bits that choose a segment."""

STEP_BITS = 10
"""Next fraction bits, which interpolate in the segment."""

TABLE_BITS = 17
"""Fraction bits of the table entries and of the interpolated value."""

ARGUMENT_BITS = 17
"""Fraction bits of the argument of the exponential."""

LOG2_E_BITS = 20
"""Fraction bits of the constant log2(e)."""

BIAS = 127
LARGEST_EXPONENT = 16
SMALLEST_EXPONENT = -48
LIMIT_EXPONENT = 5
"""Exponentials of arguments from ``2**5`` on in magnitude are `LARGEST` or `SMALLEST`."""

LARGEST = np.float32(2.0**LARGEST_EXPONENT)
SMALLEST = np.float32(2.0**SMALLEST_EXPONENT)

_DIGITS = 40


class VectorFunction(IntEnum):
    """Function that a lane applies to its sum."""

    IDENTITY = 0
    EXPONENTIAL = 1
    RECIPROCAL = 2
    RECIPROCAL_ROOT = 3


class ChordTable:
    """Chords of a function: in segment i its value is ``(starts[i] + (slopes[i] * step >> STEP_BITS)) / 2**TABLE_BITS``."""

    def __init__(self, function: Callable[[Decimal], Decimal], edges: list[Decimal]) -> None:
        unit = Decimal(2**TABLE_BITS)
        self.starts: list[int] = []
        self.slopes: list[int] = []
        for left, right in pairwise(edges):
            start, end, middle = function(left), function(right), function((left + right) / 2)
            lower = ((start + end) / 2 - middle) / 2
            self.starts.append(int((unit * (start - lower)).to_integral_value(ROUND_CEILING)))
            self.slopes.append(int((unit * (end - start)).to_integral_value()))

    def interpolate(self, segments: NDArray[np.int64], steps: NDArray[np.int64]) -> NDArray[np.int64]:
        """Interpolated values, in units of ``2**-TABLE_BITS``."""
        return np.array(self.starts)[segments] + ((np.array(self.slopes)[segments] * steps) >> STEP_BITS)


def log2_e() -> int:
    """log2(e) as an integer with `LOG2_E_BITS` fraction bits."""
    with localcontext(prec=_DIGITS):
        return int((Decimal(2**LOG2_E_BITS) / Decimal(2).ln()).to_integral_value())


@cache
def table(function: VectorFunction) -> ChordTable:
    """Chords of a function on [1, 2); for the reciprocal root also on [2, 4)."""
    count = 2**SEGMENT_BITS
    with localcontext(prec=_DIGITS):
        edges = [1 + Decimal(i) / count for i in range(count + 1)]
        if function == VectorFunction.EXPONENTIAL:
            return ChordTable(lambda x: Decimal(2) ** (x - 1), edges)
        if function == VectorFunction.RECIPROCAL:
            return ChordTable(lambda x: 1 / x, edges)
        return ChordTable(lambda x: 1 / x.sqrt(), edges[:-1] + [2 * x for x in edges])


def evaluate(function: VectorFunction, values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Function of float32 values, zero or normal, as in the circuit before the rounding to FP16."""
    if function == VectorFunction.IDENTITY:
        return values
    patterns = values.view(np.uint32).astype(np.int64)
    negative, fields, fractions = patterns >> 31 == 1, patterns >> 23 & 255, patterns & (1 << 23) - 1
    if function == VectorFunction.EXPONENTIAL:
        return _exponential(negative, fields, fractions)
    exponents = fields - BIAS
    segments, steps = fractions >> 23 - SEGMENT_BITS, fractions >> 23 - SEGMENT_BITS - STEP_BITS & (1 << STEP_BITS) - 1
    if function == VectorFunction.RECIPROCAL_ROOT:
        segments += (exponents & 1) << SEGMENT_BITS
        scaled = _scale(table(function).interpolate(segments, steps), -(exponents >> 1))
        return np.where(negative | (fields == 0), LARGEST, scaled)
    scaled = np.where(fields == 0, LARGEST, _scale(table(function).interpolate(segments, steps), -exponents))
    return np.where(negative, -scaled, scaled)


def _exponential(
    negative: NDArray[np.bool_], fields: NDArray[np.int64], fractions: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Exponential of values given by sign, exponent field and fraction."""
    limited = fields >= BIAS + LIMIT_EXPONENT
    significands = np.where(fields > 0, fractions | 1 << 23, 0)
    argument = significands >> np.clip(BIAS + 23 - ARGUMENT_BITS - fields, 0, 24)
    powers = argument * log2_e() >> ARGUMENT_BITS + LOG2_E_BITS - SEGMENT_BITS - STEP_BITS
    powers = np.where(limited, 0, np.where(negative, -powers, powers))
    segments = powers >> STEP_BITS & (1 << SEGMENT_BITS) - 1
    steps = powers & (1 << STEP_BITS) - 1
    scaled = _scale(table(VectorFunction.EXPONENTIAL).interpolate(segments, steps), powers >> SEGMENT_BITS + STEP_BITS)
    return np.where(limited, np.where(negative, SMALLEST, LARGEST), scaled)


def _scale(values: NDArray[np.int64], exponents: NDArray[np.int64]) -> NDArray[np.float32]:
    """``values * 2**(exponents - TABLE_BITS)``, exact in float32."""
    return np.ldexp(values.astype(np.float32), (exponents - TABLE_BITS).astype(np.int32))
