"""Testbench of the vector unit: runs its commands and programs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ....formats.vector.command import VectorCommand, VectorState, as_vectors
from ....formats.vector.programs import VectorProgram
from ...vector.unit import VectorUnit
from ..packing import pack, unpack
from ..simulate import SimulatorName, run_streams
from ..streams import Pauses


@dataclass(frozen=True)
class VectorRun:
    """Result of commands on a `VectorUnit`.

    Attributes
    ----------
    results : float16 ``[vectors, lanes]``
        Results of all commands, in order.
    saturated : `bool`
        Sticky flag of the circuit.
    command_cycles : `list[int]`
        Cycle in which each command was done.
    left_cycles, result_cycles : `list[int]`
        Cycle in which each vector of the left operand was accepted, and each vector of results was sent.
    """

    results: NDArray[np.float16]
    saturated: bool
    command_cycles: list[int]
    left_cycles: list[int]
    result_cycles: list[int]


def run_vector_commands(
    commands: Sequence[VectorCommand],
    left: NDArray[np.float16] | None = None,
    right: NDArray[np.float16] | None = None,
    *,
    lanes: int = 64,
    pauses: Pauses | None = None,
    simulator: SimulatorName = "amaranth",
) -> VectorRun:
    """Run commands on a `VectorUnit`.

    Parameters
    ----------
    commands : sequence of `VectorCommand`
        Commands, in order.
    left, right : float16 ``[vectors, lanes]``
        Operands of all commands, in order.
    lanes : `int`
        Lanes of the circuit.
    pauses : mapping of port to sequence of `bool`
        Pauses of ``command``, ``left``, ``right`` and ``results``; see `run_streams`.
    simulator : `str`
        ``"amaranth"``, ``"cxxrtl"`` or ``"verilator"``.
    """
    none = np.zeros((0, lanes), np.float16)
    operands = {"left": none if left is None else left, "right": none if right is None else right}
    inputs = {
        name: pack(vectors.view(np.uint16).astype(np.int64), 16) if len(vectors) else []
        for name, vectors in operands.items()
    }
    inputs["command"] = [command.pack() for command in commands]
    count = sum(command.vectors for command in commands if command.destination is None)
    run = run_streams(
        VectorUnit(lanes=lanes), inputs, {"results": count}, flags=["saturated"], pauses=pauses, simulator=simulator
    )
    results = run.transfers["results"]
    halves = unpack(results.payloads, 16, lanes).astype(np.uint16).view(np.float16)
    return VectorRun(
        halves,
        bool(run.flags["saturated"]),
        run.transfers["command"].cycles,
        run.transfers["left"].cycles,
        results.cycles,
    )


class ProgramStreams(NamedTuple):
    """Streams of a program on one row: commands, operands of all steps, and expected results."""

    commands: list[VectorCommand]
    left: NDArray[np.float16]
    right: NDArray[np.float16]
    results: NDArray[np.float16]


def program_streams(
    program: VectorProgram, rows: Mapping[str, NDArray[np.float16]], *, lanes: int = 64
) -> ProgramStreams:
    """Streams of a program on rows ``[channels]``.

    A row that one step writes and a later step reads is computed by the software twin. It equals the circuit's row if
    the circuit's results are as expected, step by step.
    """
    state = VectorState()
    vectors = {name: as_vectors(row, lanes) for name, row in rows.items()}
    none = np.zeros((0, lanes), np.float16)
    left, right, results = [none], [none], [none]
    for step in program.steps:
        operands = [vectors[name] if name else none for name in (step.left, step.right)]
        result = state.execute(step.command, *operands, lanes=lanes)
        left.append(operands[0])
        right.append(operands[1])
        results.append(result)
        if step.result:
            vectors[step.result] = result
    commands = [step.command for step in program.steps]
    return ProgramStreams(commands, np.concatenate(left), np.concatenate(right), np.concatenate(results))
