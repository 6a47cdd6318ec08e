"""Zero-plane skipping: a bit-plane that is zero in a whole block of tokens need not be sent to the array.

The rows of the array run in step, so that what counts is a plane of a group of all tokens of a block of rows. The
compressor, which sees every plane pass, keeps a bit for each: the plane mask, stored beside the block's shared
exponents. The first mantissa plane is always sent: the group's largest element has its leading bit there, unless it is
subnormal. So a mask has M - 1 bits per block and group. Planes keep their places in memory; a plane that is not sent
saves its cycle and its read, not its room. ``AndaFormat(mask_rows=16)`` is a format with masks for blocks of 16 tokens.

This is an option of this project, not of the Anda paper (arXiv 2411.15982).
"""

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..latency.array import WEIGHT_LOAD_CYCLES, array_cycles_per_group
from ..numeric.alignment import MAX_MANTISSA_BITS
from . import bitplanes
from .format import AndaTensor

MASK_BITS = MAX_MANTISSA_BITS - 1
"""Bits of a plane mask in the circuit, whatever M is: bit i tells whether a group's mantissa plane i + 1 has a one."""


def sent_planes(tensor: AndaTensor, rows: int) -> NDArray[np.bool_]:
    """Which mantissa planes are sent: bool ``[blocks, groups, M]``, blocks of ``rows`` tokens, the last maybe shorter.

    Raises
    ------
    InputError
        ``rows`` is not positive.
    """
    if rows < 1:
        raise InputError(f"rows: {rows} is not valid; choose a positive number of tokens")
    return bitplanes.sent_planes(tensor.as_matrix().planes, tensor.format.group_size, rows)


def plane_counts(tensor: AndaTensor, rows: int) -> NDArray[np.int64]:
    """How many mantissa planes are sent: int64 ``[blocks, groups]``, each 1 to M."""
    return sent_planes(tensor, rows).sum(axis=-1)


def mean_group_cycles(tensor: AndaTensor, rows: int, weight_load_cycles: int = WEIGHT_LOAD_CYCLES) -> float:
    """Mean over blocks and groups of the cycles that the array takes: ``max(planes + 1, weight_load_cycles)``."""
    counts = np.bincount(plane_counts(tensor, rows).ravel())
    cycles = [array_cycles_per_group(planes, weight_load_cycles) for planes in range(len(counts))]
    return float(counts @ cycles / counts.sum())
