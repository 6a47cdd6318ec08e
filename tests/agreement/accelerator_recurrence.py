"""Cycles of the accelerator's programs as a recurrence: an independent check of `sim.cycle.accelerator`.

Each function computes the cycle of an event as the maximum over the events that it waits for. There are no processes.
Recurrence, simulator and circuit only share the constants of `formats.latency`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from anda_codesign.formats.accelerator import AcceleratorConfig, Buffer, Instruction, Opcode, Schedule, Unit
from anda_codesign.formats.accelerator.instructions import MAX_UNFINISHED, UNITS, Port, reads
from anda_codesign.formats.latency.array import (
    BUFFER_READ_CYCLES,
    FETCH_CYCLES,
    MEMORY_OUTSTANDING_ROWS,
    MIDPOINT_CYCLES,
    WEIGHT_LOAD_CYCLES,
    compress_cycles,
    store_cycles,
    unit_pipeline_cycles,
)
from anda_codesign.formats.latency.elements import SIGN_LOAD_CYCLES
from anda_codesign.formats.latency.vector import vector_instruction_cycles
from anda_codesign.formats.vector.command import REDUCTIONS, VectorOperation
from numpy.typing import NDArray

NEVER = -1
"""Cycle of an event that has not happened."""


@dataclass(frozen=True)
class ProgramTimes:
    """Completion cycles of a program.

    Attributes
    ----------
    cycles : `int`
        Clock cycles from the start of the program to `done`, both included.
    retired : `dict` of kind to cycles
        Cycles of the retire records of each kind (group, tile, and the instructions of each unit), in order.
    """

    cycles: int
    retired: dict[str, list[int]]


SentPlanes = Sequence[NDArray[np.integer]]
"""Mantissa planes ``[blocks, groups]`` that each group sends, for each ``gemm`` of a program in order.

