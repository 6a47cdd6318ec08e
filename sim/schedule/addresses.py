"""Addresses of strips and results in DRAM.

A place in memory depends on shapes, mapping and array alone: every strip has room enough for the longest mantissas, so that
mantissa lengths change how many bits move, never where they begin.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from ...formats.numeric.alignment import MAX_MANTISSA_BITS
from ..mapping.mapped_gemm import MappedGemm
from ..memory.dram import PAGE_BITS, Request, Tensor
from .steps import OutputBlock
from .strips import Span, Strips


@dataclass(frozen=True)
class Addresses:
    """Requests for the operands and the results of one mapping of one GeMM."""

    strips: Strips

    @property
    def mapped(self) -> MappedGemm:
        """The GeMM on its architecture."""
        return self.strips.mapped

    def strip(self, tensor: Tensor, strip: Span, in_parts: bool) -> list[Request]:
        """Requests for a strip, one for each part or one for all."""
        parts = self.strips.parts if in_parts else [Span(0, self.mapped.groups)]
        return [self.part(tensor, strip, groups) for groups in parts]

    def part(self, tensor: Tensor, strip: Span, groups: Span) -> Request:
        """Request for some groups of a strip; the bits of all parts add up to those of the strip."""
        bits, room, size = self._stored(tensor)
        whole, count, parts = strip.length * bits, self.mapped.groups, len(self.strips.parts)
        start, stop = whole * groups.start // count, whole * groups.stop // count
        number = strip.start // size * parts + self._number(groups)
        place = number * _pages(-(-size * room * -(-count // parts) // count))
        return Request(tensor, strip.start * bits + start, stop - start, place)

    def _number(self, groups: Span) -> int:
        whole = groups.length == self.mapped.groups
        return 0 if whole else self.strips.part_number(groups)

    def results(self, block: OutputBlock) -> Iterator[Request]:
        """Requests that store the results of a block.

        DRAM holds activations by strips of tokens, as the next GeMM reads them, and within a strip by groups of channels.
        """
        mapped, rows = self.mapped, self.mapped.architecture.array.rows
        pitch = _pages(self._result_room * -(-mapped.out_channels // mapped.result_group))
        for strip in block.tokens.split(rows):
            first, offset = strip.start // rows * pitch, strip.start * mapped.result_bits
            for place, before, bits in self._result_parts(block.channels):
                yield Request("results", offset + strip.length * before, strip.length * bits, first + place)

    def _result_parts(self, channels: Span) -> list[tuple[int, int, int]]:
        """Groups of one token's results that a range of channels completes: place in a strip, bits before it, and bits.

        Compressed results are complete in whole groups.
        """
        if channels in self._known_parts:
            return self._known_parts[channels]
        mapped, (start, stop) = self.mapped, channels
        group, room = mapped.result_group, self._result_room
        if mapped.result_mantissa_bits is not None:
            start = start // group * group
            stop = stop if stop == mapped.out_channels else stop // group * group
        before, parts = mapped.stored_result_bits(start), list[tuple[int, int, int]]()
        while start < stop:
            end = min(start // group * group + group, stop)
            after = mapped.stored_result_bits(end)
            parts.append((start // group * room + start % group * (room // group), before, after - before))
            start, before = end, after
        return self._known_parts.setdefault(channels, parts)

    @cached_property
    def _known_parts(self) -> dict[Span, list[tuple[int, int, int]]]:
        return {}

    @cached_property
    def _result_room(self) -> int:
        """Bits of memory for one group of a strip's results, a power of two: enough for the longest mantissas."""
        mapped = self.mapped
        bits = mapped.architecture.array.rows * max(
            self._longest_bits(mapped.result_group), mapped.results.token_bits(mapped.result_group)
        )
        return 1 << (bits - 1).bit_length()

    def _stored(self, tensor: Tensor) -> tuple[int, int, int]:
        """Bits of a token's activations or a channel's weights, the same at the longest mantissas, and strip length."""
        mapped, mapping, array = self.mapped, self.strips.mapping, self.mapped.tile
        tile, strip = (
            (mapping.tokens, array.tokens) if tensor == "activations" else (mapping.out_channels, array.channels)
        )
        size = strip if tensor == self.strips.resident_tensor and not mapping.in_parts else tile
        if tensor == "activations":
            return mapped.token_bits, self._longest_bits(mapped.in_channels), size
        return mapped.channel_bits, mapped.channel_bits, size

    def _longest_bits(self, channels: int) -> int:
        """Bits of a token's activations in `channels` channels at the longest mantissas, masks included."""
        machine = self.mapped.architecture
        masks = -(-channels // machine.group_size) * MAX_MANTISSA_BITS
        return machine.token_bits(channels, machine.longest) + masks


def _pages(bits: int) -> int:
    """Bits of the whole pages that hold `bits`."""
    return -(-bits // PAGE_BITS) * PAGE_BITS
