"""Compiled GeMM on all cores: each block of outputs is one call of a kernel that releases the interpreter lock."""

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from ..anda.codec import Words
from ..anda.format import AndaTensor
from ..options import Partial
from ..weights.int4 import Int4Weights
from .kernels import Activations, Block, Weights, multiply_block
from .operands import GemmFlags, segment_length
from .tile import COLUMNS, ROWS

_TOKENS = 21 * 12
"""Tokens of a block; its chunk of activations stays in the second-level cache."""
_OUTPUTS = 2048
"""Outputs of a block; its accumulators take 2 MB."""
_LEAST_OUTPUTS = 256
_BLOCKS_PER_CORE = 4


def gemm_compiled(a: AndaTensor, w: Int4Weights, partial: Partial, flags: GemmFlags) -> NDArray[np.float16]:
    """`anda_codesign.formats.fp_int_gemm` of a matrix ``[tokens, in]``."""
    activations = Activations(
        *Words(a.signs, a.planes, a.exponents).flat(),
        a.exponents.shape[1],
        a.format.group_size,
        a.format.mantissa_bits,
        a.format.reconstruct == "midpoint",
    )
    outputs = w.codes.shape[1]
    offsets = np.empty((0, outputs), np.float16) if w.offsets is None else w.offsets
    weights = Weights(
        np.ascontiguousarray(w.codes), w.scales.astype(np.float32), offsets.astype(np.float32), w.group_size
    )
    piece = exact_length(a, w)
    result = np.empty((a.shape[0], outputs), np.uint16)

    def run(block: Block) -> tuple[bool, bool]:
        return multiply_block(activations, weights, block, piece, partial == "fp16", result)

    cores = _available_cores()
    with ThreadPoolExecutor(cores) as pool:
        for partial_saturated, result_saturated in pool.map(run, blocks(a.shape[0], outputs, cores)):
            flags.partial_saturated |= partial_saturated
            flags.result_saturated |= result_saturated
    return result.view(np.float16)


def exact_length(a: AndaTensor, w: Int4Weights) -> int:
    """Largest part of a segment, in channels, with an integer sum of at most 2^24, where float32 is exact."""
    length = segment_length(a, w)
    bits = a.format.mantissa_bits + (a.format.reconstruct == "midpoint")
    largest_product = (2**bits - 1) * max(int(w.codes.max()), -int(w.codes.min()))
    while length * largest_product > 1 << 24:
        length //= 2
    return length


def blocks(tokens: int, outputs: int, cores: int) -> list[Block]:
    """Blocks of nearly equal size that cover the result, several for each core if there is enough work."""
    rows = -(-tokens // _TOKENS)
    wanted = -(-cores * _BLOCKS_PER_CORE // max(rows, 1))
    columns = max(-(-outputs // _OUTPUTS), min(wanted, outputs // _LEAST_OUTPUTS))
    height, width = _share(tokens, rows, ROWS), _share(outputs, columns, COLUMNS)
    return [
        Block(token, min(token + height, tokens), output, min(output + width, outputs))
        for token in range(0, tokens, height)
        for output in range(0, outputs, width)
    ]


def _share(total: int, parts: int, multiple: int) -> int:
    """Size of the largest of ``parts`` nearly equal parts, a multiple of ``multiple``."""
    return max(-(-total // (max(parts, 1) * multiple)), 1) * multiple


def _available_cores() -> int:
    """Number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
