"""A tiling as the strips that its loaders fetch and the steps that the array takes."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Literal, NamedTuple

from ...formats.numeric.alignment import MAX_MANTISSA_BITS
from ..memory.dram import PAGE_BITS, Request, Tensor
from .mapped_gemm import MappedGemm
from .tiling import Tiling, resident_channels

PARTS = 8
"""Parts of a strip, at most, where the array begins before all of it is there, or it is replaced before all is used up."""

RESULT_PLACES = 8
"""Blocks whose results are under way: one in the collector, one in the compressor, the others on their way to DRAM."""

BLOCKS_AHEAD = 3
"""Blocks that the array is ahead of one whose results have their turn at the memory."""

DmaChannel = Literal["resident", "stream", "results"]
"""A DMA channel: of the operand that stays, of the one that passes, and of the results."""


Load = list[Request]
"""Requests that fill one place of a buffer; the array can begin with the first of them."""

Turn = tuple[int, int, int, DmaChannel]
"""The step before which a channel has the memory, whether it stores, and the step that needs it or makes it."""


class Span(NamedTuple):
    """A range of tokens or output channels."""

    start: int
    stop: int

    @property
    def length(self) -> int:
        """Tokens or channels in it."""
        return self.stop - self.start

    def split(self, size: int) -> "list[Span]":
        """Pieces of at most `size`, in order."""
        return [Span(start, min(start + size, self.stop)) for start in range(self.start, self.stop, size)]

    def share(self, size: int) -> "list[Span]":
        """As few pieces of at most `size` as possible, all about equal, so that loads and work take turns evenly."""
        count = -(-self.length // size)
        ends = [self.start + self.length * index // count for index in range(count + 1)]
        return [Span(start, stop) for start, stop in pairwise(ends)]


class Block(NamedTuple):
    """Outputs that one step finishes."""

    tokens: Span
    channels: Span


class Step(NamedTuple):
    """Work of the array between two waits."""

    cycles: int
    spacing: int
    """Cycles at least from the end of the block before to the end of this one, if it finishes one."""
    takes_resident: bool
    """It needs the next request of the resident operand."""
    takes_stream: bool
    """It needs the next request of the stream."""
    frees_resident: int
    """Loads of the resident operand that are used up when it ends."""
    frees_stream: bool
    block: Block | None
    """Outputs that it finishes; None in the middle of a reduction."""


@dataclass(frozen=True)
class Plan:
    """The order of work for one tiling of one GeMM.

    It depends on shapes, tiling and array alone: mantissa lengths and bandwidths change how long a part takes and how
    many bits it moves, never what comes after what, nor where in memory it begins. So shorter mantissas and faster
    memories can make no part later (`turns`).
    """

    mapped: MappedGemm
    tiling: Tiling

    @property
    def resident_tensor(self) -> Tensor:
        """The operand that stays; activations where neither does."""
        return "weights" if self.tiling.resident == "weights" else "activations"

    @property
    def stream_tensor(self) -> Tensor:
        """The operand that passes."""
        return "activations" if self.tiling.resident == "weights" else "weights"

    @property
    def resident_places(self) -> int:
        """Loads of the resident operand that are on chip at once."""
        return 2 if self.tiling.resident == "nothing" else self.tiling.copies * self._tile_loads

    @property
    def stream_places(self) -> int:
        """Strips of the stream that are on chip at once."""
        return 2

    @cached_property
    def _tile_loads(self) -> int:
        """Loads of a resident tile: its strips, or the parts of a strip that is replaced in place."""
        tiles = self._resident_tiles()
        return len(tiles[0]) * (len(self._parts) if self._in_place else 1) if tiles else 1

    def resident_loads(self) -> Iterator[Load]:
        """What of the resident operand is fetched, in order."""
        if self.tiling.resident == "nothing":
            for tokens, _, groups in self._chunks():
                yield [self._part("activations", tokens, groups)]
            return
        tensor, first = self.resident_tensor, True
        for tile in self._resident_tiles():
            for strip in tile:
                if self._in_place:
                    yield from ([part] for part in self._strip(tensor, strip, True))
                else:
                    yield self._strip(tensor, strip, first)
                first = False

    def stream_loads(self) -> Iterator[Load]:
        """What of the stream is fetched, in order."""
        if self.tiling.resident == "nothing":
            for _, channels, groups in self._chunks():
                yield [self._part("weights", channels, groups)]
            return
        first = True
        for _ in self._resident_tiles():
            for strip in self._stream_strips():
                yield self._strip(self.stream_tensor, strip, first)
                first = False

    def result_requests(self, block: Block) -> Iterator[Request]:
        """The pieces of DRAM that the results of a block fill.

        DRAM holds activations by strips of tokens, as the next GeMM reads them, and in a strip by groups of channels,
        each in the same room whatever its mantissa length.
        """
        mapped, rows = self.mapped, self.mapped.architecture.array.rows
        pitch = _pages(self._result_room * -(-mapped.out_channels // mapped.architecture.group_size))
        for strip in block.tokens.split(rows):
            first, offset = strip.start // rows * pitch, strip.start * mapped.result_bits
            for place, before, bits in self._result_parts(block.channels):
                yield Request("results", offset + strip.length * before, strip.length * bits, first + place)

    def turns(self) -> list[DmaChannel]:
        """The order in which the DMA channels get the memory: fixed beforehand, as that of a program.

        What is needed first comes first; the strips of the next resident tile are spread evenly over the work on the
        present one; a store comes when the array is three blocks ahead. Were it first come, first served, a load that
        comes earlier could overtake another that is more urgent.

        Nobody waits for what comes later: each turn lies between the step that makes room, and the first that needs it.
        """
        steps = list(self.steps())
        turns = [
            *self._load_turns("resident", [s.takes_resident for s in steps], [s.frees_resident for s in steps]),
            *self._load_turns("stream", [s.takes_stream for s in steps], [int(s.frees_stream) for s in steps]),
        ]
        blocks = [index for index, step in enumerate(steps) if step.block is not None]
        for number, index in enumerate(blocks):
            turn = blocks[number + BLOCKS_AHEAD] if number + BLOCKS_AHEAD < len(blocks) else len(steps)
            turns.append((turn + 1, 1, index, "results"))
        return [channel for *_, channel in sorted(turns)]

    def _load_turns(self, channel: DmaChannel, takes: list[bool], frees: list[int]) -> Iterator[Turn]:
        """The turns of the requests of an operand, of which each step takes one or none, and frees some loads."""
        stream = channel == "stream"
        places, size = (self.stream_places, 1) if stream else (self.resident_places, self._tile_loads)
        needed = [index for index, one in enumerate(takes) if one]
        room = [0] * places + [index + 1 for index, count in enumerate(frees) for _ in range(count)]
        extra = len(needed) + places - len(room)  # the first load may be of several requests
        for number, need in enumerate(needed):
            if number < size + extra:
                yield need, 0, need, channel
                continue
            free, part = room[number - extra], (number - extra) % size
            begin, first = max(free, needed[number - 1]) if stream else free, needed[number - part]
            yield begin + part * (first - begin) // size, 0, need, channel

    def steps(self) -> Iterator[Step]:
        """What the array does, in order."""
        return self._chunk_steps() if self.tiling.resident == "nothing" else self._resident_steps()

    @property
    def _tokens_stay(self) -> bool:
        return self.tiling.resident == "activations"

    def _resident_tiles(self) -> list[list[Span]]:
        """Strips of each resident tile; none where nothing is resident."""
        array = self.mapped.architecture.array
        if self.tiling.resident == "nothing":
            return []
        if self._tokens_stay:
            tiles, strip = Span(0, self.mapped.tokens).split(self.tiling.tokens), array.rows
        else:
            tiles, strip = Span(0, self.mapped.out_channels).split(self.tiling.channels), array.columns
        return [tile.split(strip) for tile in tiles]

    def _stream_strips(self) -> list[Span]:
        if not self._tokens_stay:
            return Span(0, self.mapped.tokens).split(self.mapped.architecture.array.rows)
        return Span(0, self.mapped.out_channels).split(self._stream_width)

    @cached_property
    def _stream_width(self) -> int:
        """Output channels of a strip of weights that passes: a group, if it fits twice."""
        columns = self.mapped.architecture.array.columns
        room = resident_channels(self.mapped) // 2 // columns * columns
        return max(columns, min(room, self.mapped.architecture.group_size))

    def _resident_steps(self) -> Iterator[Step]:
        """Every strip of the stream against the resident tile, whose own strips arrive during the first pass."""
        for number, tile in enumerate(self._resident_tiles()):
            steps = list(self._tile_steps(tile))
            for index, step in enumerate(steps):
                first = number == index == 0
                takes_parts = first or (self._in_place and index == 0)
                frees_parts = self._in_place and index == len(steps) - 1
                if takes_parts or frees_parts:
                    yield from self._step_in_parts(step, takes_parts, frees_parts, first)
                else:
                    yield step

    def _tile_steps(self, tile: list[Span]) -> Iterator[Step]:
        """One resident tile: strip by strip with the first of the stream, as its strips arrive; and as the last results
        leave, with the last of all.
        """
        stream, whole = self._stream_strips(), Span(tile[0].start, tile[-1].stop)
        length = self.mapped.tokens if self._tokens_stay else self.mapped.out_channels
        for i, strip in enumerate(stream):
            last = i == len(stream) - 1
            for part in tile if i == 0 or (last and whole.stop == length) else [whole]:
                final = part.stop == whole.stop
                freed = len(tile) if final and last else 0
                yield self._step(part, strip, i == 0, part.start == whole.start, freed, final)

    def _step(
        self, resident: Span, stream: Span, takes_resident: bool, takes_stream: bool, freed: int, frees_stream: bool
    ) -> Step:
        mapped = self.mapped
        block = Block(*((resident, stream) if self._tokens_stay else (stream, resident)))
        later = (self._array_tiles(block) - 1) * mapped.tile_cycles
        spacing = later + mapped.tile_cycles
        return Step(mapped.reduction_cycles + later, spacing, takes_resident, takes_stream, freed, frees_stream, block)

    def _array_tiles(self, block: Block) -> int:
        array = self.mapped.architecture.array
        return -(-block.tokens.length // array.rows) * -(-block.channels.length // array.columns)

    def _step_in_parts(self, step: Step, takes_parts: bool, frees_parts: bool, first: bool) -> Iterator[Step]:
        """A step whose first tile of the array takes parts of strips, or whose last one frees them.

        Args:
            step: on the first strip of all, or on one that is replaced in place.
            takes_parts: of the resident strip.
            frees_parts: of the resident strip.
            first: whether the strip of the stream comes in parts, too.
        """
        assert step.block is not None
        mapped, tiles = self.mapped, self._array_tiles(step.block)
        empty = Step(0, step.spacing, False, False, 0, False, None)
        parts = [empty._replace(cycles=self._dense_cycles(groups)) for groups in self._parts]
        alone = takes_parts and frees_parts and tiles == 1
        whole = tiles - takes_parts - frees_parts + alone
        pieces: list[Step] = []
        if takes_parts:
            pieces += [part._replace(takes_resident=True, takes_stream=first, frees_resident=alone) for part in parts]
        if whole:
            pieces.append(empty._replace(cycles=mapped.reduction_cycles + (whole - 1) * mapped.tile_cycles))
        if frees_parts and not alone:
            pieces += [part._replace(frees_resident=1) for part in parts]
        pieces[0] = pieces[0]._replace(takes_stream=True)
        freed = 1 if frees_parts else step.frees_resident
        pieces[-1] = pieces[-1]._replace(frees_resident=freed, frees_stream=step.frees_stream, block=step.block)
        yield from pieces

    def _result_parts(self, channels: Span) -> list[tuple[int, int, int]]:
        """What a range of channels completes of one token's results, by groups: place in a strip, bits before it, and bits.

        Compressed results are complete in whole groups.
        """
        if channels in self._known_parts:
            return self._known_parts[channels]
        mapped, (start, stop) = self.mapped, channels
        group, room = mapped.architecture.group_size, self._result_room
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
        machine = self.mapped.architecture
        bits = machine.array.rows * self._longest_bits(machine.group_size)
        return 1 << (bits - 1).bit_length()

    def _chunk_steps(self) -> Iterator[Step]:
        for tokens, channels, groups in self._chunks():
            last = groups.stop == self.mapped.groups
            block = Block(tokens, channels) if last else None
            yield Step(self._dense_cycles(groups), self.mapped.tile_cycles, True, True, 1, True, block)

    def _dense_cycles(self, groups: Span) -> int:
        return self.mapped.dense_cycles(groups.stop) - self.mapped.dense_cycles(groups.start)

    def _chunks(self) -> Iterator[tuple[Span, Span, Span]]:
        """Tokens, output channels and groups of the reduction of each fetch where nothing is resident."""
        array = self.mapped.architecture.array
        channels = Span(0, self.mapped.out_channels).split(array.columns)
        for token_strip in Span(0, self.mapped.tokens).split(array.rows):
            for channel_strip in channels:
                for groups in self._parts:
                    yield token_strip, channel_strip, groups

    @cached_property
    def _parts(self) -> list[Span]:
        """Groups of the reduction that are loaded at once, where a strip is not loaded whole."""
        limit = self._chunk_groups if self.tiling.resident == "nothing" else -(-self.mapped.groups // PARTS)
        return Span(0, self.mapped.groups).share(limit)

    @cached_property
    def _in_place(self) -> bool:
        return self.tiling.in_place(self.mapped)

    @cached_property
    def _chunk_groups(self) -> int:
        """Groups of a chunk, as many as both buffers hold twice at the longest mantissas; one at least."""
        mapped, architecture = self.mapped, self.mapped.architecture
        group, array = architecture.group_size, architecture.array
        tokens, channels = min(array.rows, mapped.tokens), min(array.columns, mapped.out_channels)
        weights = architecture.weight_buffer.capacity_bytes * 8
        room = min(
            architecture.resident_tokens(group, MAX_MANTISSA_BITS) // (2 * tokens),
            weights // (2 * channels * architecture.weights.channel_bits(group)),
        )
        return min(mapped.groups, max(room, 1))

    def _strip(self, tensor: Tensor, strip: Span, in_parts: bool) -> Load:
        parts = self._parts if in_parts else [Span(0, self.mapped.groups)]
        return [self._part(tensor, strip, groups) for groups in parts]

    def _part(self, tensor: Tensor, strip: Span, groups: Span) -> Request:
        """What of a strip falls to some groups of the reduction; the parts add up."""
        bits, room, size = self._stored(tensor)
        whole, count, parts = strip.length * bits, self.mapped.groups, len(self._parts)
        start, stop = whole * groups.start // count, whole * groups.stop // count
        number = strip.start // size * parts + -(-groups.start * parts // count)
        place = number * _pages(-(-size * room * -(-count // parts) // count))
        return Request(tensor, strip.start * bits + start, stop - start, place)

    def _stored(self, tensor: Tensor) -> tuple[int, int, int]:
        """Bits of a token's activations or a channel's weights, at most of any mantissa length, and how many a strip has."""
        mapped, array = self.mapped, self.mapped.architecture.array
        if tensor == "activations":
            return mapped.token_bits, self._longest_bits(mapped.in_channels), array.rows
        return mapped.channel_bits, mapped.channel_bits, self._stream_width if self._tokens_stay else array.columns

    def _longest_bits(self, channels: int) -> int:
        """Room for so many channels of a token's activations, of any mantissa length, with masks."""
        machine = self.mapped.architecture
        masks = -(-channels // machine.group_size) * MAX_MANTISSA_BITS
        return machine.token_bits(channels, MAX_MANTISSA_BITS) + masks


def _pages(bits: int) -> int:
    """Bits of the whole pages that hold so many."""
    return -(-bits // PAGE_BITS) * PAGE_BITS