`formats.accelerator.program_planes` reads them from the activations for a machine that skips planes.
"""


def solve_schedule(
    plan: Schedule, memory_latency_cycles: int = 16, sent_planes: SentPlanes | None = None
) -> ProgramTimes:
    """Completion cycles of a compiled program; for the parameters see `solve_program`."""
    return solve_program(plan.machine, plan.instructions, memory_latency_cycles, sent_planes)


def solve_program(
    machine: AcceleratorConfig,
    instructions: Sequence[Instruction],
    memory_latency_cycles: int = 16,
    sent_planes: SentPlanes | None = None,
) -> ProgramTimes:
    """Completion cycles of a program.

    Parameters
    ----------
    machine : `AcceleratorConfig`
        Configuration of the accelerator.
    instructions : sequence of `Instruction`
        The program, which ends with ``halt``.
    memory_latency_cycles : `int`
        Latency of the memory from a request to its row, at least 2. It sends one row per cycle and never pauses.
    sent_planes : `SentPlanes`, optional
        Planes that a machine with skipping sends. None sends all.
    """
    return Controller(machine, memory_latency_cycles, sent_planes).run(instructions)


class Controller:
    """Issue of instructions, and their completion cycles."""

    def __init__(self, machine: AcceleratorConfig, memory_latency_cycles: int, sent_planes: SentPlanes | None) -> None:
        self.matrix = Matrix(machine, None if sent_planes is None else iter(sent_planes))
        self.loader = Loader(machine, memory_latency_cycles)
        self.machine = machine
        self.finished: dict[Unit, list[int]] = {unit: [] for unit in Unit}
        self.owners: dict[Port, Unit] = {}

    def run(self, instructions: Sequence[Instruction]) -> ProgramTimes:
        """Issue all instructions, at most one per cycle."""
        presented = FETCH_CYCLES
        for instruction in instructions:
            if instruction.opcode in UNITS:
                issued = self._issue(instruction, UNITS[instruction.opcode], presented)
            elif instruction.opcode == Opcode.BARRIER:
                units = [unit for unit in Unit if instruction["units"] >> unit & 1]
                issued = max([presented, *(self._at_most(unit, instruction["pending"]) for unit in units)])
            else:
                issued = max([presented, *(self._at_most(unit, 0) for unit in Unit)])
            presented = issued + 1
        # `done` follows in cycle `presented`
        units = {unit.name.lower(): times for unit, times in self.finished.items()}
        return ProgramTimes(presented + 1, {"group": self.matrix.groups, "tile": self.matrix.tiles, **units})

    def _issue(self, instruction: Instruction, unit: Unit, presented: int) -> int:
        """Cycle in which an instruction is issued: it waits for space in its unit and for buffer ports."""
        may = max(presented, self._at_most(unit, MAX_UNFINISHED - 1))
        for port in Port:
            if port in instruction.ports:
                owner = self.owners.get(port, unit)
                if owner != unit:
                    may = max(may, self._at_most(owner, 0))
        issued, stop = self._hand_over(instruction, unit, may)
        if self._at_most(unit, 0) <= issued:
            # the unit was idle, so its ports were free
            self.owners = {port: owner for port, owner in self.owners.items() if owner != unit}
        self.owners |= {port: unit for port in Port if port in instruction.ports}
        self.finished[unit].append(stop)
        return issued

    def _hand_over(self, instruction: Instruction, unit: Unit, may: int) -> tuple[int, int]:
        """Cycles in which a unit accepts an instruction and completes it."""
        if unit == Unit.LOADER:
            return self.loader.load(instruction, may)
        if unit == Unit.MATRIX:
            return self.matrix.gemm(instruction, may)
        issued = max(may, self._at_most(unit, 0))
        if unit == Unit.COMPRESSOR:
            blocks, mantissa_bits = instruction["blocks"], instruction["mantissa_bits"]
            return issued, issued + compress_cycles(blocks, mantissa_bits, self.machine.rows)
        if unit == Unit.VECTOR:
            return issued, issued + self._vector_cycles(instruction)
        return issued, issued + store_cycles(instruction["count"])

    def _vector_cycles(self, instruction: Instruction) -> int:
        left, right = reads(instruction)
        scalar = None
        if instruction["to_scalar"]:
            kinds = {VectorOperation.LOAD: "constant"} | dict.fromkeys(REDUCTIONS, "reduction")
            scalar = kinds.get(VectorOperation(instruction["operation"]), "function")
        return vector_instruction_cycles(
            instruction["vectors"], self.machine.lanes, operands=left + right, only_right=right > left, scalar=scalar
        )

    def _at_most(self, unit: Unit, pending: int) -> int:
        """First cycle in which the controller sees at most `pending` unfinished instructions of a unit."""
        finished = self.finished[unit]
        return finished[-1 - pending] + 1 if len(finished) > pending else 0


@dataclass
class Loader:
    """Loader: requests one row of the memory per cycle, and writes rows to a buffer as they arrive."""

    machine: AcceleratorConfig
    latency_cycles: int
    asked: int = NEVER
    """Cycle of the last request."""
    read: list[int] = field(default_factory=list[int])
    """Cycle in which the memory started to read each row."""
    taken: int = NEVER
    """Cycle in which the last row was accepted."""
    written: int = NEVER
    """Cycle in which the last row of a buffer was written."""

    def load(self, instruction: Instruction, may: int) -> tuple[int, int]:
        """Cycles in which a load is issued and its last row is written.

        A load is issued at the earliest with the last request of the previous load.
        """
        issued = max(may, self.asked)
        packed, left = self.machine.packed(Buffer(instruction["buffer"])), instruction["count"]
        self.asked = issued
        while left > 0:
            self._ask()
            rows = min(packed, left)
            # the next row is accepted with the last write of this one
            self.taken = max(self.read[-1] + 1, self.written)
            self.written = self.taken + rows
            left -= rows
        return issued, self.written

    def _ask(self) -> None:
        """Request a row: the request waits for space among the pending ones, the memory for the previous row."""
        asked = self.asked + 1
        if len(self.read) >= MEMORY_OUTSTANDING_ROWS:
            asked = max(asked, self.read[-MEMORY_OUTSTANDING_ROWS] + 1)
        self.asked = asked
        before = self.read[-1] + 1 if self.read else 0
        self.read.append(max(asked + self.latency_cycles - 1, before, self.taken))


@dataclass
class Matrix:
    """Sequencer, address generators, array and collector."""

    machine: AcceleratorConfig
    sent_planes: Iterator[NDArray[np.integer]] | None
    groups: list[int] = field(default_factory=list[int])
    """Cycle in which each group was done: last plane accepted, with midpoint reconstruction half units added."""
    tiles: list[int] = field(default_factory=list[int])
    """Cycle in which the last column of each tile left the array."""
    sequencer_free: int = NEVER
    """Cycle in which the sequencer sends its last command."""
    planes_free: int = NEVER
    weights_free: int = NEVER
    factors_free: int = NEVER
    """Cycles in which the address generators make their last request, and can accept the next command."""
    gathered: int = NEVER
    """Cycle in which the last row of weights of the last group reached the dispatcher."""
    swapped: int = NEVER
    """Cycle in which the dispatcher passed on the weights of the last group."""
    collector_free: int = 0
    """First cycle in which the collector accepts columns."""

    def gemm(self, instruction: Instruction, may: int) -> tuple[int, int]:
        """Cycles in which an instruction is issued and its last results are written."""
        issued = max(may, self.sequencer_free)
        given = issued + 1
        sent = next(self.sent_planes).tolist() if self.sent_planes else None
        for block in range(instruction["blocks"]):
            planes = sent[block] if sent else [instruction["mantissa_bits"]] * instruction["groups"]
            self.sequencer_free = self._command(instruction, given, planes)
            given = self.sequencer_free + 1
        return issued, self.collector_free - 1

    def _command(self, instruction: Instruction, given: int, sent: list[int]) -> int:
        """Run a block of tokens; return the cycle in which the last address generator accepts its command."""
        planes, weights, factors = (
            max(given, free) for free in (self.planes_free, self.weights_free, self.factors_free)
        )
        taken = max(planes, weights, factors)
        groups = instruction["groups"]
        count = instruction["output_groups"] * self.machine.tiles * groups
        # a row can be accepted in the cycle after the request is in the buffer
        first = 1 + BUFFER_READ_CYCLES
        sign_plane, weight_row, factor = planes + first, weights + first, factors + first
        for index in range(count):
            group = index % groups
            self._group(sent[group], group == groups - 1, sign_plane, weight_row, factor)
            sign_plane = weight_row = 0
            factor = self.groups[-1] + 1
        return taken

    def _group(self, sent: int, last_of_tile: bool, sign_plane: int, weight_row: int, factor: int) -> None:
        """Run a group of `sent` mantissa planes; the last three arguments are the earliest cycles of its first rows."""
        before = self.groups[-1] if self.groups else NEVER
        adds_fp16 = MIDPOINT_CYCLES * self.machine.midpoint
        self.gathered = max(weight_row, self.gathered + 1, self.swapped) + WEIGHT_LOAD_CYCLES - 1
        self.weights_free = self.gathered - 1
        self.swapped = max(self.gathered + 1, before)
        # half units are added while the next signs are loaded
        signs = max(sign_plane, before + 1 - adds_fp16)
        first_plane = max(signs + SIGN_LOAD_CYCLES, self.swapped + 1)
        self.planes_free = first_plane + sent - 2 if sent > 1 else signs
        self.factors_free = factor - BUFFER_READ_CYCLES
        last = max(first_plane + sent - 1, factor)
        if last_of_tile and self.tiles:
            last = max(last, self.tiles[-1] + 1)
        self.groups.append(last + adds_fp16)
        if last_of_tile:
            self._drain(last)

    def _drain(self, last_plane: int) -> None:
        """Drain the columns of a tile. The collector sends a group of outputs of each token when it is complete."""
        first_column = max(
            last_plane + unit_pipeline_cycles(self.machine.affine, self.machine.midpoint), self.collector_free
        )
        self.tiles.append(first_column + self.machine.columns - 1)
        if len(self.tiles) % self.machine.tiles == 0:
            self.collector_free = self.tiles[-1] + self.machine.rows + 1
