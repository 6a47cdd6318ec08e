"""Bit-plane words: bit i of a word belongs to element i of a group.

A group of up to 64 elements is one uint64 word; the bits past the group are zero. A group of 128 is two words on a
trailing axis: elements 0..63, then 64..127. (Anda, arXiv 2411.15982, section III-C.)
"""

import numpy as np
from numpy.typing import NDArray

WORD_BITS = 64


def word_axis(group_size: int) -> tuple[int, ...]:
    """Trailing axis of word arrays: none for groups of up to 64 elements, ``(2,)`` for 128."""
    return () if group_size <= WORD_BITS else (group_size // WORD_BITS,)


def pack_bits(bits: NDArray[np.bool_] | NDArray[np.uint8]) -> NDArray[np.uint64]:
    """Pack booleans, or bytes that count as one unless zero, ``[..., group_size]`` into words ``[..., *word_axis]``."""
    *leading, group_size = bits.shape
    octets = np.packbits(bits.reshape(-1), bitorder="little")
    return octets.view(_word_type(group_size)).astype(np.uint64).reshape(*leading, *word_axis(group_size))


def unpack_bits(words: NDArray[np.uint64], group_size: int) -> NDArray[np.uint8]:
    """Unpack words into zeros and ones, uint8 ``[..., group_size]``: the inverse of `pack_bits`."""
    leading = words.shape[: words.ndim - len(word_axis(group_size))]
    octets = words.astype(_word_type(group_size)).reshape(-1).view(np.uint8)
    return np.unpackbits(octets, bitorder="little").reshape(*leading, group_size)


def pack_planes(mantissas: NDArray[np.uint16], mantissa_bits: int) -> NDArray[np.uint64]:
    """Bit-planes of mantissas ``[..., group_size]``, most significant first: uint64 ``[..., M, *word_axis]``."""
    *leading, group_size = mantissas.shape
    planes = np.empty((*leading, mantissa_bits, *word_axis(group_size)), np.uint64)
    by_plane = np.moveaxis(planes, len(leading), 0)
    octets = [mantissas.astype(np.uint8), (mantissas >> np.uint16(8)).astype(np.uint8)]
    for plane in range(mantissa_bits):
        octet, bit = divmod(mantissa_bits - 1 - plane, 8)
        by_plane[plane] = pack_bits(octets[octet] & np.uint8(1 << bit))
    return planes


def unpack_planes(planes: NDArray[np.uint64], group_size: int) -> NDArray[np.uint16]:
    """Mantissas of bit-planes, uint16 ``[..., group_size]``: the inverse of `pack_planes`."""
    by_plane = np.moveaxis(planes, planes.ndim - 1 - len(word_axis(group_size)), 0)
    high, low = (_unpack_octet(half, group_size) for half in (by_plane[:-8], by_plane[-8:]))
    mantissas = low.astype(np.uint16)
    if len(by_plane) > 8:
        mantissas |= high.astype(np.uint16) << np.uint16(8)
    return mantissas


def sent_planes(planes: NDArray[np.uint64], group_size: int, rows: int) -> NDArray[np.bool_]:
    """Mask of the planes that zero-plane skipping sends, bool ``[blocks, groups, M]``.

    It sends the first plane, and every plane in which one of the ``rows`` tokens of a block has a one. Planes are
    ``[tokens, groups, M, *word_axis]``; the last block may have fewer tokens.
    """
    if word_axis(group_size):
        planes = np.bitwise_or.reduce(planes, axis=-1)
    sent = np.bitwise_or.reduceat(planes, np.arange(0, len(planes), rows), axis=0) != 0
    sent[..., 0] = True
    return sent


def _unpack_octet(planes: NDArray[np.uint64], group_size: int) -> NDArray[np.uint8]:
    """Values of up to 8 planes ``[planes, ..., *word_axis]``, most significant first: uint8 ``[..., group_size]``."""
    leading = planes.shape[1 : planes.ndim - len(word_axis(group_size))]
    values = np.zeros((*leading, group_size), np.uint8)
    for plane in planes:
        values <<= np.uint8(1)
        values |= unpack_bits(plane, group_size)
    return values


def _word_type(group_size: int) -> np.dtype[np.unsignedinteger]:
    """Little-endian unsigned integer that holds a group, or one word of a larger group."""
    return np.dtype(f"<u{min(group_size, WORD_BITS) // 8}")
