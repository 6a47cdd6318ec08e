"""Packs the operands of a GeMM into the payloads that the circuits take."""

import numpy as np
from numpy.typing import NDArray

from ..formats import AndaTensor, Int4Weights
from ..formats.accelerator.layout import segment_exponents, segment_planes, token_blocks
from .interfaces import EXPONENT_BITS
from .packing import pack


def plane_stream(tensor: AndaTensor, lanes: int) -> list[int]:
    """Packed payloads of `interfaces.plane_layout(lanes)`: every segment of `tensor`, plane by plane."""
    return _plane_words(segment_planes(tensor, lanes)[..., None, :], segment_exponents(tensor, lanes)[..., None])


def plane_rows_stream(tensor: AndaTensor, rows: int, lanes: int) -> list[int]:
    """Packed payloads of `interfaces.plane_rows_layout(rows, lanes)` of a tensor ``[tokens, channels]``.

    Blocks of `rows` tokens, the last one padded with zeros; of each block the segments; of each segment its planes.
    """
    blocks = token_blocks(segment_planes(tensor, lanes), segment_exponents(tensor, lanes), rows)
    return _plane_words(*blocks)


def _plane_words(bits: NDArray[np.uint8], exponents: NDArray[np.uint8]) -> list[int]:
    """Payloads of bits ``[..., M + 1, rows, lanes]`` and exponents ``[..., rows]``."""
    *leading, planes, rows, lanes = bits.shape
    fields = rows * EXPONENT_BITS
    words = np.zeros((*leading, planes, rows * lanes + fields + 1), np.uint8)
    words[..., : rows * lanes] = bits.reshape(*leading, planes, -1)
    words[..., rows * lanes : -1] = (exponents[..., None] >> np.arange(EXPONENT_BITS) & 1).reshape(*leading, 1, fields)
    words[..., -1, -1] = 1
    return pack(words.reshape(-1, words.shape[-1]), 1)


def weight_stream(weights: Int4Weights, columns: int, lanes: int, bits: int) -> list[int]:
    """Packed weights of `MatrixUnit`: blocks of `columns` outputs, of each the segments of `lanes` channels."""
    channels, outputs = weights.codes.shape
    codes = np.pad(weights.codes, ((0, -channels % lanes), (0, -outputs % columns)))
    codes = codes.reshape(-1, lanes, codes.shape[1] // columns, columns).transpose(2, 0, 3, 1)
    return pack(codes.reshape(-1, columns * lanes), bits)


def factor_stream(weights: Int4Weights, columns: int, lanes: int) -> list[int]:
    """Packed payloads of `factors_layout(columns)`, in the order of `weight_stream`."""
    channels, outputs = weights.codes.shape
    groups = np.arange(-(-channels // lanes)) * lanes // weights.group_size
    offsets = np.zeros_like(weights.scales) if weights.offsets is None else weights.offsets
    padding = ((0, 0), (0, -outputs % columns))
    both = np.stack([np.pad(half.view(np.uint16)[groups], padding) for half in (weights.scales, offsets)])
    both = both.reshape(2, len(groups), -1, columns).transpose(2, 1, 0, 3)  # [tiles, segments, 2, columns]
    words = pack(both.reshape(-1, 2 * columns).astype(np.int64), 16)
    return [word | (index % len(groups) == len(groups) - 1) << 32 * columns for index, word in enumerate(words)]
