"""Mappings that save partial sums to the buffer: all sizes that can be best, as arrays.

With the same number of passes and parts a smaller tile costs the same and takes less room. So the sizes worth a look are the
smallest ones for each number of passes and parts, and along the last axis the largest that then fits; each with single and double
buffers.
"""

from collections.abc import Iterator
from dataclasses import fields, replace
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from .gemm_mapping import GemmMapping
from .legality import capacities, part_bits, shortage
from .mapped_gemm import SUM_BITS, MappedGemm


class _Room(NamedTuple):
    """Rooms of the buffers in bits, and what parts of the reduction take of them; axes: copies, output channels, parts."""

    planes: int
    exponents: int
    weights: int
    token_planes: Any
    token_exponents: Any
    channel: Any
    """Bits of all copies of one token or one output channel of a part."""


def part_sizes(mapped: MappedGemm) -> Any:
    """Input channels of a part of the reduction that are worth a look: the fewest for each number of parts above one."""
    groups = fewest(mapped.groups)
    return (groups * mapped.architecture.group_size)[groups < mapped.groups]


def tile_widths(mapped: MappedGemm) -> Any:
    """Output channels of a tile of outputs that are worth a look: the fewest for each number of tiles."""
    return np.minimum(fewest(mapped.column_tiles) * mapped.tile.channels, mapped.out_channels)


def buffered_space(mapped: MappedGemm) -> Iterator[GemmMapping]:
    """The mappings that can be best: for each family a mapping with an array for each of its sizes and copies."""
    parts = part_sizes(mapped)
    activation_copies, weight_copies = (np.array(each)[:, None, None] for each in ([1, 1, 2, 2], [1, 2, 1, 2]))
    planes, exponents, channel = part_bits(mapped, parts)
    room = _Room(
        *capacities(mapped), activation_copies * planes, activation_copies * exponents, weight_copies * channel
    )
    for stays, sizes in (("sums", _sums), ("activations", _activations), ("weights", _weights)):
        tokens, channels = sizes(mapped, room)
        every = np.broadcast_arrays(tokens, parts, channels, activation_copies, weight_copies)
        legal = (every[0] > 0) & (every[2] > 0)
        if legal.any():
            yield GemmMapping(stays, *(each[legal] for each in every), "buffer")  # pyright: ignore


def one_of(space: GemmMapping, index: int) -> GemmMapping:
    """One mapping of those that a mapping with arrays stands for."""
    values = {field.name: getattr(space, field.name) for field in fields(space)}
    return replace(space, **{name: int(each[index]) for name, each in values.items() if isinstance(each, np.ndarray)})


def widened(mapped: MappedGemm, mapping: GemmMapping) -> GemmMapping:
    """A mapping with streamed weights a group of output channels at a time, if it fits."""
    group = mapped.architecture.group_size
    wide = replace(mapping, out_channels=min(max(mapping.out_channels, group), mapped.out_channels))
    return wide if mapping.stays == "activations" and shortage(mapped, wide) is None else mapping


@cache
def fewest(count: int) -> Any:
    """Smallest sizes of a part for each number of parts into which `count` can be divided, in order."""
    return np.unique(-(-count // np.arange(1, count + 1)))


def whole_tiles(size: Any, strip: int, length: int) -> Any:
    """The largest size in whole strips, or all of the axis; 0 if not even a strip fits."""
    return np.where(size >= length, length, size // strip * strip)


def even_tiles(size: Any, strip: int, length: int) -> Any:
    """The smallest size with as many tiles along an axis."""
    strips, tiles = -(-length // strip), -(-length // np.maximum(size, 1))
    return np.where(size > 0, np.minimum(-(-strips // tiles) * strip, length), 0)


def _sums(mapped: MappedGemm, room: _Room) -> tuple[Any, Any]:
    """Outputs stay: for each width of their tile and each part, the most tokens."""
    channels = tile_widths(mapped)[:, None]
    return _most_tokens(mapped, room, channels, channels), channels


def _activations(mapped: MappedGemm, room: _Room) -> tuple[Any, Any]:
    """A part of the activations stays, and sums of all output channels: for each part, the most tokens."""
    channels = min(mapped.tile.channels, mapped.out_channels)
    return _most_tokens(mapped, room, channels, mapped.out_channels), channels


def _most_tokens(mapped: MappedGemm, room: _Room, channels: Any, sums: Any) -> Any:
    """The most tokens of a tile, evened out, where each has sums of so many output channels; 0 if nothing fits."""
    tokens = np.minimum(
        room.planes // (room.token_planes + SUM_BITS * sums), room.exponents // np.maximum(room.token_exponents, 1)
    )
    rows = mapped.tile.tokens
    tokens = whole_tiles(np.where(channels * room.channel <= room.weights, tokens, 0), rows, mapped.tokens)
    return even_tiles(tokens, rows, mapped.tokens)


def _weights(mapped: MappedGemm, room: _Room) -> tuple[Any, Any]:
    """A part of the weights stays, and sums of all tokens: for each part, the most output channels."""
    tile = mapped.tile
    tokens = min(tile.tokens, mapped.tokens)
    sums = np.maximum(room.planes - tokens * room.token_planes, 0) // (SUM_BITS * mapped.tokens)
    channels = np.where(
        tokens * room.token_exponents <= room.exponents, np.minimum(sums, room.weights // room.channel), 0
    )
    channels = whole_tiles(channels, tile.channels, mapped.out_channels)
    return tokens, even_tiles(channels, tile.channels, mapped.out_channels)
