"""Strips of the operands: the pieces of tokens, output channels and groups that a mapping loads and multiplies."""

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import NamedTuple

from ..mapping.gemm_mapping import GemmMapping
from ..mapping.mapped_gemm import MappedGemm
from ..memory.dram import Tensor

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
    """Strips of the resident operand and of the stream for one mapping of one GeMM.

    A strip of the tile that stays has as many tokens as the array has rows, or as many output channels as it has columns; one
    of the stream is a tile. They depend on shapes, mapping and array alone, not on mantissa lengths.
    """

    mapped: MappedGemm
    mapping: GemmMapping

    @property
    def tokens_stay(self) -> bool:
        """True if activations are resident."""
        return self.mapping.stays == "activations"

    @property
    def resident_tensor(self) -> Tensor:
        """The operand that stays on chip; activations if neither does."""
        return "weights" if self.mapping.stays == "weights" else "activations"

    @property
    def stream_tensor(self) -> Tensor:
        """The operand that streams past the resident one."""
        return "activations" if self.mapping.stays == "weights" else "weights"

    @cached_property
    def in_place(self) -> bool:
        """True if a resident tile is one strip, replaced in place, part by part."""
        return self.mapping.in_place(self.mapped)

    @cached_property
    def replaced(self) -> bool:
        """True if a resident tile is replaced strip by strip, as the array uses it for the last time."""
        return self.mapping.replaced(self.mapped)

    @cached_property
    def resident_tiles(self) -> list[list[Span]]:
        """Strips of each resident tile; empty if both operands come in parts."""
        array_tile = self.mapped.tile
        if self.mapping.in_parts:
            return []
        if self.tokens_stay:
            tiles, strip = Span(0, self.mapped.tokens).split(self.mapping.tokens), array_tile.tokens
        else:
            tiles, strip = Span(0, self.mapped.out_channels).split(self.mapping.out_channels), array_tile.channels
        return [tile.split(strip) for tile in tiles]

    @cached_property
    def stream_strips(self) -> list[Span]:
        """Strips of the stream in one pass over a resident tile."""
        if not self.tokens_stay:
            return Span(0, self.mapped.tokens).split(self.mapping.tokens)
        return Span(0, self.mapped.out_channels).split(self.mapping.out_channels)

    @cached_property
    def parts(self) -> list[Span]:
        """Groups of the reduction in each part, for strips and tiles that are loaded in parts."""
        whole = Span(0, self.mapped.groups)
        if self.mapping.in_parts:
            return whole.split(-(-self.mapping.in_channels // self.mapped.architecture.group_size))
        return whole.share(-(-self.mapped.groups // PARTS))

    def part_number(self, groups: Span) -> int:
        """Index of a part of the reduction."""
        return self._part_numbers[groups]

    @cached_property
    def _part_numbers(self) -> dict[Span, int]:
        return {groups: index for index, groups in enumerate(self.parts)}
