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


def plane_serial_sums(integers: NDArray[np.integer], codes: NDArray[np.int8]) -> NDArray[np.int64]:
    """Twice the dot products over the last axis, plane by plane as in iFPU; int64 ``[...]``."""
    signs = 2 * weight_planes(codes).astype(np.int64) - 1
    planes = (integers.astype(np.int64)[..., None] * signs).sum(axis=-2)
    return (planes << np.arange(WEIGHT_PLANES)).sum(axis=-1) - integers.astype(np.int64).sum(axis=-1)


def fp16_table(integers: NDArray[np.integer]) -> NDArray[np.int64]:
    """FIGLUT's look-up table of ``[..., 4]`` activations: int64 ``[..., 8]``.

    Entry i is ``x4 +- x3 +- x2 +- x1``, with plus where bit 2, 1 or 0 of i is set.
    """
    x1, x2, x3, x4 = np.moveaxis(integers.astype(np.int64), -1, 0)
    signs = 2 * (np.arange(8)[:, None] >> np.arange(3) & 1) - 1
    return x4[..., None] + sum(x[..., None] * signs[:, i] for i, x in enumerate((x1, x2, x3)))


def read_table(table: NDArray[np.int64], keys: NDArray[np.integer]) -> NDArray[np.int64]:
    """Look up ``+-x4 +- x3 +- x2 +- x1`` in a table ``[..., 8]`` of `fp16_table`, with 4-bit keys ``[...]``."""
    positive = keys >> 3 == 1
    index = np.where(positive, keys & 7, ~keys & 7)
    entry = np.take_along_axis(table, index[..., None], axis=-1)[..., 0]
    return np.where(positive, entry, -entry)


def table_serial_sums(integers: NDArray[np.integer], codes: NDArray[np.int8]) -> NDArray[np.int64]:
    """Twice the dot products over the last axis, a multiple of 4 long, by table look-up as in FIGLUT."""
    chunks = integers.reshape(*integers.shape[:-1], -1, TABLE_INPUTS)
    bits = weight_planes(codes).reshape(*chunks.shape, WEIGHT_PLANES).astype(np.int64)
    keys = (bits << np.arange(TABLE_INPUTS)[:, None]).sum(axis=-2)
    table = np.repeat(fp16_table(chunks)[..., None, :], WEIGHT_PLANES, axis=-2)
    planes = read_table(table, keys).sum(axis=-2)
    return (planes << np.arange(WEIGHT_PLANES)).sum(axis=-1) - integers.astype(np.int64).sum(axis=-1)
