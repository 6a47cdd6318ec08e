"""Zero-plane skipping: a bit-plane that is zero in a whole block of tokens is not sent to the array.

The rows of the array run in step, so a plane can be skipped only if it is zero in all tokens of a block. The compressor
writes one bit for each plane, the plane mask, beside the shared exponents of the block. The first mantissa plane is
always sent, since it holds the leading bit of the group's largest element, unless that is subnormal. So a mask has M - 1
bits for each block and group. A skipped plane saves its cycle and its read, but keeps its place in memory.
``AndaFormat(7, mask_rows=16)`` has masks for blocks of 16 tokens.

This is an option of this project, not of the Anda paper (arXiv 2411.15982).
"""

import numpy as np
from numpy.typing import NDArray

from ..checks import check_integer
from ..latency.array import WEIGHT_LOAD_CYCLES, array_cycles_per_group
from ..numeric.alignment import MAX_MANTISSA_BITS
from . import bitplanes
from .format import AndaTensor

MASK_BITS = MAX_MANTISSA_BITS - 1
"""Width of a plane mask in the circuit for any M: bit i is 1 if mantissa plane i + 1 of a group has a one."""


def sent_planes(tensor: AndaTensor, rows: int) -> NDArray[np.bool_]:
    """Mask of the mantissa planes that are sent, bool ``[blocks, groups, M]``, for blocks of ``rows`` tokens.

    Raises
    ------
    InputError
        ``rows`` is not positive.
    """
    check_integer("rows", rows, 1)
    return bitplanes.sent_planes(tensor.as_matrix().planes, tensor.format.group_size, rows)


def plane_counts(tensor: AndaTensor, rows: int) -> NDArray[np.int64]:
    """Number of mantissa planes that are sent: int64 ``[blocks, groups]``, each 1 to M."""
    return sent_planes(tensor, rows).sum(axis=-1)


def mean_group_cycles(tensor: AndaTensor, rows: int, weight_load_cycles: int = WEIGHT_LOAD_CYCLES) -> float:
    """Cycles of the array for one group, ``max(planes + 1, weight_load_cycles)``, averaged over blocks and groups."""
    counts = np.bincount(plane_counts(tensor, rows).ravel())
    cycles = [array_cycles_per_group(planes, weight_load_cycles) for planes in range(len(counts))]
    return float(counts @ cycles / counts.sum())
