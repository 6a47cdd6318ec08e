"""Compiled FP-INT GeMM of a few tokens, as in decode: the codes are read once and expanded in registers.

The register tile of `anda_codesign.formats.gemm.tile` has more rows than there are tokens here, and reads expanded codes. The
arithmetic is the same, bit for bit, where float32 holds the sum of a segment without error.
"""

from typing import Any

import numpy as np
from numba import types
from numba.core import cgutils
from numpy.typing import NDArray

from ..anda.kernels import CHUNK
from ..kernels.jit import array_data, intrinsic, kernel
from ..kernels.lanes import I32, I64, Lanes
from ..numeric.fp16 import MAX_FP16
from .kernels import Activations, Block, Weights, decode_channels
from .tile import LANES, keep_peak, magnitude, round_to_fp16, saturate, store_fp16

MOST_TOKENS = 4
STRIP = 64 * LANES
"""Most outputs of a strip: its sums stay in the first-level cache, and the codes of a channel are read in long runs."""
UNROLLED = 4
"""Channels that one pass over the sums adds."""


def _dot_products(rows: int) -> Any:
    """Intrinsic that adds the dot products of some rows of activations and a segment's codes of a strip."""

    @intrinsic
    def add_dot_products(
        _context: Any,
        values: Any,
        at: Any,
        pitch: Any,
        codes: Any,
        codes_at: Any,
        stride: Any,
        channels: Any,
        vectors: Any,
        dots: Any,
    ) -> Any:
        """Add ``values[at:] @ codes[codes_at:]`` to ``dots``, ``[rows, STRIP]``; rows are `pitch` or `stride` apart."""

        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            own, integers, sums = (array_data(context, builder, signature, arguments, i) for i in (0, 3, 8))
            _, at, pitch, _, codes_at, stride, channels, vectors, _ = arguments
            whole = builder.mul(builder.udiv(channels, I64(UNROLLED)), I64(UNROLLED))

            def add(channel: Any, count: int) -> None:
                """Add the products of some channels, from one on."""
                each = [builder.add(channel, I64(u)) for u in range(count)]
                starts = [builder.add(codes_at, builder.mul(c, stride)) for c in each]
                firsts = [builder.add(at, builder.mul(pitch, I64(row))) for row in range(rows)]
                factors = [
                    [Lanes.splat(builder, builder.load(builder.gep(own, [builder.add(f, c)])), LANES) for c in each]
                    for f in firsts
                ]
                with cgutils.for_range(builder, vectors) as vector:
                    place = builder.mul(vector.index, I64(LANES))
                    expanded = [
                        Lanes.load(builder, integers, builder.add(start, place), LANES).sign_extended(I32).to_float()
                        for start in starts
                    ]
                    for row in range(rows):
                        target = builder.add(place, I64(row * STRIP))
                        total = Lanes.load(builder, sums, target, LANES)
                        for factor, codes_of_channel in zip(factors[row], expanded, strict=True):
                            total = total.add_product(factor, codes_of_channel)
                        total.store(sums, target)

            with cgutils.for_range(builder, builder.udiv(channels, I64(UNROLLED))) as step:
                add(builder.mul(step.index, I64(UNROLLED)), UNROLLED)
            with cgutils.for_range(builder, builder.sub(channels, whole)) as rest:
                add(builder.add(whole, rest.index), 1)
            return context.get_dummy_value()

        size = types.intp
        return types.void(values, size, size, codes, size, size, size, size, dots), codegen

    return add_dot_products


_one_row, _all_rows = _dot_products(1), _dot_products(MOST_TOKENS)


