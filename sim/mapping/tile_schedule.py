"""The schedule of one tiling of one GeMM: loads of both operands, steps of the array and stores of results."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from ..memory.dram import Request, Tensor
from .addresses import Addresses
from .arbitration import DmaChannel, memory_turns
from .mapped_gemm import MappedGemm
from .steps import OutputBlock, ScheduleStep, schedule_steps
from .strips import Strips
from .tiling import Tiling

STREAM_PLACES = 2
"""Strips of the stream that are on chip at once."""

RESULT_PLACES = 8
"""Blocks of results under way at once: in the collector, in the compressor and on their way to DRAM."""

Load = list[Request]
"""Requests that fill one place of a buffer; the array can begin with the first of them."""


@dataclass(frozen=True)
class TileSchedule:
    """The order of work for one tiling of one GeMM.

    It depends on shapes, tiling and array alone. Mantissa lengths and bandwidths change how long a part takes and how many
    bits it moves, but neither the order nor the addresses. So shorter mantissas and faster memories make no part later.
    """

    mapped: MappedGemm
    tiling: Tiling

    @cached_property
    def _strips(self) -> Strips:
        return Strips(self.mapped, self.tiling)

    @cached_property
    def _addresses(self) -> Addresses:
        return Addresses(self._strips)

    @property
    def resident_tensor(self) -> Tensor:
        """The operand that stays on chip; activations if neither does."""
        return self._strips.resident_tensor

    @property
    def stream_tensor(self) -> Tensor:
        """The operand that streams past the resident one."""
        return self._strips.stream_tensor

    @property
    def resident_places(self) -> int:
        """Loads of the resident operand that are on chip at once."""
        return 2 if self.tiling.resident == "nothing" else self.tiling.copies * self._tile_loads

    @cached_property
    def _tile_loads(self) -> int:
        """Loads of a resident tile: its strips, or the parts of a strip that is replaced in place."""
        strips = self._strips
        tiles = strips.resident_tiles
        return len(tiles[0]) * (len(strips.parts) if strips.in_place else 1) if tiles else 1

    def resident_loads(self) -> Iterator[Load]:
        """Loads of the resident operand, in order."""
        if self.tiling.resident == "nothing":
            for tokens, _, groups in self._strips.chunks():
                yield [self._addresses.part("activations", tokens, groups)]
            return
        first = True
        for tile in self._strips.resident_tiles:
            for strip in tile:
                if self._strips.in_place:
                    yield from ([part] for part in self._addresses.strip(self.resident_tensor, strip, True))
                else:
                    yield self._addresses.strip(self.resident_tensor, strip, first)
                first = False

    def stream_loads(self) -> Iterator[Load]:
        """Loads of the stream, in order."""
        if self.tiling.resident == "nothing":
            for _, channels, groups in self._strips.chunks():
                yield [self._addresses.part("weights", channels, groups)]
            return
        first = True
        for _ in self._strips.resident_tiles:
            for strip in self._strips.stream_strips:
                yield self._addresses.strip(self.stream_tensor, strip, first)
                first = False

    def result_requests(self, block: OutputBlock) -> Iterator[Request]:
        """Requests that store the results of a block."""
        return self._addresses.results(block)

    def steps(self) -> Iterator[ScheduleStep]:
        """Steps of the array, in order."""
        return schedule_steps(self._strips)

    def turns(self) -> list[DmaChannel]:
        """Order in which the DMA channels use the memory."""
        return memory_turns(list(self.steps()), self.resident_places, STREAM_PLACES, self._tile_loads)
