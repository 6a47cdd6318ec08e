"""Compiled encoder and decoder between FP16 patterns and bit-plane words, 64 channels at a time.

A chunk of 64 channels is one vector: a group of 64, half a group of 128, or several smaller groups. The words of
smaller groups are cut out of the words of the chunk.
"""

from typing import Any

import numpy as np
from numba import njit, types
from numba.core import cgutils
from numpy.typing import NDArray

from ..kernels.jit import array_data, intrinsic, kernel
from ..kernels.lanes import F32, I8, I16, I32, I64, Lanes

CHUNK = 64


@intrinsic
def _largest_exponent(_context: Any, source: Any, at: Any) -> Any:
    """Largest exponent field of the 64 FP16 patterns from ``source[at]``; 31 if one is not finite."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        bits = Lanes.load(builder, array_data(context, builder, signature, arguments, 0), arguments[1], CHUNK)
        fields = _block_maximum((bits & 0x7FFF) >> 10, I64(CHUNK))
        return builder.extract_element(fields.value, I32(0))

    return types.uint16(source, types.intp), codegen


@intrinsic
def _encode_chunk(
    _context: Any,
    source: Any,
    at: Any,
    group_size: Any,
    least: Any,
    bits: Any,
    nearest: Any,
    signs: Any,
    sign_at: Any,
    planes: Any,
    plane_at: Any,
    stride: Any,
    exponents: Any,
) -> Any:
    """Encode the 64 FP16 patterns from ``source[at]``; return True if one is not finite.

    The sign word goes to ``signs[sign_at]``, the planes to ``planes[plane_at::stride]``, and the shared exponent of
    every channel to ``exponents``: the largest exponent of its group, at least ``least``.
    """

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        source, signs, planes, exponents = (
            array_data(context, builder, signature, arguments, i) for i in (0, 6, 8, 11)
        )
        _, at, group_size, least, mantissa_bits, nearest, _, sign_at, _, plane_at, stride, _ = arguments
        patterns = Lanes.load(builder, source, at, CHUNK)
        unlimited = patterns & 0x7FFF
        magnitudes = unlimited.minimum(0x7BFF)
        own = (magnitudes >> 10).maximum(1)
        shared = _block_maximum(own, group_size).maximum(Lanes.splat(builder, builder.trunc(least, I16), CHUNK))
        shared.narrowed(I8).store(exponents, I64(0))
        mantissas = _align(magnitudes, shared - own, mantissa_bits, nearest)
        builder.store((patterns > 0x7FFF).word(), builder.gep(signs, [sign_at]))
        with cgutils.for_range(builder, mantissa_bits) as loop:
            place = builder.sub(builder.sub(mantissa_bits, I64(1)), loop.index)
            bit = Lanes.splat(builder, builder.shl(I16(1), builder.trunc(place, I16)), CHUNK)
            target = builder.gep(planes, [builder.add(plane_at, builder.mul(loop.index, stride))])
            builder.store(((mantissas & bit) > 0).word(), target)
        return builder.icmp_unsigned("!=", (unlimited > 0x7BFF).word(), I64(0))

    integer = types.intp
    numbers = (integer, integer, integer, integer, types.boolean)
    return types.boolean(source, *numbers, signs, integer, planes, integer, integer, exponents), codegen


def _block_maximum(lanes: Lanes, block: Any) -> Lanes:
    """Set every lane to the maximum of its block of ``block`` lanes, a power of two."""
    builder = lanes.builder
    for distance in (1, 2, 4, 8, 16, 32):
        larger = lanes.maximum(lanes.permuted([lane ^ distance for lane in range(CHUNK)]))
        inside = builder.icmp_unsigned(">", block, I64(distance))
        lanes = Lanes(builder, builder.select(inside, larger.value, lanes.value))
    return lanes


def _align(magnitudes: Lanes, differences: Lanes, mantissa_bits: Any, nearest: Any) -> Lanes:
    """Mantissas of FP16 magnitudes; equal to `anda_codesign.formats.numeric.alignment.align`."""
    builder = magnitudes.builder
    normal = (magnitudes >> 10).minimum(1)
    significands = (((magnitudes & 0x3FF) << 5) | (normal << 15)).widened(I32)
    cut = Lanes.splat(builder, builder.trunc(builder.sub(I64(16), mantissa_bits), I32), CHUNK)
    shifts = (differences.widened(I32) + cut).minimum(17)
    mantissas = cgutils.alloca_once_value(builder, (significands >> shifts).value)
    with builder.if_then(nearest, likely=False):
        half = (shifts.like(1) << shifts) >> 1
        ties_to_even = (half - half.minimum(1)) + ((significands >> shifts) & half.minimum(1))
        largest = builder.sub(builder.shl(I32(1), builder.trunc(mantissa_bits, I32)), I32(1))
        rounded = (significands + ties_to_even) >> shifts
        builder.store(rounded.minimum(Lanes.splat(builder, largest, CHUNK)).value, mantissas)
    return Lanes(builder, builder.load(mantissas)).narrowed(I16)


@kernel
def encode(
    patterns: NDArray[np.uint16],
    group_size: int,
    mantissa_bits: int,
    nearest: bool,
    signs: NDArray[np.uint64],
    planes: NDArray[np.uint64],
    exponents: NDArray[np.uint8],
) -> bool:
    """Encode whole chunks of FP16 patterns into flat arrays; return True if one is not finite."""
    words_per_group, groups_per_chunk = max(group_size // CHUNK, 1), max(CHUNK // group_size, 1)
    mask = np.uint64(0xFFFFFFFFFFFFFFFF) >> np.uint64(CHUNK - min(group_size, CHUNK))
    words = np.empty(1 + mantissa_bits, np.uint64)
    shared = np.empty(CHUNK, np.uint8)
    nonfinite = False
    for chunk in range(len(patterns) // CHUNK):
        at, word = chunk * CHUNK, chunk % words_per_group
        if group_size < CHUNK:
            nonfinite |= _encode_chunk(
                patterns, at, group_size, 1, mantissa_bits, nearest, words, 0, words, 1, 1, shared
            )  # fmt: skip
            first = chunk * groups_per_chunk
            for i in range(min(groups_per_chunk, len(exponents) - first)):
                shift = np.uint64(i * group_size)
                exponents[first + i] = shared[i * group_size]
                signs[first + i] = (words[0] >> shift) & mask
                for plane in range(mantissa_bits):
                    planes[(first + i) * mantissa_bits + plane] = (words[1 + plane] >> shift) & mask
        else:
            group = chunk // words_per_group
            least = 1
            for other in range(words_per_group):
                if other != word:
                    least = max(least, min(_largest_exponent(patterns, (group * words_per_group + other) * CHUNK), 30))
            nonfinite |= _encode_chunk(
                patterns, at, CHUNK, least, mantissa_bits, nearest,
                signs, chunk, planes, group * mantissa_bits * words_per_group + word, words_per_group, shared,
            )  # fmt: skip
            exponents[group] = shared[0]
    return nonfinite


@intrinsic
def _decode_chunk(
    _context: Any,
    signs: Any,
    sign_at: Any,
    planes: Any,
    plane_at: Any,
    stride: Any,
    exponents: Any,
    mantissa_bits: Any,
    midpoint: Any,
    target: Any,
    at: Any,
) -> Any:
    """Decode 64 channels from words laid out as in `_encode_chunk` to ``target[at:]``.

    The target holds FP16 patterns, without the bits that FP16 cannot hold, or exact float32 values.
    """

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        signs, planes, exponents, target = (array_data(context, builder, signature, arguments, i) for i in (0, 2, 5, 8))
        _, sign_at, _, plane_at, stride, _, mantissa_bits, midpoint, _, at = arguments
        mantissas = _gather_planes(builder, planes, plane_at, stride, mantissa_bits).widened(I32)
        half = builder.zext(midpoint, I32)
        doubled = (mantissas << 1) + mantissas.minimum(1)
        integers = Lanes(builder, builder.select(midpoint, doubled.value, mantissas.value))
        # Exponent field of 2^(shared exponent - 14 - M), the value of one unit.
        offset = builder.sub(I32(127 - 14), builder.add(builder.trunc(mantissa_bits, I32), half))
        fields = Lanes.load(builder, exponents, I64(0), CHUNK).widened(I32) + Lanes.splat(builder, offset, CHUNK)
        magnitudes = integers.to_float() * (fields << 23).bits_as(F32)
        negative = Lanes.of_word(builder, builder.load(builder.gep(signs, [sign_at])))
        if target.type.pointee == F32:
            patterns = magnitudes.bits_as(I32)
            (patterns | negative.select(patterns.like(1 << 31), 0)).bits_as(F32).store(target, at)
        else:
            patterns = fp16_patterns(magnitudes)
            (patterns | negative.select(patterns.like(1 << 15), 0)).store(target, at)
        return context.get_dummy_value()

    integer = types.intp
    places = (signs, integer, planes, integer, integer, exponents)
    return types.void(*places, integer, types.boolean, target, integer), codegen


def _gather_planes(builder: Any, planes: Any, plane_at: Any, stride: Any, mantissa_bits: Any) -> Lanes:
    """Mantissas of 64 channels as lanes of 16 bits."""
    zero = Lanes.splat(builder, I16(0), CHUNK)
    mantissas = cgutils.alloca_once_value(builder, zero.value)
    with cgutils.for_range(builder, mantissa_bits) as loop:
        source = builder.gep(planes, [builder.add(plane_at, builder.mul(loop.index, stride))])
        bit = Lanes.of_word(builder, builder.load(source)).select(zero.like(1), 0)
        shifted = Lanes(builder, builder.load(mantissas)) << 1
        builder.store((shifted | bit).value, mantissas)
    return Lanes(builder, builder.load(mantissas))


def fp16_patterns(magnitudes: Lanes) -> Lanes:
    """FP16 patterns of float32 magnitudes up to 65504; bits that FP16 cannot hold are cut off."""
    patterns = magnitudes.bits_as(I32)
    normal = (patterns >> 13) - ((127 - 15) << 10)
    subnormal = (magnitudes * 2.0**24).to_integer()
    return (magnitudes < 2.0**-14).select(subnormal, normal).narrowed(I16)


@njit(inline="always")
def decode_chunk(
    signs: NDArray[np.uint64],
    planes: NDArray[np.uint64],
    exponents: NDArray[np.uint8],
    group_size: int,
    group: int,
    count: int,
    word: int,
    mantissa_bits: int,
    midpoint: bool,
    target: NDArray[Any],
    at: int,
    words: NDArray[np.uint64],
    shared: NDArray[np.uint8],
) -> None:
    """Decode ``count`` groups of less than 64 channels from ``group`` on, or one word of a larger group.

    Values go to ``target[at:]``. ``words`` ``[1 + M]`` and ``shared`` ``[64]`` are scratch memory.
    """
    if group_size < CHUNK:
        words[:] = 0
        for i in range(count):
            shift = np.uint64(i * group_size)
            words[0] |= signs[group + i] << shift
            for plane in range(mantissa_bits):
                words[1 + plane] |= planes[(group + i) * mantissa_bits + plane] << shift
            for channel in range(i * group_size, (i + 1) * group_size):
                shared[channel] = exponents[group + i]
        _decode_chunk(words, 0, words, 1, 1, shared, mantissa_bits, midpoint, target, at)
    else:
        words_per_group = group_size // CHUNK
        for channel in range(CHUNK):
            shared[channel] = exponents[group]
        _decode_chunk(
            signs, group * words_per_group + word, planes, group * mantissa_bits * words_per_group + word,
            words_per_group, shared, mantissa_bits, midpoint, target, at,
        )  # fmt: skip


@kernel
def decode(
    signs: NDArray[np.uint64],
    planes: NDArray[np.uint64],
    exponents: NDArray[np.uint8],
    group_size: int,
    mantissa_bits: int,
    midpoint: bool,
    patterns: NDArray[np.uint16],
) -> None:
    """Decode words to FP16 patterns; the arrays are those of `encode`."""
    words_per_group, groups_per_chunk = max(group_size // CHUNK, 1), max(CHUNK // group_size, 1)
    words = np.empty(1 + mantissa_bits, np.uint64)
    shared = np.ones(CHUNK, np.uint8)
    for chunk in range(len(patterns) // CHUNK):
        first = chunk // words_per_group * groups_per_chunk
        count = min(groups_per_chunk, len(exponents) - first)
        decode_chunk(
            signs, planes, exponents, group_size, first, count, chunk % words_per_group, mantissa_bits, midpoint,
            patterns, chunk * CHUNK, words, shared,
        )  # fmt: skip
