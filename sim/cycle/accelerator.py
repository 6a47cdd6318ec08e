"""The accelerator's circuit as SimPy processes that run its programs with exactly its cycles.

The controller issues instructions in order. Loader, matrix engine, compressor, vector unit and writer work in parallel and
wait for instructions, for shared ports and for each other's data. Each unit computes the cycle of its next instruction,
tile, group or row from `formats.latency`; no process runs every cycle. The circuit takes exactly these cycles for every
retire record.
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from typing import Literal

from ...formats.accelerator import (
    AcceleratorConfig,
    Buffer,
    Instruction,
    Opcode,
    Schedule,
    Unit,
    check_program,
)
from ...formats.accelerator.instructions import MAX_UNFINISHED, UNITS, Port, reads
from ...formats.latency.array import FETCH_CYCLES, MEMORY_OUTSTANDING_ROWS, compress_cycles, store_cycles
from ...formats.latency.vector import vector_instruction_cycles
from ...formats.vector.command import REDUCTIONS, VectorOperation
from ..processes.units import Channel, Process, Station, Units
from .matrix_engine import MatrixEngineProcesses, SentPlanes

NAMES = {
    Unit.LOADER: "loader",
    Unit.MATRIX: "array",
    Unit.COMPRESSOR: "compressor",
    Unit.VECTOR: "vector unit",
    Unit.STORER: "writer",
}
"""Names of the units in a timeline."""

Pauses = Callable[[Literal["request", "read", "write"], int], int]
"""Pauses of the memory: the first cycle, from a given one on, in which it accepts a request, reads a requested row, or
accepts a row to write. Each of the three pauses independently."""


def _never_pauses(_: str, cycle: int) -> int:
    return cycle


@dataclass(frozen=True)
class ProgramRun:
    """Cycles at which a program's instructions, groups and tiles finish, counted from 0.

    Attributes
    ----------
    cycles
        Cycles of the program, from the one that accepts the start to the one that reports the end, both included.
    issued
        Cycle in which the controller gave each instruction to its unit, or passed the barrier.
    ended
        Cycles in which each unit ended its instructions.
    groups
        Cycles in which groups were done, as ranges.
    tiles
        Cycle in which the last column of each tile left the array.
    spans
        First cycle of each tile, and the cycle in which its last group was done.
    reads
        Cycles of the first and the last request for planes of each block of tokens.
    """

    cycles: int
    issued: list[int]
    ended: dict[Unit, list[int]]
    groups: list[range]
    tiles: list[int]
    spans: list[tuple[int, int]]
    reads: list[tuple[int, int]]

    @cached_property
    def retired(self) -> dict[str, list[int]]:
        """Cycles of each kind of retire record, in order: ``group``, ``tile``, and each unit's instructions."""
        units = {unit.name.lower(): cycles for unit, cycles in self.ended.items()}
        return {"group": list(chain.from_iterable(self.groups)), "tile": self.tiles, **units}


def simulate_schedule(
    plan: Schedule,
    memory_latency_cycles: int = 16,
    sent_planes: SentPlanes | None = None,
    pauses: Pauses = _never_pauses,
) -> ProgramRun:
    """Run a compiled program; see `simulate_program`."""
    return simulate_program(plan.machine, plan.instructions, memory_latency_cycles, sent_planes, pauses)


def simulate_program(
    machine: AcceleratorConfig,
    instructions: Sequence[Instruction],
    memory_latency_cycles: int = 16,
    sent_planes: SentPlanes | None = None,
    pauses: Pauses = _never_pauses,
) -> ProgramRun:
    """Run a program, which ends with ``halt``.

    Parameters
    ----------
    machine
        The accelerator.
    instructions
        The program, in order.
    memory_latency_cycles
        Cycles from a request to its row, at least 2. The memory delivers one row a cycle unless it pauses.
    sent_planes
        Planes that a machine with zero-plane skipping sends; None sends all.
    pauses
        Pauses of the memory.

    Raises
    ------
    InputError
        An instruction uses rows that a buffer does not have.
    DeadlockError
        No process can continue.
    """
    check_program(machine, instructions)
    return AcceleratorProcesses(machine, memory_latency_cycles, sent_planes, pauses).execute(instructions)


@dataclass
class MemoryReads:
    """Rows of memory on their way into a buffer: requested one a cycle, written as they arrive.

    Only the loader reads the memory, and it owns the buffer port of a load until it is idle. So the cycles of a load's rows
    are known when it is issued.
    """

    latency_cycles: int
    pauses: Pauses
    asked: int = -1
    """Cycle of the last request."""
    read: deque[int] = field(default_factory=lambda: deque(maxlen=MEMORY_OUTSTANDING_ROWS))
    """Cycles in which the memory began to read each of the last rows."""
    taken: int = -1
    """Cycle in which the last row was accepted."""
    written: int = -1
    """Cycle in which the last row of a buffer was written."""

    def transfer(self, issued: int, count: int, packed: int) -> tuple[int, int]:
        """Cycles of a load's last request and of its last write to the buffer.

        The load fills `count` rows of the buffer, `packed` of them from one row of memory.
        """
        self.asked = issued
        for left in range(count, 0, -packed):
            self._ask()
            # the next row is taken with the last write of this one
            self.taken = max(self.read[-1] + 1, self.written)
            self.written = self.taken + min(packed, left)
        return self.asked, self.written

    def _ask(self) -> None:
        """Make one request: it waits for a free slot, and the memory for the previous row."""
        self.asked += 1
        if len(self.read) == MEMORY_OUTSTANDING_ROWS:
            self.asked = max(self.asked, self.read[0] + 1)
        self.asked = self.pauses("request", self.asked)
        before = self.read[-1] + 1 if self.read else 0
        self.read.append(self.pauses("read", max(self.asked + self.latency_cycles - 1, before, self.taken)))


