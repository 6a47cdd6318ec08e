"""Sequencer, dispatchers, array and collector of the accelerator as SimPy processes.

They hand commands, rows, groups of weights and tiles to each other in the circuit's cycles, from `formats.latency`.
Between the first and the last group of a tile only the array and the dispatcher of weights take part, so these groups are
one event.
"""

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import simpy
from numpy.typing import NDArray

from ...formats.accelerator import AcceleratorConfig, Instruction
from ...formats.latency.array import BUFFER_READ_CYCLES, MIDPOINT_CYCLES, WEIGHT_LOAD_CYCLES, unit_pipeline_cycles
from ...formats.latency.elements import SIGN_LOAD_CYCLES
from ..processes.units import Channel, Process, Slots, Station, Units

SentPlanes = Sequence[NDArray[np.integer]]
"""Mantissa planes that each group sends, ``[blocks, groups]``, for each ``gemm`` of a program in order, from
`formats.accelerator.program_planes`; for machines that skip planes."""


class BlockCommand(NamedTuple):
    """A block of tokens that the array multiplies with the weights of some tiles."""

    sent: list[int]
    """Mantissa planes that each group of a tile sends."""
    tiles: int
    last: bool
    """True for the last block of an instruction."""


class Rows(NamedTuple):
    """Rows that a dispatcher reads for a command."""

    command: BlockCommand
    first: int
    """Earliest cycle in which the first row can be taken."""


class Tile(NamedTuple):
    """A tile that the array has finished."""

    last_plane: int
    """Cycle of its last plane."""
    last: bool
    """True for the last tile of an instruction."""


@dataclass(frozen=True)
class Dispatcher:
    """Address generator of one operand: it reads rows from the operand's buffer."""

    name: str
    commands: Channel[BlockCommand]
    rows: Channel[Rows]
    last_request: Slots
    """Token of a command's last request, after which the dispatcher takes the next command."""


