"""A tiling as the strips that its loaders fetch and the steps that the array takes."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from .dram import Request, Tensor
from .problem import Problem
from .tiling import Tiling, resident_channels


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
    takes_resident: bool
    """It needs the next strip of the resident operand."""
    takes_stream: bool
    """It needs the next strip of the stream."""
    frees_resident: int
    """Strips of the resident operand that are used up when it ends."""
    frees_stream: bool
    block: Block | None
    """Outputs that it finishes; None in the middle of a reduction."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The order of work for one tiling of one GeMM."""

    problem: Problem
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
        """Strips of the resident operand, or chunks where nothing is resident, that are on chip at once."""
        tiles = self._resident_tiles()
        return 2 if not tiles else self.tiling.copies * len(tiles[0])

    @property
    def stream_places(self) -> int:
        """Strips of the stream that are on chip at once."""
        return 2

    def resident_requests(self) -> Iterator[Request]:
        """The strips of the resident operand, in the order in which they are fetched."""
        if self.tiling.resident == "nothing":
            for tokens, _, groups in self._chunks():
                yield self._chunk("activations", tokens, groups)
            return
        for tile in self._resident_tiles():
            for strip in tile:
                yield self._strip(self.resident_tensor, strip)

    def stream_requests(self) -> Iterator[Request]:
        """The strips of the stream, in the order in which they are fetched."""
        if self.tiling.resident == "nothing":
            for _, channels, groups in self._chunks():
                yield self._chunk("weights", channels, groups)
            return
        strips = [self._strip(self.stream_tensor, strip) for strip in self._stream_strips()]
        for _ in self._resident_tiles():
            yield from strips

    def result_requests(self, block: Block) -> Iterator[Request]:
        """The pieces of DRAM that the results of a block fill.

        DRAM holds activations by strips of tokens, as the next GeMM reads them, and in a strip by groups of channels.
        """
        problem, rows = self.problem, self.problem.architecture.array.rows
        first, stop = self._completed(block.channels)
        before = problem.stored_result_bits(first)
        bits = problem.stored_result_bits(stop) - before
        if bits == 0:
            return
        if bits == problem.result_bits:
            yield Request("results", block.tokens.start * bits, block.tokens.length * bits)
            return
        for strip in block.tokens.split(rows):
            yield Request("results", strip.start * problem.result_bits + strip.length * before, strip.length * bits)

    def steps(self) -> Iterator[Step]:
        """What the array does, in order."""
        idle = self.problem.tile_cycles - self.problem.reduction_cycles
        for step in self._chunk_steps() if self.tiling.resident == "nothing" else self._resident_steps():
            first_tile = step.block is not None and idle > 0
            yield step._replace(cycles=step.cycles - idle) if first_tile else step
            if first_tile:
                idle = 0  # later tiles wait for the outputs of the one before

    @property
    def _tokens_stay(self) -> bool:
        return self.tiling.resident == "activations"

    def _resident_tiles(self) -> list[list[Span]]:
        """Strips of each resident tile; none where nothing is resident."""
        array = self.problem.architecture.array
        if self.tiling.resident == "nothing":
            return []
        if self._tokens_stay:
            tiles, strip = Span(0, self.problem.tokens).split(self.tiling.tokens), array.rows
        else:
            tiles, strip = Span(0, self.problem.out_channels).split(self.tiling.channels), array.columns
        return [tile.split(strip) for tile in tiles]

    def _stream_strips(self) -> list[Span]:
        array = self.problem.architecture.array
        if not self._tokens_stay:
            return Span(0, self.problem.tokens).split(array.rows)
        room = resident_channels(self.problem) // 2 // array.columns * array.columns
        width = min(room, self.problem.architecture.group_size)
        return Span(0, self.problem.out_channels).split(max(array.columns, width))

    def _resident_steps(self) -> Iterator[Step]:
        """Every strip of the stream against the resident tile, whose own strips arrive during the first pass."""
        stream = self._stream_strips()
        for tile in self._resident_tiles():
            whole = Span(tile[0].start, tile[-1].stop)
            last_part, last_strip = len(tile) - 1, len(stream) - 1
            for j, part in enumerate(tile):
                freed = len(tile) if last_strip == 0 and j == last_part else 0
                yield self._step(part, stream[0], True, j == 0, freed, j == last_part)
            for i, strip in enumerate(stream[1:], 1):
                yield self._step(whole, strip, False, True, len(tile) if i == last_strip else 0, True)

    def _step(
        self, resident: Span, stream: Span, takes_resident: bool, takes_stream: bool, freed: int, frees_stream: bool
    ) -> Step:
        problem, array = self.problem, self.problem.architecture.array
        tokens, channels = (resident, stream) if self._tokens_stay else (stream, resident)
        tiles = -(-tokens.length // array.rows) * -(-channels.length // array.columns)
        block = Block(tokens, channels)
        return Step(tiles * problem.tile_cycles, takes_resident, takes_stream, freed, frees_stream, block)

    def _completed(self, channels: Span) -> tuple[int, int]:
        """First and last result channels that a range of channels completes: whole groups if they are compressed."""
        if self.problem.result_mantissa_bits is None:
            return channels
        group = self.problem.architecture.group_size
        whole = channels.stop == self.problem.out_channels
        return channels.start // group * group, channels.stop if whole else channels.stop // group * group

    def _chunk_steps(self) -> Iterator[Step]:
        problem = self.problem
        for tokens, channels, groups in self._chunks():
            cycles, block = problem.dense_cycles(groups.stop) - problem.dense_cycles(groups.start), None
            if groups.stop == problem.groups:
                cycles += problem.tile_cycles - problem.dense_cycles(problem.groups)
                block = Block(tokens, channels)
            yield Step(cycles, True, True, 1, True, block)

    def _chunks(self) -> Iterator[tuple[Span, Span, Span]]:
        """Tokens, output channels and groups of the reduction of each fetch where nothing is resident."""
        problem, array = self.problem, self.problem.architecture.array
        reduction = Span(0, problem.groups).share(self._chunk_groups())
        channels = Span(0, problem.out_channels).split(array.columns)
        for token_strip in Span(0, problem.tokens).split(array.rows):
            for channel_strip in channels:
                for groups in reduction:
                    yield token_strip, channel_strip, groups

    def _chunk_groups(self) -> int:
        """Groups of a chunk, as many as both buffers hold twice."""
        problem, architecture = self.problem, self.problem.architecture
        group, array = architecture.group_size, architecture.array
        tokens, channels = min(array.rows, problem.tokens), min(array.columns, problem.out_channels)
        weights = architecture.weight_buffer.capacity_bytes * 8
        return min(
            problem.groups,
            architecture.resident_tokens(group, problem.mantissa_bits) // (2 * tokens),
            weights // (2 * channels * architecture.weights.channel_bits(group)),
        )

    def _strip(self, tensor: Tensor, strip: Span) -> Request:
        bits = self.problem.token_bits if tensor == "activations" else self.problem.channel_bits
        return Request(tensor, strip.start * bits, strip.length * bits)

    def _chunk(self, tensor: Tensor, strip: Span, groups: Span) -> Request:
        """The part of a strip that falls to some groups of the reduction; the parts add up."""
        whole, count = self._strip(tensor, strip), self.problem.groups
        start, stop = whole.bits * groups.start // count, whole.bits * groups.stop // count
        return Request(tensor, whole.offset_bits + start, stop - start)
