"""Encoder and decoder between FP16 patterns and Anda words: compiled for large arrays, NumPy for small ones.

Both give equal bits. Arrays are lists of groups: patterns are uint16 ``[groups, group_size]``; signs, planes and
exponents are those of `anda_codesign.formats.anda.format.AndaTensor` with one leading axis.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..kernels.dispatch import use_compiled
from ..numeric.alignment import EXPONENT_OFFSET, align
from ..numeric.fp16 import MAX_PATTERN, fp16_patterns, split_fp16
from ..options import Rounding
from .bitplanes import WORD_BITS, pack_bits, pack_planes, unpack_bits, unpack_planes, word_axis

CHUNK_VALUES = 1 << 15
"""Values that the NumPy code processes at a time; its temporary arrays then stay in the second-level cache."""

ROW_VALUES = 1 << 20
"""Values of rows that are padded at a time."""


class Words(NamedTuple):
    """Groups in the Anda format: signs, planes and exponents."""

    signs: NDArray[np.uint64]
    planes: NDArray[np.uint64]
    exponents: NDArray[np.uint8]

    def flat(self) -> "Words":
        """The same words as contiguous one-dimensional arrays, without a copy where they are contiguous already."""
        return Words(
            np.ascontiguousarray(self.signs).reshape(-1),
            np.ascontiguousarray(self.planes).reshape(-1),
            np.ascontiguousarray(self.exponents).reshape(-1),
        )


def encode_groups(patterns: NDArray[np.uint16], mantissa_bits: int, rounding: Rounding) -> tuple[Words, bool]:
    """Encode groups; returns the words, and True if infinities or NaN were saturated."""
    if use_compiled(patterns.size, "encode"):
        return _encode_compiled(patterns, mantissa_bits, rounding)
    return encode_numpy(patterns, mantissa_bits, rounding)


def decode_groups(words: Words, group_size: int, midpoint: bool) -> NDArray[np.uint16]:
    """Decode words to FP16 patterns; bits that FP16 cannot hold are cut off."""
    if use_compiled(words.exponents.size * group_size, "decode"):
        return _decode_compiled(words, group_size, midpoint)
    return decode_numpy(words, group_size, midpoint)


def encode_rows(
    rows: NDArray[np.uint16], group_size: int, mantissa_bits: int, rounding: Rounding
) -> tuple[Words, bool]:
    """`encode_groups` of rows ``[tokens, channels]``, whose short last groups are padded with zeros.

    Rows that need padding are encoded `ROW_VALUES` at a time: memory holds no padded copy of them all.
    """
    count, channels = rows.shape
    groups, padding = -(-channels // group_size), -channels % group_size
    if not padding and count * groups % max(WORD_BITS // group_size, 1) == 0:
        return encode_groups(rows.reshape(-1, group_size), mantissa_bits, rounding)
    words, nonfinite = _empty_words(count * groups, group_size, mantissa_bits), False
    for part in _row_chunks(count, groups * group_size):
        padded = np.pad(rows[part], [(0, 0), (0, padding)]).reshape(-1, group_size)
        encoded, found = encode_groups(padded, mantissa_bits, rounding)
        for memory, values in zip(words, encoded, strict=True):
            memory[part.start * groups : part.stop * groups] = values
        nonfinite |= found
    return words, nonfinite


def decode_rows(words: Words, group_size: int, channels: int, midpoint: bool) -> NDArray[np.uint16]:
    """`decode_groups` to rows ``[tokens, channels]`` without padding, `ROW_VALUES` at a time where there is some."""
    groups = -(-channels // group_size)
    count = len(words.exponents) // groups
    if groups * group_size == channels:
        return decode_groups(words, group_size, midpoint).reshape(count, channels)
    rows = np.empty((count, channels), np.uint16)
    for part in _row_chunks(count, groups * group_size):
        own = slice(part.start * groups, part.stop * groups)
        some = Words(words.signs[own], words.planes[own], words.exponents[own])
        rows[part] = decode_groups(some, group_size, midpoint).reshape(-1, groups * group_size)[:, :channels]
    return rows


def encode_numpy(patterns: NDArray[np.uint16], mantissa_bits: int, rounding: Rounding) -> tuple[Words, bool]:
    """`encode_groups` in plain NumPy."""
    groups, group_size = patterns.shape
    words = _empty_words(groups, group_size, mantissa_bits)
    nonfinite = False
    for chunk in _chunks(len(patterns), group_size):
        finite = np.minimum(patterns[chunk] & np.uint16(0x7FFF), MAX_PATTERN)
        nonfinite |= bool((patterns[chunk] & np.uint16(0x7FFF) > MAX_PATTERN).any())
        fields = split_fp16(finite)
        words.exponents[chunk] = fields.exponents.max(axis=-1)
        differences = words.exponents[chunk][:, None] - fields.exponents
        mantissas = align(fields.significands, differences, mantissa_bits, rounding)
        words.signs[chunk] = pack_bits(patterns[chunk] > np.uint16(0x7FFF))
        words.planes[chunk] = pack_planes(mantissas, mantissa_bits)
    return words, nonfinite


def decode_numpy(words: Words, group_size: int, midpoint: bool) -> NDArray[np.uint16]:
    """`decode_groups` in plain NumPy."""
    patterns = np.empty((len(words.exponents), group_size), np.uint16)
    mantissa_bits = words.planes.shape[1]
    for chunk in _chunks(len(patterns), group_size):
        integers = unpack_planes(words.planes[chunk], group_size).astype(np.uint32)
        if midpoint:
            integers = 2 * integers + (integers > 0)
        units = words.exponents[chunk].astype(np.int32) - (EXPONENT_OFFSET + mantissa_bits + midpoint)
        magnitudes = integers.astype(np.float32) * np.ldexp(np.float32(1), units)[:, None]
        signs = unpack_bits(words.signs[chunk], group_size).astype(np.uint16) << np.uint16(15)
        patterns[chunk] = fp16_patterns(magnitudes) | signs
    return patterns


def _encode_compiled(patterns: NDArray[np.uint16], mantissa_bits: int, rounding: Rounding) -> tuple[Words, bool]:
    from . import kernels as planes

    groups, group_size = patterns.shape
    words = _empty_words(groups, group_size, mantissa_bits)
    whole = _pad_to_chunks(patterns)
    flat, nearest = words.flat(), rounding == "nearest"
    nonfinite = planes.encode(
        whole.reshape(-1), group_size, mantissa_bits, nearest, flat.signs, flat.planes, flat.exponents
    )
    return words, nonfinite


def _decode_compiled(words: Words, group_size: int, midpoint: bool) -> NDArray[np.uint16]:
    from . import kernels as planes

    groups, mantissa_bits = words.planes.shape[:2]
    groups_per_chunk = max(WORD_BITS // group_size, 1)
    patterns = np.empty((-(-groups // groups_per_chunk) * groups_per_chunk, group_size), np.uint16)
    flat = words.flat()
    planes.decode(flat.signs, flat.planes, flat.exponents, group_size, mantissa_bits, midpoint, patterns.reshape(-1))
    return patterns[:groups]


def _pad_to_chunks(patterns: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """Append groups of zeros up to a whole number of 64 channels."""
    groups, group_size = patterns.shape
    missing = -groups % max(WORD_BITS // group_size, 1)
    return np.pad(patterns, [(0, missing), (0, 0)]) if missing else np.ascontiguousarray(patterns)


def _empty_words(groups: int, group_size: int, mantissa_bits: int) -> Words:
    axis = word_axis(group_size)
    return Words(
        np.empty((groups, *axis), np.uint64),
        np.empty((groups, mantissa_bits, *axis), np.uint64),
        np.empty(groups, np.uint8),
    )


def _row_chunks(count: int, row_values: int) -> list[slice]:
    """Slices of rows, a multiple of 8 rows each but the last: whole chunks of 64 channels for groups of any size."""
    step = max(ROW_VALUES // row_values // 8, 1) * 8
    return [slice(start, min(start + step, count)) for start in range(0, count, step)]


def _chunks(groups: int, group_size: int) -> list[slice]:
    step = CHUNK_VALUES // group_size
    return [slice(start, start + step) for start in range(0, groups, step)]
