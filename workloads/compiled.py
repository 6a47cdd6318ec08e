"""Loops compiled by numba. `kernels` imports this module on first use, since numba takes half a second to load."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, prange


@njit(inline="always")
def _bits(x: Any) -> Any:
    return np.float32(x).view(np.uint32)


@njit(inline="always")
def _from_bits(bits: Any) -> Any:
    return np.uint32(bits).view(np.float32)


@njit(inline="always")
def _power_of_two(exponent: Any) -> Any:
    return _from_bits((exponent + 127) << 23)


@njit(parallel=True, cache=True)
def fake_quantize(x: Any, mantissa_bits: Any, group_size: Any, nearest: Any, midpoint: Any, out: Any) -> Any:
    """Fill `out` with the Anda values of `x`, both float32 ``[tokens, channels]``; see `kernels.fake_quantize`.

    Normal FP16 values keep 10 of float32's 23 fraction bits. Adding and subtracting 1/2 rounds smaller magnitudes to
    multiples of 2^-24, the spacing of FP16's subnormals.

    Returns the number of values that are not finite in FP16; if there are any, `out` is not valid.
    """
    tokens, channels = x.shape
    half, smallest_normal, overflow = np.float32(0.5), np.float32(2.0**-14), np.float32(65520)
    largest_mantissa = np.float32(2**mantissa_bits - 1)
    nonfinite = 0
    for token in prange(tokens):  # pyright: ignore[reportGeneralTypeIssues]
        for start in range(0, channels, group_size):
            stop = min(start + group_size, channels)
            largest = np.float32(0)
            for i in range(start, stop):
                magnitude = abs(x[token, i])
                bits = _bits(magnitude)
                normal = _from_bits((bits + 0xFFF + ((bits >> 13) & 1)) & 0xFFFFE000)
                rounded = normal if magnitude >= smallest_normal else (magnitude + half) - half
                out[token, i] = rounded
                largest = max(largest, rounded)
                nonfinite += not magnitude < overflow
            shared_exponent = max(np.int64(_bits(largest) >> 23) - 127, -14)
            lsb = shared_exponent - mantissa_bits + 1
            unit, units_per_one = _power_of_two(lsb), _power_of_two(-lsb)
            for i in range(start, stop):
                mantissa = out[token, i] * units_per_one
                mantissa = min(np.rint(mantissa), largest_mantissa) if nearest else np.floor(mantissa)
                if midpoint:
                    value = (mantissa + half) * unit if mantissa > 0 else mantissa
                    # FP16 cuts off what its fraction and its least bit cannot hold
                    subnormal = np.floor(value * np.float32(2.0**24)) * np.float32(2.0**-24)
                    value = _from_bits(_bits(value) & 0xFFFFE000) if value >= smallest_normal else subnormal
                else:
                    value = mantissa * unit
                out[token, i] = np.copysign(value, x[token, i])
    return nonfinite
