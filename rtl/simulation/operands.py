"""Operands of a GeMM as stream payloads of the circuits."""

import numpy as np
from numpy.typing import NDArray

from ...formats import AndaTensor, InputError, Int4Weights
from ...formats.accelerator.layout import segment_exponents, segment_planes, sent_planes, token_blocks
from ..interfaces import EXPONENT_BITS, SKIPPED_BITS
from .packing import pack


def plane_stream(tensor: AndaTensor, lanes: int) -> list[int]:
    """Payloads of `interfaces.plane_layout(lanes, skipping)`: every segment of a tensor, plane by plane.

    Zero planes are skipped if the tensor's format has plane masks.

    Raises
    ------
    InputError
        A mask covers more than one token.
    """
    _check_mask(tensor, 1)
    bits, exponents = segment_planes(tensor, lanes)[..., None, :], segment_exponents(tensor, lanes)[..., None]
    return _plane_words(bits, exponents, tensor.format.mask_rows > 0)


def plane_rows_stream(tensor: AndaTensor, rows: int, lanes: int) -> list[int]:
    """Payloads of `interfaces.plane_rows_layout(rows, lanes, skipping)` for a tensor ``[tokens, channels]``.

    The order is: blocks of `rows` tokens (the last one padded with zeros), segments, planes. Zero planes are skipped if
    the tensor's format has plane masks.

    Raises
    ------
    InputError
        A mask covers another number of tokens than `rows`.
    """
    _check_mask(tensor, rows)
    blocks = token_blocks(segment_planes(tensor, lanes), segment_exponents(tensor, lanes), rows)
    return _plane_words(*blocks, tensor.format.mask_rows > 0)


def _check_mask(tensor: AndaTensor, rows: int) -> None:
    """Raise `InputError` if a plane mask of the tensor covers another number of tokens than `rows`."""
    if tensor.format.mask_rows not in (0, rows):
        raise InputError(
            f"mask_rows: is {tensor.format.mask_rows}; the circuit needs {rows}, the tokens that it takes at a time"
        )


def _plane_words(bits: NDArray[np.uint8], exponents: NDArray[np.uint8], skipping: bool) -> list[int]:
    """Payloads for bits ``[..., M + 1, rows, lanes]`` and exponents ``[..., rows]``."""
    *leading, planes, rows, lanes = bits.shape
    sent = sent_planes(bits) if skipping else np.ones((*leading, planes), np.bool_)
    last, exponents_start = rows * (lanes + EXPONENT_BITS), rows * lanes
    words = np.zeros((*leading, planes, last + 1 + SKIPPED_BITS * skipping), np.uint8)
    words[..., :exponents_start] = bits.reshape(*leading, planes, -1)
    fields = exponents[..., None] >> np.arange(EXPONENT_BITS) & 1
    words[..., exponents_start:last] = fields.reshape(*leading, 1, -1)
    following = np.full(leading, planes)  # next plane that is sent
    for plane in reversed(range(planes)):
        words[..., plane, last] = following == planes
        skipped = following - plane - 1
        words[..., plane, last + 1 :] = skipped[..., None] >> np.arange(words.shape[-1] - last - 1) & 1
        following = np.where(sent[..., plane], plane, following)
    return pack(words[sent], 1)


def weight_stream(weights: Int4Weights, columns: int, lanes: int, bits: int) -> list[int]:
    """Weight payloads of `MatrixUnit`: for each block of `columns` outputs, all segments of `lanes` channels."""
    channels, outputs = weights.codes.shape
    codes = np.pad(weights.codes, ((0, -channels % lanes), (0, -outputs % columns)))
    codes = codes.reshape(-1, lanes, codes.shape[1] // columns, columns).transpose(2, 0, 3, 1)
    return pack(codes.reshape(-1, columns * lanes), bits)


def factor_stream(weights: Int4Weights, columns: int, lanes: int) -> list[int]:
    """Scales and offsets as payloads of `factors_layout(columns)`, in the order of `weight_stream`."""
    channels, outputs = weights.codes.shape
    groups = np.arange(-(-channels // lanes)) * lanes // weights.group_size
    offsets = np.zeros_like(weights.scales) if weights.offsets is None else weights.offsets
    padding = ((0, 0), (0, -outputs % columns))
    both = np.stack([np.pad(half.view(np.uint16)[groups], padding) for half in (weights.scales, offsets)])
    both = both.reshape(2, len(groups), -1, columns).transpose(2, 1, 0, 3)  # [tiles, segments, 2, columns]
    words = pack(both.reshape(-1, 2 * columns).astype(np.int64), 16)
    return [word | (index % len(groups) == len(groups) - 1) << 32 * columns for index, word in enumerate(words)]
