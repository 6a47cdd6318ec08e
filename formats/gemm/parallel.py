"""Compiled GeMM on all cores: each block of outputs is one call of a kernel that releases the interpreter lock."""

import os
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import numpy as np
from numpy.typing import NDArray

from ..anda.codec import Words
from ..anda.format import AndaTensor
from ..options import Partial
from ..weights.int4 import SIGNED_RANGE, UNSIGNED_RANGE, Int4Weights
from .few_tokens import MOST_TOKENS, STRIP, multiply_few_tokens
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
    few = a.shape[0] <= MOST_TOKENS and piece == segment_length(a, w)

    def run(block: Block) -> tuple[bool, bool]:
        if few:
            return multiply_few_tokens(activations, weights, block, partial == "fp16", result)
        return multiply_block(activations, weights, block, piece, partial == "fp16", result)

    cores = _available_cores()
    work = _strips(a.shape[0], outputs, cores) if few else blocks(a.shape[0], outputs, cores)
    for partial_saturated, result_saturated in _pool(cores).map(run, work) if len(work) > 1 else map(run, work):
        flags.partial_saturated |= partial_saturated
        flags.result_saturated |= result_saturated
    return result.view(np.float16)


@cache
def _pool(cores: int) -> ThreadPoolExecutor:
    """Threads that are kept from call to call; a forked process makes its own."""
    return ThreadPoolExecutor(cores)


os.register_at_fork(after_in_child=_pool.cache_clear)


def exact_length(a: AndaTensor, w: Int4Weights) -> int:
    """A part of a segment, in channels, with an integer sum of at most 2^24 for any codes, where float32 is exact."""
    length = segment_length(a, w)
    bits = a.format.mantissa_bits + (a.format.reconstruct == "midpoint")
    largest_product = (2**bits - 1) * (-SIGNED_RANGE[0] if w.offsets is None else UNSIGNED_RANGE[1])
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


def _strips(tokens: int, outputs: int, cores: int) -> list[Block]:
    """One block of all tokens for each core, in whole strips of outputs."""
    width = _share(outputs, cores, STRIP)
    return [Block(0, tokens, output, min(output + width, outputs)) for output in range(0, outputs, width)]


def _share(total: int, parts: int, multiple: int) -> int:
    """Size of the largest of ``parts`` nearly equal parts, a multiple of ``multiple``."""
    return max(-(-total // (max(parts, 1) * multiple)), 1) * multiple


def _available_cores() -> int:
    """Number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
