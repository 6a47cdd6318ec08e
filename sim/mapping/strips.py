"""Strips of the operands: the pieces of tokens, output channels and groups that a tiling loads and multiplies."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import NamedTuple

from ...formats.numeric.alignment import MAX_MANTISSA_BITS
from ..memory.dram import Tensor
from .mapped_gemm import MappedGemm
from .tiling import Tiling, resident_channels

PARTS = 8
"""Most parts of a strip that the array starts on before the whole strip is loaded, or that is replaced in place."""


class Span(NamedTuple):
    """A range of tokens, output channels or groups."""

    start: int
    stop: int

    @property
    def length(self) -> int:
        """Number of tokens, channels or groups in the range."""
        return self.stop - self.start

    def split(self, size: int) -> "list[Span]":
        """Pieces of at most `size`, in order."""
        return [Span(start, min(start + size, self.stop)) for start in range(self.start, self.stop, size)]

    def share(self, size: int) -> "list[Span]":
        """The fewest pieces of at most `size`, of about equal length, so that loads and work alternate evenly."""
        count = -(-self.length // size)
        ends = [self.start + self.length * index // count for index in range(count + 1)]
        return [Span(start, stop) for start, stop in pairwise(ends)]


@dataclass(frozen=True)
class Strips:
    """Strips of the resident operand and of the stream for one tiling of one GeMM.

    A strip has as many tokens as the array has rows, or as many output channels as it has columns; weights that stream
    past resident activations come in wider strips. They depend on shapes, tiling and array alone, not on mantissa
    lengths.
    """

    mapped: MappedGemm
    tiling: Tiling

    @property
    def tokens_stay(self) -> bool:
        """True if activations are resident."""
        return self.tiling.resident == "activations"

    @property
    def resident_tensor(self) -> Tensor:
        """The operand that stays on chip; activations if neither does."""
        return "weights" if self.tiling.resident == "weights" else "activations"

    @property
    def stream_tensor(self) -> Tensor:
        """The operand that streams past the resident one."""
        return "activations" if self.tiling.resident == "weights" else "weights"

    @cached_property
    def in_place(self) -> bool:
        """True if a resident tile is replaced in place, part by part."""
        return self.tiling.in_place(self.mapped)

    @cached_property
    def resident_tiles(self) -> list[list[Span]]:
        """Strips of each resident tile; empty if nothing is resident."""
        array = self.mapped.architecture.array
        if self.tiling.resident == "nothing":
            return []
        if self.tokens_stay:
            tiles, strip = Span(0, self.mapped.tokens).split(self.tiling.tokens), array.rows
        else:
            tiles, strip = Span(0, self.mapped.out_channels).split(self.tiling.channels), array.columns
        return [tile.split(strip) for tile in tiles]

    @cached_property
    def stream_strips(self) -> list[Span]:
        """Strips of the stream in one pass over a resident tile."""
        if not self.tokens_stay:
            return Span(0, self.mapped.tokens).split(self.mapped.architecture.array.rows)
        return Span(0, self.mapped.out_channels).split(self.stream_width)

    @cached_property
    def stream_width(self) -> int:
        """Output channels of a strip of streamed weights: a group, if it fits the buffer twice."""
        columns = self.mapped.architecture.array.columns
        room = resident_channels(self.mapped) // 2 // columns * columns
        return max(columns, min(room, self.mapped.architecture.group_size))

    @cached_property
    def parts(self) -> list[Span]:
        """Groups of the reduction in each part, for strips that are loaded in parts."""
        limit = self._chunk_groups if self.tiling.resident == "nothing" else -(-self.mapped.groups // PARTS)
        return Span(0, self.mapped.groups).share(limit)

    def chunks(self) -> Iterator[tuple[Span, Span, Span]]:
        """Tokens, output channels and groups of each load if nothing is resident."""
        array = self.mapped.architecture.array
        channels = Span(0, self.mapped.out_channels).split(array.columns)
        for token_strip in Span(0, self.mapped.tokens).split(array.rows):
            for channel_strip in channels:
                for groups in self.parts:
                    yield token_strip, channel_strip, groups

    @cached_property
    def _chunk_groups(self) -> int:
        """Groups of a chunk: as many as both buffers hold twice at the longest mantissas, but at least one."""
        mapped, architecture = self.mapped, self.mapped.architecture
        group, array = architecture.group_size, architecture.array
        tokens, channels = min(array.rows, mapped.tokens), min(array.columns, mapped.out_channels)
        weights = architecture.weight_buffer.capacity_bytes * 8
        room = min(
            architecture.resident_tokens(group, MAX_MANTISSA_BITS) // (2 * tokens),
            weights // (2 * channels * architecture.weights.channel_bits(group)),
        )
        return min(mapped.groups, max(room, 1))
