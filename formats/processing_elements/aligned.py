"""Integer dot products of pre-aligned activations: FIGNA, iFPU and FIGLUT."""

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .scaled import scale_and_accumulate

WEIGHT_PLANES = 4
"""Bits of a weight, processed plane by plane."""

TABLE_INPUTS = 4
"""Activations of a look-up table, FIGLUT's mu."""


def aligned_dot(
    integers: NDArray[np.integer],
    exponents: NDArray[np.integer],
    codes: NDArray[np.int8],
    scales: NDArray[np.float16],
    magnitude_bits: int,
) -> tuple[NDArray[np.float32], bool]:
    """Dot products of aligned activations and integer weights: exact per group, then `scale_and_accumulate`.

    Parameters
    ----------
    integers, exponents
        ``[..., groups, elements]`` and ``[..., groups]`` of a `BfpTensor`: the value of an element is
        ``integer * 2^(exponent - magnitude_bits + 1)``.
    codes
        int8 ``[..., groups, elements]``.
    scales
        float16 ``[..., groups]``.
    magnitude_bits
        At most 28, so that the sum of a group is exact in int64 and float64.

    Returns
    -------
    float32 ``[...]``, and True if the sum of a group overflowed FP16.
    """
    partial_sums = (integers.astype(np.int64) * codes).sum(axis=-1)
    return scale_and_accumulate(np.ldexp(partial_sums.astype(np.float64), exponents - magnitude_bits + 1), scales)


def weight_planes(codes: NDArray[np.int8]) -> NDArray[np.uint8]:
    """Bit-planes of INT4 codes ``[...]``: uint8 ``[..., 4]``, bit i of ``code + 8``.

    With ``b = 2 * bit - 1`` in -1 and +1, ``2 * code = sum over i of 2**i * b[i] - 1``.

    Raises
    ------
    InputError
        A code is outside -8..7.
    """
    if codes.size and not (codes.min() >= -8 and codes.max() <= 7):
        raise InputError(f"codes: span {codes.min()}..{codes.max()}; give codes in -8..7")
    return ((codes.astype(np.int64)[..., None] + 8) >> np.arange(WEIGHT_PLANES) & 1).astype(np.uint8)
