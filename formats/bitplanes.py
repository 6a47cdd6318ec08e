"""Bit-plane words: bit i of a word belongs to element i of a group.

A group of up to 64 elements is one uint64 word, whose bits past the group are zero. A group of 128 is two words on a
trailing axis: elements 0..63, then 64..127.
"""

import numpy as np
from numpy.typing import NDArray

WORD_BITS = 64


def word_axis(group_size: int) -> tuple[int, ...]:
    """The trailing axis that word arrays have for a group size: none up to 64, ``(2,)`` for 128."""
    return () if group_size <= WORD_BITS else (group_size // WORD_BITS,)


def pack_bits(bits: NDArray[np.bool_]) -> NDArray[np.uint64]:
    """Words of bits ``[..., group_size]``: uint64 ``[..., *word_axis]``."""
    *leading, group_size = bits.shape
    packed = np.packbits(bits, axis=-1, bitorder="little")
    if group_size < WORD_BITS:
        packed = np.concatenate([packed, np.zeros((*leading, (WORD_BITS - group_size) // 8), np.uint8)], axis=-1)
    words = np.ascontiguousarray(packed).view("<u8").astype(np.uint64, copy=False)
    return words.reshape(*leading, *word_axis(group_size))


def unpack_bits(words: NDArray[np.uint64], group_size: int) -> NDArray[np.uint8]:
    """Inverse of `pack_bits`: zeros and ones, uint8 ``[..., group_size]``."""
    leading = words.shape[: words.ndim - len(word_axis(group_size))]
    octets = np.ascontiguousarray(words, dtype="<u8").view(np.uint8)
    octets = octets.reshape(*leading, 8 * max(group_size // WORD_BITS, 1))
    return np.unpackbits(octets, axis=-1, count=group_size, bitorder="little")


def pack_planes(mantissas: NDArray[np.uint16], mantissa_bits: int) -> NDArray[np.uint64]:
    """Planes of mantissas ``[..., group_size]``, most significant first: uint64 ``[..., M, *word_axis]``."""
    weights = np.arange(mantissa_bits - 1, -1, -1, dtype=np.uint16)
    return pack_bits(((mantissas[..., None, :] >> weights[:, None]) & 1).astype(np.bool_))


def unpack_planes(planes: NDArray[np.uint64], group_size: int) -> NDArray[np.uint16]:
    """Inverse of `pack_planes`: uint16 ``[..., group_size]``."""
    axis = planes.ndim - len(word_axis(group_size)) - 1
    mantissa_bits = planes.shape[axis]
    bits = unpack_bits(planes, group_size)
    mantissas = np.zeros((*planes.shape[:axis], group_size), np.uint16)
    for plane in range(mantissa_bits):
        mantissas <<= np.uint16(1)
        mantissas |= bits[..., plane, :]
    return mantissas