@intrinsic
def _accumulate(
    _context: Any, dots: Any, at: Any, factors: Any, factors_at: Any, totals: Any, peak: Any, vectors: Any, rounded: Any
) -> Any:
    """Add a strip of sums, ``dots[at:]``, times their factors to ``totals[at:]``; the sums rounded to FP16 if `rounded`."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        sums, scales, results, largest = (array_data(context, builder, signature, arguments, i) for i in (0, 2, 4, 5))
        _, at, _, factors_at, _, _, vectors, rounded = arguments
        with cgutils.for_range(builder, vectors) as vector:
            offset = builder.mul(vector.index, I64(LANES))
            place = builder.add(at, offset)
            dot, total = (Lanes.load(builder, pointer, place, LANES) for pointer in (sums, results))
            scale = Lanes.load(builder, scales, builder.add(factors_at, offset), LANES)
            with builder.if_else(rounded) as (then, otherwise):
                with then:
                    partial = round_to_fp16(dot)
                    keep_peak(magnitude(partial), largest)
                    total.add_product(saturate(partial), scale).store(results, place)  # exact, but for the sum
                with otherwise:
                    (total + dot * scale).store(results, place)
        return context.get_dummy_value()

    return types.void(dots, types.intp, factors, types.intp, totals, peak, types.intp, types.boolean), codegen


@kernel
def multiply_few_tokens(
    activations: Activations, weights: Weights, block: Block, round_partials: bool, result: NDArray[np.uint16]
) -> tuple[bool, bool]:
    """As `kernels.multiply_block`."""
    peak, result_peak = np.zeros(LANES, np.float32), np.zeros(LANES, np.float32)
    values = _values(activations, block, weights.codes.shape[0])
    last = block.first_output + (block.last_output - block.first_output) // LANES * LANES
    tokens = block.last_token - block.first_token
    for output in range(block.first_output, last, STRIP):
        strip = Block(block.first_token, block.last_token, output, min(output + STRIP, last))
        _multiply_strip(values, weights, activations.group_size, strip, round_partials, peak, result_peak, result)
    if last < block.last_output:
        rest = Weights(
            _padded(weights.codes, last, block.last_output),
            _padded(weights.scales, last, block.last_output),
            _padded(weights.offsets, last, block.last_output),
            weights.group_size,
        )
        patterns = np.empty((tokens, LANES), np.uint16)
        strip = Block(0, tokens, 0, LANES)
        _multiply_strip(values, rest, activations.group_size, strip, round_partials, peak, result_peak, patterns)
        width = block.last_output - last
        result[block.first_token : block.last_token, last : block.last_output] = patterns[:, :width]
    return bool(peak.max() > MAX_FP16), bool(result_peak.max() > MAX_FP16)


@kernel
def _padded(matrix: Any, first: int, last: int) -> Any:
    """Some columns of a matrix, and zeros up to a vector."""
    padded = np.zeros((matrix.shape[0], LANES), matrix.dtype)
    padded[:, : last - first] = matrix[:, first:last]
    return padded


@kernel
def _values(activations: Activations, block: Block, channels: int) -> NDArray[np.float32]:
    """Values of the activations, ``[tokens or MOST_TOKENS, channels]``; zeros past the operand."""
    words = np.empty(1 + activations.mantissa_bits, np.uint64)
    exponents = np.ones(CHUNK, np.uint8)
    chunk = np.empty(CHUNK, np.float32)
    tokens = block.last_token - block.first_token
    values = np.zeros((1 if tokens == 1 else MOST_TOKENS, channels), np.float32)
    for token in range(tokens):
        for start in range(0, channels, CHUNK):
            decode_channels(activations, block.first_token + token, start, chunk, words, exponents)
            count = min(CHUNK, channels - start)
            values[token, start : start + count] = chunk[:count]
    return values


@kernel
def _multiply_strip(
    values: NDArray[np.float32],
    weights: Weights,
    activation_group: int,
    block: Block,
    round_partials: bool,
    peak: NDArray[np.float32],
    result_peak: NDArray[np.float32],
    result: NDArray[np.uint16],
) -> None:
    """Fill at most `STRIP` outputs, whole vectors, of all tokens."""
    rows, channels = values.shape
    tokens, outputs, output = block.last_token - block.first_token, weights.codes.shape[1], block.first_output
    width = block.last_output - output
    vectors, length = width // LANES, min(activation_group, weights.group_size)
    flat, codes = values.reshape(-1), weights.codes.reshape(-1)
    scales, offsets = weights.scales.reshape(-1), weights.offsets.reshape(-1)
    dots, totals = np.empty(MOST_TOKENS * STRIP, np.float32), np.zeros(MOST_TOKENS * STRIP, np.float32)
    patterns = np.empty(LANES, np.uint16)
    for first in range(0, channels, length):
        count, at = min(length, channels - first), first * outputs + output
        dots[: rows * STRIP] = 0
        if rows == 1:
            _one_row(flat, first, channels, codes, at, outputs, count, vectors, dots)
        else:
            _all_rows(flat, first, channels, codes, at, outputs, count, vectors, dots)
        factors = first // weights.group_size * outputs + output
        for token in range(tokens):
            start = token * STRIP
            _accumulate(dots, start, scales, factors, totals, peak, vectors, round_partials)
            if len(offsets):
                dots[start : start + width] = values[token, first : first + count].sum()
                _accumulate(dots, start, offsets, factors, totals, peak, vectors, round_partials)
    for token in range(tokens):
        for at in range(0, width, LANES):
            store_fp16(totals, token * STRIP + at, patterns, 0, result_peak)
            result[block.first_token + token, output + at : output + at + LANES] = patterns
