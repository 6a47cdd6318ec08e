"""Testbench of the accelerator: runs programs with a memory of chosen latency, in any simulator."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import takewhile

import numpy as np
from numpy.typing import NDArray

from ....formats import InputError
from ....formats.accelerator import AcceleratorConfig, Instruction, Opcode, Schedule, check_program
from ....formats.accelerator.bounds_check import extents
from ....formats.accelerator.instructions import INSTRUCTION_BITS, MEMORY_ADDRESS_BITS, UNITS
from ....formats.checks import check_integer
from ....formats.latency.array import MEMORY_OUTSTANDING_ROWS
from ...accelerator.top import FLAGS, Accelerator
from ...array.buffers import MAX_DEPTH
from ...isa import RETIRED
from ..amaranth_simulator import AmaranthCircuit
from ..build import require_simulator
from ..compiled import CompiledCircuit, compile_design
from ..memory_model import LATENCY_BITS
from ..simulate import SimulatorName, check_simulator
from ..streams import STALL_LIMIT_CYCLES
from .accelerator_circuit import AcceleratorBench, HostAction

LEAST_LATENCY = 2


@dataclass(frozen=True)
class AcceleratorRun:
    """Result of a program on the accelerator.

    Attributes
    ----------
    memory : uint8 ``[rows, memory_bits / 8]``
        Memory before the run, with the rows that were read back after it.
    cycles : `int`
        Clock cycles from the start of the program to `done`, both included.
    flags : mapping of flag to `bool`
        Sticky flags, named as in `accelerator.top.FLAGS`.
    retired : mapping of kind to cycles
        Cycles of the retire records of each kind, in order, counted from `started`.
    started : `int`
        Cycle of the simulation in which the program starts.
    """

    memory: NDArray[np.uint8]
    cycles: int
    flags: Mapping[str, bool]
    retired: Mapping[str, tuple[int, ...]]
    started: int


def run_accelerator_schedule(
    plan: Schedule,
    memory: NDArray[np.uint8],
    *,
    latency_cycles: int = 16,
    pauses: int = 0,
    simulator: SimulatorName = "amaranth",
) -> AcceleratorRun:
    """Run a compiled program and read its outputs back.

    Parameters
    ----------
    plan : `Schedule`
        Compiled program, of `formats.accelerator.compile_gemms`.
    memory : uint8 ``[rows, memory_bits / 8]``
        Contents of the memory before the run.
    latency_cycles, pauses, simulator
        See `run_accelerator_program`.
    """
    outputs = [region for chunk in plan.chunks for region in chunk.outputs]
    rows = [
        row
        for region in outputs
        for row in range(region.memory, region.memory + plan.machine.memory_rows(region.buffer, region.rows))
    ]
    return run_accelerator_program(
        plan.machine,
        plan.instructions,
        memory,
        rows,
        latency_cycles=latency_cycles,
        pauses=pauses,
        simulator=simulator,
    )


def run_accelerator_program(
    machine: AcceleratorConfig,
    instructions: Sequence[Instruction],
    memory: NDArray[np.uint8],
    read_back: Sequence[int] = (),
    *,
    latency_cycles: int = 16,
    pauses: int = 0,
    simulator: SimulatorName = "amaranth",
) -> AcceleratorRun:
    """Run a program on an `Accelerator`.

    Parameters
    ----------
    machine : `AcceleratorConfig`
        Configuration of the accelerator.
    instructions : sequence of `Instruction`
        The program, which ends with ``halt``.
    memory : uint8 ``[rows, memory_bits / 8]``
        Contents of the memory before the run.
    read_back : sequence of `int`
        Rows of the memory to read after the run.
    latency_cycles : `int`
        Latency of the memory from a request to its row, 2 to 4095.
    pauses : `int`
        Average number of cycles in 256, from 0 to 200, in which each of the memory's streams pauses.
    simulator : `str`
        ``"amaranth"``, ``"cxxrtl"`` or ``"verilator"``.

    Raises
    ------
    InputError
        A parameter is out of its range, the program addresses rows outside the buffers, the memory is too large, or the
        simulator is unknown or not installed.
    """
    check_program(machine, instructions)
    check_simulator(simulator)
    if simulator != "amaranth":
        require_simulator(simulator)
    check_integer("latency_cycles", latency_cycles, LEAST_LATENCY, (1 << LATENCY_BITS) - 1)
    check_integer("pauses", pauses, 0, 200)
    if len(memory) > MAX_DEPTH:
        raise InputError(f"memory: has {len(memory)} rows, more than {MAX_DEPTH}; use fewer tokens or channels")
    host = host_orders(machine, instructions, memory, read_back, _timing(latency_cycles, pauses))
    kinds = retire_counts(machine, instructions)
    depth = max(1024, 1 << (len(memory) - 1).bit_length())
    outputs = {"started": 1, "done": 1, "rows": len(read_back), **kinds}
    patience_cycles = _patience_cycles(machine, instructions, latency_cycles)
    run = _circuit(machine, depth, simulator).run_streams({"host": host}, outputs, [], {}, patience_cycles)
    start = run.transfers["started"].cycles[0]
    after = memory.copy()
    for address, row in zip(read_back, run.transfers["rows"].payloads, strict=True):
        after[address] = np.frombuffer(row.to_bytes(after.shape[1], "little"), np.uint8)
    status = run.transfers["done"].payloads[0]
    flags = {name: bool(status >> index & 1) for index, name in enumerate(FLAGS)}
    retired = {kind: tuple(cycle - start for cycle in run.transfers[kind].cycles) for kind in kinds}
    for kind in kinds:
        if run.transfers[kind].payloads != list(range(kinds[kind])):
            raise RuntimeError(f"{kind}: a retire record was lost")
    return AcceleratorRun(after, run.transfers["done"].cycles[0] - start + 1, flags, retired, start)


def _patience_cycles(machine: AcceleratorConfig, instructions: Sequence[Instruction], latency_cycles: int) -> int:
    """Longest time without a retire record, in cycles: a transfer leaves one only with its last row."""
    longest = max((rows for each in instructions for _, rows in extents(machine, each).values()), default=0)
    return STALL_LIMIT_CYCLES + latency_cycles + longest * (32 + latency_cycles // MEMORY_OUTSTANDING_ROWS)


@lru_cache(maxsize=16)
def _circuit(
    machine: AcceleratorConfig, memory_depth: int, simulator: SimulatorName
) -> CompiledCircuit | AmaranthCircuit:
    """Circuit that is ready to run, kept because its elaboration takes longer than a small program."""
    bench = AcceleratorBench(accelerator=Accelerator(machine), memory_depth=memory_depth)
    return AmaranthCircuit(bench) if simulator == "amaranth" else compile_design(bench, simulator)


def retire_counts(machine: AcceleratorConfig, instructions: Sequence[Instruction]) -> dict[str, int]:
    """Retire records of each kind that a program leaves, up to ``halt`` or an instruction of a missing unit."""
    counts = dict.fromkeys(RETIRED, 0)
    ends = {Opcode.HALT} if machine.vector_unit else {Opcode.HALT, Opcode.VECTOR}
    for each in takewhile(lambda instruction: instruction.opcode not in ends, instructions):
        if each.opcode in UNITS:
            counts[UNITS[each.opcode].name.lower()] += 1
        if each.opcode == Opcode.GEMM:
            tiles = each["blocks"] * each["output_groups"] * machine.tiles
            counts["tile"] += tiles
            counts["group"] += tiles * each["groups"]
    return counts


def host_orders(
    machine: AcceleratorConfig,
    instructions: Sequence[Instruction],
    memory: NDArray[np.uint8],
    read_back: Sequence[int] = (),
    timing: int = LEAST_LATENCY,
) -> list[int]:
    """Packed orders of the host: fill the memories, run the program, read rows back."""
    host = [_order(machine, HostAction.SET_TIMING, data=timing)]
    host += [
        _order(machine, HostAction.WRITE_MEMORY, address, int.from_bytes(row.tobytes(), "little"))
        for address, row in enumerate(memory)
    ]
    host += [
        _order(machine, HostAction.WRITE_PROGRAM, address, instruction.encode())
        for address, instruction in enumerate(instructions)
    ]
    host.append(_order(machine, HostAction.RUN))
    host += [_order(machine, HostAction.READ_MEMORY, row) for row in read_back]
    return host


def _order(machine: AcceleratorConfig, action: HostAction, address: int = 0, data: int = 0) -> int:
    width = max(machine.memory_bits, INSTRUCTION_BITS)
    return data | address << width | action.value << (width + MEMORY_ADDRESS_BITS)


def _timing(latency_cycles: int, pauses: int) -> int:
    return latency_cycles | pauses << LATENCY_BITS
