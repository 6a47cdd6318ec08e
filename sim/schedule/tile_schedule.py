"""The schedule of one mapping of one GeMM: loads of both operands, steps of the array and stores of results."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from ..mapping.gemm_mapping import GemmMapping
from ..mapping.mapped_gemm import MappedGemm
from ..memory.dram import Request, Tensor
from .addresses import Addresses
from .arbitration import DmaChannel, memory_turns
from .fold_steps import fold_steps
from .nest import nest_steps
from .steps import OutputBlock, ScheduleStep, schedule_steps
from .strips import Strips

RESULT_PLACES = 8
"""Blocks of results under way at once: in the collector, in the compressor and on their way to DRAM."""

Load = list[Request]
"""Requests that fill one place of a buffer; the array can begin with the first of them."""


@dataclass(frozen=True)
class TileSchedule:
    """The order of work for one mapping of one GeMM.

    It depends on shapes, mapping and array alone. Mantissa lengths and bandwidths change how long a part takes and how many
    bits it moves, but neither the order nor the addresses. So shorter mantissas and faster memories make no part later.
    """

    mapped: MappedGemm
    mapping: GemmMapping

    @cached_property
    def _strips(self) -> Strips:
        return Strips(self.mapped, self.mapping)

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
        return self.mapping.resident_copies() * self._tile_loads

    @property
    def stream_places(self) -> int:
        """Strips of the stream that are on chip at once."""
        return self.mapping.activation_copies if self.stream_tensor == "activations" else self.mapping.weight_copies

    @cached_property
    def _tile_loads(self) -> int:
        """Loads of a resident tile: its strips, or the parts of a strip that is replaced in place."""
        strips = self._strips
        tiles = strips.resident_tiles
        return len(tiles[0]) * (len(strips.parts) if strips.in_place else 1) if tiles else 1

    def resident_loads(self) -> Iterator[Load]:
        """Loads of the resident operand, in order."""
        if self.mapping.in_parts:
            yield from self._part_loads(self.resident_tensor)
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
        if self.mapping.in_parts:
            yield from self._part_loads(self.stream_tensor)
            return
        first = True
        strips = self._strips.stream_strips
        for _ in self._strips.resident_tiles if len(strips) > 1 else (0,):
            for strip in strips:
                yield self._addresses.strip(self.stream_tensor, strip, first)
                first = False

    def _part_loads(self, tensor: Tensor) -> Iterator[Load]:
        """Loads of an operand that comes in parts of the reduction, in order."""
        for step in nest_steps(self._strips):
            if tensor in step.loads:
                yield [self._addresses.part(tensor, step.tile(tensor), step.groups)]

    def result_requests(self, block: OutputBlock) -> Iterator[Request]:
        """Requests that store the results of a block."""
        return self._addresses.results(block)

    def steps(self) -> Iterator[ScheduleStep]:
        """Steps of the array, in order."""
        return schedule_steps(self._strips) if self.mapped.holds_outputs else fold_steps(self._strips)

    def turns(self) -> list[DmaChannel]:
        """Order in which the DMA channels use the memory."""
        return memory_turns(list(self.steps()), self.resident_places, self.stream_places, self._tile_loads)