class MatrixEngineProcesses:
    """Processes of the matrix engine, and the tokens that they hand over.

    Parameters
    ----------
    units
        The run to which the processes belong.
    machine
        The accelerator.
    station
        Source of the instructions.
    sent_planes
        Planes that a machine with zero-plane skipping sends; None sends all.
    """

    def __init__(
        self, units: Units, machine: AcceleratorConfig, station: Station[Instruction], sent_planes: SentPlanes | None
    ) -> None:
        self.units, self.machine, self.station = units, machine, station
        self.sent_planes: Iterator[NDArray[np.integer]] | None = iter(sent_planes) if sent_planes else None
        self.adds_fp16 = MIDPOINT_CYCLES * machine.midpoint
        self.planes, self.weights, self.factors = (self._dispatcher(name) for name in ("planes", "weights", "factors"))
        slots = units.slots
        self.taken = slots("a dispatcher to take a command")
        self.swaps: Channel[int] = Channel(slots("a group of weights"))
        """Cycle in which the array takes the weights of each group."""
        self.weights_free = slots("the array to be done with a group", 1)
        self.inner: Channel[int] = Channel(slots("the last group of a tile"))
        """Cycle in which the array takes the weights of each tile's last group but one."""
        self.computed: Channel[Tile] = units.work("a tile of the array")
        self.drained = slots("the collector to take the tile before", 1)
        self.groups: list[range] = []
        """Cycles in which groups were done, as ranges."""
        self.done = -1
        """Cycle in which the last group was done."""
        self.left = 0
        """Remaining groups of the current command."""
        self.last_command = False
        """True if the current command is the last of its instruction."""
        self.reads: list[tuple[int, int]] = []
        """Cycles of the first and the last request for planes of each command."""
        self.spans: list[tuple[int, int]] = []
        """First cycle of each tile, and the cycle in which its last group was done."""
        self.tiles: list[int] = []
        """Cycles in which the tiles' last columns left the array."""

    def _dispatcher(self, name: str) -> Dispatcher:
        units = self.units
        return Dispatcher(
            f"dispatcher of {name}",
            units.work(f"a command for {name}"),
            units.work(f"rows of {name}"),
            units.slots(f"the last row of {name} to be wanted"),
        )

    def processes(self) -> list[Process]:
        """All processes of the engine; they never end."""
        dispatchers = (self.planes, self.weights, self.factors)
        return [
            self._sequence(),
            *map(self._dispatch, dispatchers),
            self._load_weights(),
            self._multiply(),
            self._collect(),
        ]

    def _sequence(self) -> Process:
        """The sequencer: one command for each block of tokens, each after all dispatchers took the previous one."""
        dispatchers = (self.planes, self.weights, self.factors)
        while True:
            instruction = yield from self.station.instructions.get("sequencer")
            groups, blocks = instruction["groups"], instruction["blocks"]
            tiles = instruction["output_groups"] * self.machine.tiles
            sent: list[list[int]] | None = next(self.sent_planes).tolist() if self.sent_planes else None
            for block in range(blocks):
                yield self.units.after(1)
                planes = sent[block] if sent else [instruction["mantissa_bits"]] * groups
                command = BlockCommand(planes, tiles, block == blocks - 1)
                for dispatcher in dispatchers:
                    dispatcher.commands.put(command)
                for _ in dispatchers:
                    if wait := self.taken.take("sequencer"):
                        yield wait
            self.station.ready.give()

    def _dispatch(self, dispatcher: Dispatcher) -> Process:
        """An address generator: one row a cycle, on demand."""
        while True:
            command = yield from dispatcher.commands.get(dispatcher.name)
            self.taken.give()
            yield self.units.after(1)
            began = self.units.now
            dispatcher.rows.put(Rows(command, began + BUFFER_READ_CYCLES))
            only_row = dispatcher is self.factors and command.tiles * len(command.sent) == 1
            if not only_row and (wait := dispatcher.last_request.take(dispatcher.name)):
                yield wait
            if dispatcher is self.planes:
                self.reads.append((began, self.units.now))

    def _load_weights(self) -> Process:
        """The double buffer of weights: it gathers a group while the array computes with the previous one."""
        while True:
            command, first = yield from self.weights.rows.get("buffer of weights")
            groups = len(command.sent)
            yield self.units.until(max(first, self.units.now))
            for tile in range(command.tiles):
                if groups > 1:
                    yield from self._gather(last_of_command=False)
                if groups > 2:
                    yield self.units.until((yield from self.inner.get("buffer of weights")))
                yield from self._gather(last_of_command=tile == command.tiles - 1)

    def _gather(self, last_of_command: bool) -> Process:
        """Gather a group of weights from four rows, the first in this cycle, and hand it to the array."""
        before = WEIGHT_LOAD_CYCLES - 1 - BUFFER_READ_CYCLES
        yield self.units.after(before)
        if last_of_command:
            self.weights.last_request.give()
        yield self.units.after(WEIGHT_LOAD_CYCLES - before)
        if wait := self.weights_free.take("buffer of weights"):
            yield wait
        self.swaps.put(self.units.now)

    def _multiply(self) -> Process:
        """The array: it computes group after group, tile after tile."""
        while True:
            command, first = yield from self.planes.rows.get("array")
            self.left, self.last_command = command.tiles * len(command.sent), command.last
            inner = command.sent[1:-1]
            for _ in range(command.tiles):
                began = max(first, self.done + 1)
                if len(command.sent) > 1:
                    swapped = yield from self._group(command.sent[0], first)
                    first = 0
                    if inner:
                        yield from self._inner_groups(inner, swapped)
                    self.weights_free.give()
                yield from self._group(command.sent[-1], first, ends_tile=True)
                first = 0
                self.weights_free.give()
                self.spans.append((began, self.done))

    def _group(self, sent: int, first: int, ends_tile: bool = False) -> Generator[simpy.Event, None, int]:
        """Compute a group of `sent` mantissa planes; returns the cycle in which its weights came.

        `first` is the earliest cycle of a command's first signs, 0 for its other groups.
        """
        units = self.units
        # midpoints are added while the next signs are loaded
        signs = max(first, self.done + 1 - self.adds_fp16)
        if self.left == 1 and sent == 1:
            yield units.until(signs)
            self.planes.last_request.give()
        swapped = yield from self.swaps.get("array")
        first_plane = max(signs + SIGN_LOAD_CYCLES, swapped + 1)
        if self.left == 1 and sent > 1:
            yield units.until(first_plane + sent - 2)
            self.planes.last_request.give()
        yield units.until(first_plane + sent - 1)
        if first:
            factors = yield from self.factors.rows.get("array")
            yield units.until(max(factors.first, units.now))
        if ends_tile:
            if wait := self.drained.take("array"):
                yield wait
            self.computed.put(Tile(units.now, self.left == 1 and self.last_command))
        if self.adds_fp16:
            yield units.after(self.adds_fp16)
        self._retire(range(units.now, units.now + 1))
        return swapped

    def _inner_groups(self, sent: list[int], swapped: int) -> Process:
        """Compute the groups between a tile's first and last; `swapped` is the cycle of the first group's weights."""
        done, cycles = self.done, list[range]()
        equal = min(sent) == max(sent)
        for index, planes in enumerate(sent):
            swap = max(swapped + WEIGHT_LOAD_CYCLES, done)
            first_plane = max(done + 1 - self.adds_fp16 + SIGN_LOAD_CYCLES, swap + 1)
            step = first_plane + planes - 1 + self.adds_fp16 - done
            # once array and weights take the same time for a group, they do so for all further groups
            count = len(sent) - index if equal and swap - swapped == step else 1
            cycles.append(range(done + step, done + step * count + 1, step))
            swapped, done = swap + step * (count - 1), done + step * count
            if count > 1:
                break
        self.inner.put(swapped)
        yield self.units.until(done)
        self._retire(*cycles)

    def _retire(self, *cycles: range) -> None:
        """Record groups that are done."""
        self.groups += cycles
        self.done = self.units.now
        self.left -= sum(map(len, cycles))
        if self.left == 1:
            self.factors.last_request.give()

    def _collect(self) -> Process:
        """The collector: it gathers a tile's columns, and sends each token's outputs once they fill a group."""
        machine, units = self.machine, self.units
        pipeline = unit_pipeline_cycles(machine.affine, machine.midpoint)
        while True:
            tile = yield from self.computed.get("collector")
            yield units.until(max(tile.last_plane + pipeline, units.now) + machine.columns - 1)
            self.tiles.append(units.now)
            yield units.after(1)
            self.drained.give()
            if len(self.tiles) % machine.tiles == 0:
                yield units.after(machine.rows - 1)
                if tile.last:
                    self.station.end()
                yield units.after(1)
