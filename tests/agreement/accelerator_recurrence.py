"""The cycles of the accelerator's programs as a recurrence: a second opinion on `sim.accelerator`, with nothing in common.

Each function says when something happens as the largest of the cycles that it waits for; there are no processes and no
events. It shares `formats.latency` with the simulator and the circuit.
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
"""The cycle of what has not happened."""


@dataclass(frozen=True)
class ProgramTimes:
    """When what is finished.

    Attributes:
        cycles: from the cycle in which the start is taken to the one in which the end is told, both counted.
        retired: of each kind of retire record (group, tile, and each unit's instructions) the cycles, in order.
    """

    cycles: int
    retired: dict[str, list[int]]


SentPlanes = Sequence[NDArray[np.integer]]
"""Of each ``gemm`` of a program, in order, the mantissa planes that each group sends, ``[blocks, groups]``: what
`formats.accelerator.program_planes` reads from the activations for a machine that skips planes."""


def solve_schedule(
    plan: Schedule, memory_latency_cycles: int = 16, sent_planes: SentPlanes | None = None
) -> ProgramTimes:
    """When a compiled program finishes what; parameters as of `solve_program`."""
    return solve_program(plan.machine, plan.instructions, memory_latency_cycles, sent_planes)


def solve_program(
    machine: AcceleratorConfig,
    instructions: Sequence[Instruction],
    memory_latency_cycles: int = 16,
    sent_planes: SentPlanes | None = None,
) -> ProgramTimes:
    """When a program, which ends with ``halt``, finishes what.

    Args:
        machine: what it runs on.
        instructions: the program.
        memory_latency_cycles: from a request to its row, at least 2; a row per cycle, which never pauses.
        sent_planes: of a machine that skips planes; None sends all.
    """
    return Controller(machine, memory_latency_cycles, sent_planes).run(instructions)


class Controller:
    """Issues instructions, and knows when they are finished."""

    def __init__(self, machine: AcceleratorConfig, memory_latency_cycles: int, sent_planes: SentPlanes | None) -> None:
        self.matrix = Matrix(machine, None if sent_planes is None else iter(sent_planes))
        self.loader = Loader(machine, memory_latency_cycles)
        self.machine = machine
        self.finished: dict[Unit, list[int]] = {unit: [] for unit in Unit}
        self.owners: dict[Port, Unit] = {}

    def run(self, instructions: Sequence[Instruction]) -> ProgramTimes:
        """Issue them all, one per cycle at most."""
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
        # `presented` is when the end is told
        units = {unit.name.lower(): times for unit, times in self.finished.items()}
        return ProgramTimes(presented + 1, {"group": self.matrix.groups, "tile": self.matrix.tiles, **units})

    def _issue(self, instruction: Instruction, unit: Unit, presented: int) -> int:
        """Wait for room and for ports, hand the instruction over; in which cycle."""
        may = max(presented, self._at_most(unit, MAX_UNFINISHED - 1))
        for port in Port:
            if port in instruction.ports:
                owner = self.owners.get(port, unit)
                if owner != unit:
                    may = max(may, self._at_most(owner, 0))
        issued, stop = self._hand_over(instruction, unit, may)
        if self._at_most(unit, 0) <= issued:
            # it was idle, so what it owned was free
            self.owners = {port: owner for port, owner in self.owners.items() if owner != unit}
        self.owners |= {port: unit for port in Port if port in instruction.ports}
        self.finished[unit].append(stop)
        return issued

    def _hand_over(self, instruction: Instruction, unit: Unit, may: int) -> tuple[int, int]:
        """When a unit takes an instruction, and when it finishes it."""
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
        """The cycle from which on at most `pending` of a unit's instructions are seen to be unfinished."""
        finished = self.finished[unit]
        return finished[-1 - pending] + 1 if len(finished) > pending else 0


@dataclass
class Loader:
    """Rows of memory: asked for one per cycle, written to the buffer as they come."""

    machine: AcceleratorConfig
    latency_cycles: int
    asked: int = NEVER
    """When the last row was asked for."""
    read: list[int] = field(default_factory=list[int])
    """When the memory began to read each row."""
    taken: int = NEVER
    """When the last row was taken."""
    written: int = NEVER
    """When the last row of a buffer was written."""

    def load(self, instruction: Instruction, may: int) -> tuple[int, int]:
        """When a load is issued, and when its last row is written.

        It is issued with the last request of the load before at the earliest.
        """
        issued = max(may, self.asked)
        packed, left = self.machine.packed(Buffer(instruction["buffer"])), instruction["count"]
        self.asked = issued
        while left > 0:
            self._ask()
            rows = min(packed, left)
            # the next row is taken with the last write of this one
            self.taken = max(self.read[-1] + 1, self.written)
            self.written = self.taken + rows
            left -= rows
        return issued, self.written

    def _ask(self) -> None:
        """One request: it waits for room among those under way, the memory for the row before it."""
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
    """When each group was done: its last plane taken, with midpoint reconstruction its half units added."""
    tiles: list[int] = field(default_factory=list[int])
    """When the last column of each tile left the array."""
    sequencer_free: int = NEVER
    """When the sequencer gives the last command that it has."""
    planes_free: int = NEVER
    weights_free: int = NEVER
    factors_free: int = NEVER
    """When each address generator makes its last request, and can take the next command."""
    gathered: int = NEVER
    """When the last row of weights of the last group came to the dispatcher."""
    swapped: int = NEVER
    """When that dispatcher handed the weights of the last group on."""
    collector_free: int = 0
    """From when on the collector takes columns."""

    def gemm(self, instruction: Instruction, may: int) -> tuple[int, int]:
        """When an instruction is issued, and when its last results are written."""
        issued = max(may, self.sequencer_free)
        given = issued + 1
        sent = next(self.sent_planes).tolist() if self.sent_planes else None
        for block in range(instruction["blocks"]):
            planes = sent[block] if sent else [instruction["mantissa_bits"]] * instruction["groups"]
            self.sequencer_free = self._command(instruction, given, planes)
            given = self.sequencer_free + 1
        return issued, self.collector_free - 1

    def _command(self, instruction: Instruction, given: int, sent: list[int]) -> int:
        """A block of tokens, whose groups send so many planes; when the last address generator takes its command."""
        planes, weights, factors = (
            max(given, free) for free in (self.planes_free, self.weights_free, self.factors_free)
        )
        taken = max(planes, weights, factors)
        groups = instruction["groups"]
        count = instruction["output_groups"] * self.machine.tiles * groups
        # the cycle after the request is in the buffer, its row can be taken in the next one
        first = 1 + BUFFER_READ_CYCLES
        sign_plane, weight_row, factor = planes + first, weights + first, factors + first
        for index in range(count):
            group = index % groups
            self._group(sent[group], group == groups - 1, sign_plane, weight_row, factor)
            sign_plane = weight_row = 0
            factor = self.groups[-1] + 1
        return taken

    def _group(self, sent: int, last_of_tile: bool, sign_plane: int, weight_row: int, factor: int) -> None:
        """One group of `sent` mantissa planes; the last three arguments are when its first rows come at the earliest."""
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
        """A tile's columns leave; when they make a group of outputs of each token, the collector sends them."""
        first_column = max(
            last_plane + unit_pipeline_cycles(self.machine.affine, self.machine.midpoint), self.collector_free
        )
        self.tiles.append(first_column + self.machine.columns - 1)
        if len(self.tiles) % self.machine.tiles == 0:
            self.collector_free = self.tiles[-1] + self.machine.rows + 1
