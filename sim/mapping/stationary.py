"""Mappings of an array whose elements hold weights or activations: all sizes that can be best, as arrays.

What a mapping costs follows from the number of tiles along each axis, and from whether a tile that stays is a single fold. So for each
number of tiles of output channels and of parts of the reduction, only the smallest are looked at, with the most tokens that then fit;
and tiles of as many tokens as the elements hold.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from .buffered import even_tiles, fewest, tile_widths, whole_tiles
from .gemm_mapping import GemmMapping, Stays
from .legality import capacities, fold_sums, part_bits
from .mapped_gemm import SUM_BITS, MappedGemm


def stationary_space(mapped: MappedGemm, most_copies: int = 4) -> Iterator[GemmMapping]:
    """The mappings that can be best: for each operand that stays, a mapping with an array for each of its sizes and copies.

    `most_copies` is the number of choices of copies to look at, double buffers of both operands first.
    """
    copies = np.array([[2, 2], [1, 2], [2, 1], [1, 1]])[:most_copies, None, None, :]
    channels = tile_widths(mapped)[:, None]
    parts = np.minimum(
        fewest(mapped.group_tiles) * mapped.tile.groups * mapped.architecture.group_size, mapped.in_channels
    )
    for stays in ("sums", "activations", "weights"):
        most = _most_tokens(mapped, stays, channels, parts, copies)
        held = np.where(most > mapped.tile.tokens, mapped.tile.tokens, 0)
        for tokens in (most, held):
            every = np.broadcast_arrays(tokens, parts, channels, copies[..., 0], copies[..., 1])
            legal = every[0] > 0
            if legal.any():
                yield GemmMapping(stays, *(each[legal] for each in every), "buffer")  # pyright: ignore


def _most_tokens(mapped: MappedGemm, stays: Stays, channels: Any, parts: Any, copies: Any) -> Any:
    """The most tokens of a tile that fit, evened out; 0 if no tile of the array does.

    Parameters
    ----------
    mapped
        The GeMM on its architecture.
    stays
        What stays on chip.
    channels, parts
        Output channels of a tile, and input channels.
    copies
        Copies of both tiles along the last axis.
    """
    planes, exponents, channel = part_bits(mapped, parts)
    plane_room, exponent_room, weight_room = capacities(mapped)
    activation_copies, weight_copies = copies[..., 0], copies[..., 1]
    whole = parts >= mapped.in_channels
    fixed, each = _sums(mapped, stays, channels, whole)
    weights = np.where(whole, np.minimum(weight_copies * channels, mapped.out_channels), weight_copies * channels)
    room = plane_room - fixed * SUM_BITS
    tokens = np.minimum(
        room // (activation_copies * planes + each * SUM_BITS),
        exponent_room // np.maximum(activation_copies * exponents, 1),
    )
    all_there = (mapped.tokens * (planes + each * SUM_BITS) <= room) & (mapped.tokens * exponents <= exponent_room)
    tokens = np.where(whole & all_there, mapped.tokens, tokens)
    tokens = np.where(weights * channel <= weight_room, np.maximum(tokens, 0), 0)
    if stays == "sums":
        tokens = np.where(whole, 0, tokens)
    strip, length = mapped.tile.tokens, mapped.tokens
    return even_tiles(whole_tiles(tokens, strip, length), strip, length)


def _sums(mapped: MappedGemm, stays: Stays, channels: Any, whole: Any) -> tuple[Any, Any]:
    """Sums in the buffer whatever the tokens of a tile, and for each of its tokens."""
    weights = mapped.dataflow.held == "weights"
    one = fold_sums(mapped, 1 if weights else mapped.tile.tokens, channels)  # of one part, or of one tile of the array
    part_fixed = mapped.tokens * channels if stays == "weights" else 0
    part_each = {"sums": channels, "activations": mapped.out_channels, "weights": 0}[stays]
    fixed, each = (0, one) if weights else (one, 0)
    return np.where(whole, fixed, part_fixed), np.where(whole, each, part_each)
