"""Dot products serial in the bits of weights, as iFPU and FIGLUT compute them: the reference of their circuits."""

import numpy as np
from anda_codesign.formats.processing_elements.aligned import TABLE_INPUTS, WEIGHT_PLANES, weight_planes
from numpy.typing import NDArray


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
