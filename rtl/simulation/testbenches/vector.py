"""Runs the vector unit's commands and programs."""

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
    """What a `VectorUnit` computed.

    Attributes
    ----------
    results : float16 ``[vectors, lanes]``
        Of all commands, one after the other.
    saturated : `bool`
        The sticky flag.
    command_cycles : `list[int]`
        In which cycle each command was done.
    left_cycles, result_cycles : `list[int]`
        In which cycle each left vector was taken, each vector of results sent.
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
    """Run commands on operand vectors ``[vectors, lanes]``, those that all commands take, one after the other.

    `pauses` may name ``command``, ``left``, ``right`` and ``results``.
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
    """A program on one row, as the unit's streams: what each step takes, and what it must send."""

    commands: list[VectorCommand]
    left: NDArray[np.float16]
    right: NDArray[np.float16]
    results: NDArray[np.float16]


def program_streams(
    program: VectorProgram, rows: Mapping[str, NDArray[np.float16]], *, lanes: int = 64
) -> ProgramStreams:
    """Streams of a program on rows ``[channels]``.

    Rows that steps write and later steps read are those of the software twin: they are the circuit's own if its results
    are equal, step by step.
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