class AcceleratorProcesses(Units):
    """Processes of the accelerator, and the owners of the buffers' shared ports.

    The parameters are those of `simulate_program`.
    """

    def __init__(
        self,
        machine: AcceleratorConfig,
        memory_latency_cycles: int = 16,
        sent_planes: SentPlanes | None = None,
        pauses: Pauses = _never_pauses,
    ) -> None:
        super().__init__()
        self.machine, self.pauses = machine, pauses
        self.stations = {unit: Station[Instruction](self, NAMES[unit]) for unit in Unit}
        self.owners: dict[Port, Station[Instruction]] = {}
        self.memory = MemoryReads(memory_latency_cycles, pauses)
        self.coming: Channel[int] = self.work("rows of the memory")
        """Cycle in which the last row of each load is written."""
        self.matrix = MatrixEngineProcesses(self, machine, self.stations[Unit.MATRIX], sent_planes)
        self.issued: list[int] = []

    def execute(self, instructions: Iterable[Instruction]) -> ProgramRun:
        """Run a program until its end is reported.

        Raises
        ------
        DeadlockError
            No process can continue.
        """
        self.run(
            self._control(instructions),
            servers=[
                self._request_rows(),
                self._write_rows(),
                *self.matrix.processes(),
                self._work(Unit.COMPRESSOR),
                self._work(Unit.VECTOR),
                self._work(Unit.STORER),
            ],
        )
        ended = {unit: station.cycles for unit, station in self.stations.items()}
        matrix = self.matrix
        # the end is reported one cycle after `halt`; cycles count from 0
        cycles = self.issued[-1] + 2
        return ProgramRun(cycles, self.issued, ended, matrix.groups, matrix.tiles, matrix.spans, matrix.reads)

    def _control(self, instructions: Iterable[Instruction]) -> Process:
        """The controller: issue instructions in order, at most one a cycle."""
        yield self.after(FETCH_CYCLES)
        for instruction in instructions:
            who = f"controller, at {instruction.opcode.name.lower()},"
            ends = instruction.opcode == Opcode.HALT or not self._is_legal(instruction)
            if instruction.opcode in UNITS and not ends:
                yield from self._issue(instruction, self.stations[UNITS[instruction.opcode]], who)
            else:
                for unit, station in self.stations.items():
                    if ends or instruction["units"] >> unit & 1:
                        yield from station.at_most(0 if ends else instruction["pending"], who)
            self.issued.append(self.now)
            if ends:
                break
            yield self.after(1)

    def _is_legal(self, instruction: Instruction) -> bool:
        """True if the machine can execute the instruction; one that it cannot execute ends the program."""
        if instruction.opcode == Opcode.VECTOR:
            return self.machine.vector_unit
        return instruction.fields.get("mantissa_bits", 1) <= self.machine.max_mantissa_bits

    def _issue(self, instruction: Instruction, station: Station[Instruction], who: str) -> Process:
        """Wait for room in the queue, for the ports and for the unit, and give the unit its instruction."""
        yield from station.at_most(MAX_UNFINISHED - 1, who)
        ports = [port for port in Port if port in instruction.ports]
        for port in ports:
            owner = self.owners.get(port, station)
            if owner is not station:
                yield from owner.at_most(0, who)
        if wait := station.ready.take(who):
            yield wait
        if station.idle:
            # an idle unit no longer owns its ports
            self.owners = {port: owner for port, owner in self.owners.items() if owner is not station}
        self.owners |= dict.fromkeys(ports, station)
        station.give(instruction)

    def _request_rows(self) -> Process:
        """The loader's requests to the memory; the next load begins after the last request."""
        station = self.stations[Unit.LOADER]
        while True:
            load = yield from station.instructions.get("loader")
            packed = self.machine.packed(Buffer(load["buffer"]))
            asked, written = self.memory.transfer(self.now, load["count"], packed)
            self.coming.put(written)
            yield self.until(asked)
            station.ready.give()

    def _write_rows(self) -> Process:
        """The loader's writes to the buffers, as rows arrive."""
        while True:
            yield self.until((yield from self.coming.get("loader")))
            self.stations[Unit.LOADER].end()

    def _work(self, unit: Unit) -> Process:
        """A unit that executes one instruction after the other."""
        station = self.stations[unit]
        while True:
            instruction = yield from station.instructions.get(station.name)
            yield self.after(self._cycles(unit, instruction))
            station.end()
            yield self.after(1)
            station.ready.give()

    def _cycles(self, unit: Unit, instruction: Instruction) -> int:
        """Cycles from an instruction's issue to its end."""
        machine = self.machine
        if unit == Unit.COMPRESSOR:
            return compress_cycles(instruction["blocks"], instruction["mantissa_bits"], machine.rows)
        if unit == Unit.STORER:
            return self._store_cycles(instruction)
        left, right = reads(instruction)
        scalar = None
        if instruction["to_scalar"]:
            kinds = {VectorOperation.LOAD: "constant"} | dict.fromkeys(REDUCTIONS, "reduction")
            scalar = kinds.get(VectorOperation(instruction["operation"]), "function")
        return vector_instruction_cycles(
            instruction["vectors"], machine.lanes, operands=left + right, only_right=right > left, scalar=scalar
        )

    def _store_cycles(self, instruction: Instruction) -> int:
        """Cycles of a store: rows are read one a cycle, and wait while the memory pauses."""
        count, packed = instruction["count"], self.machine.packed(Buffer(instruction["buffer"]))
        left = self.now + store_cycles(0)
        for rows in range(count, 0, -packed):
            left = self.pauses("write", left + min(packed, rows))
        return left - self.now
