"""Compiled FP-INT GeMM: the loops around the register tile of `anda_codesign.formats.gemm.tile`.

One call computes one block of outputs. It unpacks activations and codes of one chunk of input channels at a time into
buffers that stay in the second-level cache, so its memory does not grow with the operands.
"""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ..anda.kernels import CHUNK, decode_chunk
from ..kernels.jit import kernel
from ..numeric.fp16 import MAX_FP16
from .tile import COLUMNS, LANES, ROWS, accumulate_tile, round_sums, store_codes, store_fp16

CHANNELS = 256
"""Input channels of a chunk, a multiple of every group size."""


class Activations(NamedTuple):
    """Flat words of an `AndaTensor` with ``groups`` groups for each token."""

    signs: NDArray[np.uint64]
    planes: NDArray[np.uint64]
    exponents: NDArray[np.uint8]
    groups: int
    group_size: int
    mantissa_bits: int
    midpoint: bool


class Weights(NamedTuple):
    """Codes ``[in, out]``, and float32 scales and offsets ``[weight groups, out]``; offsets may have no rows."""

    codes: NDArray[np.int8]
    scales: NDArray[np.float32]
    offsets: NDArray[np.float32]
    group_size: int


class Block(NamedTuple):
    """Range of outputs that one call computes."""

    first_token: int
    last_token: int
    first_output: int
    last_output: int


