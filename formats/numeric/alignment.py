"""Block floating point: alignment of FP16 values to a shared exponent.

Source: Anda (arXiv 2411.15982), section III. Each value has an 11-bit significand ``S`` and an effective exponent ``e``.
The shared exponent ``e*`` is the largest ``e`` of a group, and a mantissa of ``M`` bits is ``S * 2^(M - 11) / 2^(e* - e)``,
cut to an integer. Its value is ``mantissa * 2^(e* - 14 - M)``.
"""

import numpy as np
from numpy.typing import NDArray

from ..options import Rounding

GROUP_SIZE = 64
"""Values that share an exponent in the paper; the default of the formats that are compared with Anda."""

MAX_MANTISSA_BITS = 16
SIGNIFICAND_BITS = 11
EXPONENT_OFFSET = 14
"""The unit of a mantissa of M bits with shared exponent e* is ``2^(e* - EXPONENT_OFFSET - M)``."""


def align(
    significands: NDArray[np.uint16],
    exponent_differences: NDArray[np.uint8],
    mantissa_bits: int,
    rounding: Rounding = "truncate",
) -> NDArray[np.uint16]:
    """Elementwise mantissas of ``mantissa_bits`` bits.

    ``truncate`` cuts the bits that do not fit. ``nearest`` rounds the aligned significand to the nearest integer, ties
    to even, and saturates at ``2^M - 1`` (only an element that holds the shared exponent can reach it).
    """
    wide = significands.astype(np.uint32) << (MAX_MANTISSA_BITS - SIGNIFICAND_BITS)
    # A shift by 17 already clears 16 bits, rounding included; a longer one would leave the word.
    shifts = np.minimum(exponent_differences.astype(np.uint32) + (MAX_MANTISSA_BITS - mantissa_bits), 17)
    if rounding == "truncate":
        return (wide >> shifts).astype(np.uint16)
    half = (np.uint32(1) << shifts) >> 1
    odd = (wide >> shifts) & 1
    rounded = (wide + half - (half > 0) + (odd & (half > 0))) >> shifts
    return np.minimum(rounded, (1 << mantissa_bits) - 1).astype(np.uint16)
