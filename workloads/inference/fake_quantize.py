"""Fake quantisation: float32 activations rounded to the values of the Anda format, without forming bit-planes.

`fake_quantize` is one pass of code that numba compiles; `fake_quantize_numpy` gives the same bits through the format's
encoder and decoder. Importing this module loads numba, which takes half a second.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from ...formats import AndaFormat
from ..models.parameters import FloatArray


def fake_quantize(x: FloatArray, fmt: AndaFormat) -> FloatArray:
    """Round activations to the values of the Anda format.

    Parameters
    ----------
    x
        Activations, float32 ``[tokens, channels]``.
    fmt
        The format, with all its options.

    Returns
    -------
    FloatArray
        float32 ``[tokens, channels]``; every value is an FP16 number.

    Raises
    ------
    InputError
        `x` overflows FP16 or holds a NaN, and ``fmt.nonfinite`` is ``"raise"``.
    """
    x = np.ascontiguousarray(x)
    out = np.empty_like(x)
    nearest, midpoint = fmt.rounding == "nearest", fmt.reconstruct == "midpoint"
    finite = _fake_quantize_groups(x, fmt.mantissa_bits, fmt.group_size, nearest, midpoint, out)
    return out if finite else fake_quantize_numpy(x, fmt)


def fake_quantize_numpy(x: FloatArray, fmt: AndaFormat) -> FloatArray:
    """Same as `fake_quantize`, through FP16 and the format's own encoder and decoder."""
    with np.errstate(over="ignore"):
        return fmt.encode(x.astype(np.float16)).decode().astype(np.float32)


@njit(inline="always")
def _from_bits(bits: Any) -> Any:
    return np.uint32(bits).view(np.float32)


@njit(inline="always")
def _power_of_two(exponent: Any) -> Any:
    return _from_bits((exponent + 127) << 23)


@njit(inline="always")
def _round_to_normal_fp16(bits: Any) -> Any:
    """Keep 10 of float32's 23 fraction bits, to nearest even; bits in, bits out."""
    return np.uint32(np.uint32(bits + 0xFFF + ((bits >> 13) & 1)) & 0xFFFFE000)


@njit(cache=True)
def _fake_quantize_groups(x: Any, mantissa_bits: Any, group_size: Any, nearest: Any, midpoint: Any, out: Any) -> Any:
    """Fill `out` with the Anda values of `x`, both float32 ``[tokens, channels]``.

    Bit patterns of magnitudes sort like the magnitudes. Adding and subtracting 1/2 rounds to multiples of 2^-24, the
    spacing of FP16's subnormals.

    Returns False if a value is not finite in FP16; `out` is not valid then.
    """
    half, smallest_normal = np.float32(0.5), np.float32(2.0**-14)
    largest_mantissa = np.float32(2**mantissa_bits - 1)
    bits = x.view(np.uint32)
    for token in range(x.shape[0]):
        for start in range(0, x.shape[1], group_size):
            stop = min(start + group_size, x.shape[1])
            largest = np.uint32(0)
            for i in range(start, stop):
                largest = max(largest, np.uint32(bits[token, i] & 0x7FFFFFFF))
            if largest >= 0x477FF000:  # 65520, which rounds to infinity
                return False
            shared_exponent = max(np.int64(_round_to_normal_fp16(largest) >> 23) - 127, -14)
            lsb = shared_exponent - mantissa_bits + 1
            unit, units_per_one = _power_of_two(lsb), _power_of_two(-lsb)
            for i in range(start, stop):
                magnitude = np.float32(abs(x[token, i]))
                normal = _from_bits(_round_to_normal_fp16(bits[token, i] & 0x7FFFFFFF))
                rounded = normal if magnitude >= smallest_normal else (magnitude + half) - half
                scaled = rounded * units_per_one
                mantissa = min(np.rint(scaled), largest_mantissa) if nearest else np.floor(scaled)
                value = mantissa * unit
                if midpoint:
                    # FP16 cuts off what its fraction and its least bit cannot hold
                    middle = (mantissa + half) * unit if mantissa > 0 else np.float32(0)
                    fraction = _from_bits(np.float32(middle).view(np.uint32) & 0xFFFFE000)
                    subnormal = np.floor(middle * np.float32(2.0**24)) * np.float32(2.0**-24)
                    value = fraction if middle >= smallest_normal else subnormal
                out[token, i] = np.copysign(value, x[token, i])
    return True