@kernel
def multiply_block(
    activations: Activations,
    weights: Weights,
    block: Block,
    piece: int,
    round_partials: bool,
    result: NDArray[np.uint16],
) -> tuple[bool, bool]:
    """Fill a block of ``result`` ``[tokens, out]``; return two flags: partial sums overflowed, results overflowed."""
    panels = (block.last_token - block.first_token + ROWS - 1) // ROWS
    strips = (block.last_output - block.first_output + COLUMNS - 1) // COLUMNS
    channels = weights.codes.shape[0]
    length = min(activations.group_size, weights.group_size)
    segments = CHANNELS // length
    a = _aligned(panels * CHANNELS * ROWS)
    b = _aligned(CHANNELS * COLUMNS)
    sums = _aligned(panels * segments * ROWS)
    scales, offsets = _aligned(segments * COLUMNS), _aligned(segments * COLUMNS)
    accumulators = _aligned(strips * panels * ROWS * COLUMNS)
    accumulators[:] = 0
    peak = np.zeros(LANES, np.float32)
    affine = weights.offsets.shape[0] > 0
    for first in range(0, channels, CHANNELS):
        count = min(segments, (channels - first + length - 1) // length)
        _unpack_activations(activations, block, channels, first, count * length, a)
        if affine:
            _sum_segments(a, panels, count, length, sums)
            if round_partials:
                for at in range(0, panels * segments * ROWS, LANES):
                    round_sums(sums, at, peak)
        for strip in range(strips):
            output = block.first_output + strip * COLUMNS
            _unpack_codes(weights.codes, first, count * length, output, block.last_output, b)
            _unpack_parameters(weights.scales, first, weights.group_size, count, length, output, scales)
            if affine:
                _unpack_parameters(weights.offsets, first, weights.group_size, count, length, output, offsets)
            for panel in range(panels):
                accumulate_tile(
                    a, b, scales, offsets, sums, accumulators, peak,
                    panel * CHANNELS * ROWS, panel * segments * ROWS, (strip * panels + panel) * ROWS * COLUMNS,
                    count, length, piece, round_partials, affine,
                )  # fmt: skip
    partial_saturated = bool(peak.max() > MAX_FP16)
    peak[:] = 0
    _store_results(accumulators, block, panels, strips, result, peak)
    return partial_saturated, bool(peak.max() > MAX_FP16)


@kernel
def _aligned(size: int) -> NDArray[np.float32]:
    """Uninitialised floats, aligned to a cache line and rounded up to whole vectors."""
    size = (size + LANES - 1) // LANES * LANES
    buffer = np.empty(size + 16, np.float32)
    start = (-buffer.ctypes.data % 64) // 4
    return buffer[start : start + size]


@kernel
def _unpack_activations(
    activations: Activations, block: Block, channels: int, first: int, count: int, a: NDArray[np.float32]
) -> None:
    """Unpack ``count`` channels from ``first`` on to ``[panels, CHANNELS, ROWS]``, zeros past the operand."""
    words = np.empty(1 + activations.mantissa_bits, np.uint64)
    exponents = np.ones(CHUNK, np.uint8)
    values = np.empty(CHUNK, np.float32)
    tokens = block.last_token - block.first_token
    for row in range((tokens + ROWS - 1) // ROWS * ROWS):
        for start in range(0, count, CHUNK):
            if row < tokens:
                decode_channels(activations, block.first_token + row, first + start, values, words, exponents)
                values[max(channels - first - start, 0) :] = 0
            else:
                values[:] = 0
            at = (row // ROWS * CHANNELS + start) * ROWS + row % ROWS
            for i in range(min(CHUNK, count - start)):
                a[at + i * ROWS] = values[i]


@njit(inline="always")
def decode_channels(
    activations: Activations,
    token: int,
    channel: int,
    values: NDArray[np.float32],
    words: NDArray[np.uint64],
    exponents: NDArray[np.uint8],
) -> None:
    """Decode the `CHUNK` channels of a token from one on; ``words`` ``[1 + M]`` and ``exponents`` ``[CHUNK]`` are scratch memory."""
    group_size, groups = activations.group_size, activations.groups
    group = channel // group_size
    decode_chunk(
        activations.signs, activations.planes, activations.exponents, group_size,
        token * groups + group, min(max(CHUNK // group_size, 1), groups - group),
        channel // CHUNK % max(group_size // CHUNK, 1), activations.mantissa_bits, activations.midpoint,
        values, 0, words, exponents,
    )  # fmt: skip


@kernel
def _sum_segments(a: NDArray[np.float32], panels: int, segments: int, length: int, sums: NDArray[np.float32]) -> None:
    """Sum the activations over each segment: ``[panels, CHANNELS / length, ROWS]``, exact in float32."""
    sums[:] = 0
    for panel in range(panels):
        for channel in range(segments * length):
            for row in range(ROWS):
                total = (panel * (CHANNELS // length) + channel // length) * ROWS + row
                sums[total] += a[(panel * CHANNELS + channel) * ROWS + row]


@kernel
def _unpack_codes(
    codes: NDArray[np.int8], first: int, count: int, output: int, last_output: int, b: NDArray[np.float32]
) -> None:
    """Unpack codes of ``count`` channels from ``first`` on to ``[count, COLUMNS]``, zeros past the operand."""
    channels, outputs = codes.shape
    inside = min(count, channels - first)
    columns = min(COLUMNS, last_output - output)
    if columns == COLUMNS:
        flat = codes.reshape(-1)
        for channel in range(inside):
            store_codes(flat, (first + channel) * outputs + output, b, channel * COLUMNS)
        b[inside * COLUMNS : count * COLUMNS] = 0
    else:
        b[:] = 0
        for channel in range(inside):
            for column in range(columns):
                b[channel * COLUMNS + column] = codes[first + channel, output + column]


@kernel
def _unpack_parameters(
    parameters: NDArray[np.float32],
    first: int,
    group_size: int,
    segments: int,
    length: int,
    output: int,
    target: NDArray[np.float32],
) -> None:
    """Unpack scales or offsets from channel ``first`` on to ``[segments, COLUMNS]``, zeros past the operand."""
    columns = min(COLUMNS, parameters.shape[1] - output)
    target[:] = 0
    for segment in range(segments):
        group = (first + segment * length) // group_size
        for column in range(columns):
            target[segment * COLUMNS + column] = parameters[group, output + column]


@kernel
def _store_results(
    accumulators: NDArray[np.float32],
    block: Block,
    panels: int,
    strips: int,
    result: NDArray[np.uint16],
    peak: NDArray[np.float32],
) -> None:
    """Round ``[strips, panels, ROWS, COLUMNS]`` accumulators to FP16 patterns of the result."""
    patterns = np.empty(COLUMNS, np.uint16)
    for row in range(block.last_token - block.first_token):
        for strip in range(strips):
            at = ((strip * panels + row // ROWS) * ROWS + row % ROWS) * COLUMNS
            for column in range(0, COLUMNS, LANES):
                store_fp16(accumulators, at + column, patterns, column, peak)
            output = block.first_output + strip * COLUMNS
            for column in range(min(COLUMNS, block.last_output - output)):
                result[block.first_token + row, output + column] = patterns[column]
