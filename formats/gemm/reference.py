"""Readable reference of the FP-INT GeMM: Python integers and fractions, one plane, channel and output at a time.

It shares no arithmetic with `anda_codesign.formats.gemm.fp_int`, which is tested against it.
"""

from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from ..anda.format import AndaTensor
from ..options import Partial
from ..weights.int4 import Int4Weights
from .operands import GemmFlags, check_operands

_FP16_MAX = Fraction(65504)


def fp_int_gemm_reference(
    a: AndaTensor, w: Int4Weights, partial: Partial = "fp16", flags: GemmFlags | None = None
) -> NDArray[np.float16]:
    """Same result as `fp_int_gemm`, bit for bit, at a few thousand multiplications per second."""
    check_operands(a, w, partial)
    flags = GemmFlags() if flags is None else flags
    outputs = w.codes.shape[1]
    result = np.zeros((*a.shape[:-1], outputs), np.float16)
    for token in np.ndindex(*a.shape[:-1]):
        for output in range(outputs):
            result[(*token, output)] = _output(a, token, w, output, partial, flags)
    return result


def _output(
    a: AndaTensor, token: tuple[int, ...], w: Int4Weights, output: int, partial: Partial, flags: GemmFlags
) -> np.float16:
    """One element of the result, summed over segments in increasing channel order."""
    channels = a.shape[-1]
    step = min(a.format.group_size, w.group_size)
    accumulator = Fraction(0)
    for start in range(0, channels, step):
        stop = min(start + step, channels)
        codes = [int(q) for q in w.codes[start:stop, output]]
        contributions = [(codes, w.scales)]
        if w.offsets is not None:
            contributions.append(([1] * (stop - start), w.offsets))
        for factors, parameters in contributions:
            value = _dot_product(a, token, start, factors)
            if partial == "fp16":
                value, saturated = round_to_fp16(value)
                flags.partial_saturated |= saturated
            else:
                value = round_to_fp32(value)
            scale = Fraction(float(parameters[start // w.group_size, output]))
            accumulator = round_to_fp32(accumulator + round_to_fp32(value * scale))
    rounded, saturated = round_to_fp16(accumulator)
    flags.result_saturated |= saturated
    # A negative sum that rounds to zero is -0; a sum that is exactly zero is +0.
    return np.copysign(np.float16(float(rounded)), -1 if accumulator < 0 else 1)


def _dot_product(a: AndaTensor, token: tuple[int, ...], start: int, factors: list[int]) -> Fraction:
    """Exact sum of value times factor over the channels from ``start`` on, plane by plane as in the circuit."""
    group, first = divmod(start, a.format.group_size)
    lanes = range(first, first + len(factors))
    signs = _bits(a.signs[(*token, group)])
    planes = [_bits(plane) for plane in a.planes[(*token, group)]]
    signed = {lane: -q if signs >> lane & 1 else q for lane, q in zip(lanes, factors, strict=True)}
    accumulator = 0
    for plane in planes:
        accumulator = 2 * accumulator + sum(signed[lane] for lane in lanes if plane >> lane & 1)
    least_bit = int(a.exponents[(*token, group)]) - 14 - a.format.mantissa_bits
    if a.format.reconstruct == "midpoint":
        nonzero = 0
        for plane in planes:
            nonzero |= plane
        accumulator = 2 * accumulator + sum(signed[lane] for lane in lanes if nonzero >> lane & 1)
        least_bit -= 1
    return accumulator * Fraction(2) ** least_bit


def _bits(words: NDArray[np.uint64] | np.uint64) -> int:
    """Plane of a group as an integer; a group of 128 has two words."""
    return sum(int(word) << (64 * i) for i, word in enumerate(np.atleast_1d(words)))


def round_to_fp16(value: Fraction) -> tuple[Fraction, bool]:
    """Round to FP16, to nearest even, saturating at +-65504; returns True if the value overflowed."""
    rounded = _round(value, significand_bits=11, least_exponent=-24)
    if abs(rounded) > _FP16_MAX:
        return (_FP16_MAX if value > 0 else -_FP16_MAX), True
    return rounded, False


def round_to_fp32(value: Fraction) -> Fraction:
    """Round to FP32, to nearest even. Sums and products of FP16 values do not overflow."""
    return _round(value, significand_bits=24, least_exponent=-149)


def _round(value: Fraction, significand_bits: int, least_exponent: int) -> Fraction:
    """Round to the nearest multiple of the last place, ties to the even multiple."""
    if value == 0:
        return value
    exponent = abs(value.numerator).bit_length() - value.denominator.bit_length()
    if abs(value) < Fraction(2) ** exponent:
        exponent -= 1
    unit = Fraction(2) ** max(exponent - significand_bits + 1, least_exponent)
    return round(value / unit) * unit  # Python's round() of a fraction takes ties to even
