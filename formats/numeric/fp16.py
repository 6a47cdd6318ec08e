"""FP16 (IEEE 754 binary16): integer fields, patterns, and rounding that saturates."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

MAX_FP16 = 65504.0
"""Largest finite FP16 magnitude."""

MAX_PATTERN = np.uint16(0x7BFF)
"""Bit pattern of `MAX_FP16`; larger magnitude patterns are infinities and NaN."""

OVERFLOW_FP16 = 65520.0
"""Smallest magnitude that rounding to nearest even turns into an infinity."""


class Fp16Fields(NamedTuple):
    """Integer fields of FP16 values; a value is ``(-1)^sign * significand * 2^(exponent - 25)``."""

    signs: NDArray[np.bool_]
    exponents: NDArray[np.uint8]  # effective: the exponent field, at least 1
    significands: NDArray[np.uint16]  # 11 bits, hidden bit included


def split_fp16(bits: NDArray[np.uint16]) -> Fp16Fields:
    """Fields of finite FP16 values, given as bit patterns of any shape."""
    exponents = ((bits >> 10) & 31).astype(np.uint8)
    significands = np.bitwise_or(bits & np.uint16(1023), (exponents > 0).astype(np.uint16) << np.uint16(10))
    return Fp16Fields((bits >> 15).astype(np.bool_), np.maximum(exponents, 1), significands)


def fp16_patterns(magnitudes: NDArray[np.float32]) -> NDArray[np.uint16]:
    """FP16 patterns of magnitudes below 65536, truncated."""
    normal = (magnitudes.view(np.uint32) >> np.uint32(13)) - np.uint32((127 - 15) << 10)
    subnormal = (np.minimum(magnitudes, np.float32(2.0**-14)) * np.float32(2.0**24)).astype(np.uint32)
    return np.where(magnitudes < np.float32(2.0**-14), subnormal, normal).astype(np.uint16)


def round_to_fp16(values: NDArray[np.floating]) -> tuple[NDArray[np.float16], bool]:
    """Round to FP16, to nearest even; values beyond +-65504 saturate. Returns True if any value overflowed."""
    overflowed = bool((np.abs(values) >= OVERFLOW_FP16).any())
    return np.clip(values, -MAX_FP16, MAX_FP16).astype(np.float16), overflowed


def ulp_errors(values: NDArray[np.float16], exact: NDArray[np.float64]) -> NDArray[np.float64]:
    """Errors of FP16 values in ulp: units of the last place of FP16 at the exact value."""
    _, exponents = np.frexp(exact)
    units = np.ldexp(1.0, np.maximum(exponents - 11, -24))
    return np.abs(values.astype(np.float64) - exact) / units
