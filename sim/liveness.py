"""Which rows of the buffers a program still needs: from the instruction that writes them to the last that reads them."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..formats import latency
from ..formats.accelerator import Buffer, Instruction, Machine, Opcode
from ..formats.accelerator.instructions import reads

Rows = tuple[Buffer, int, int]
"""A buffer, the first of its rows, and their number."""


class Stay(NamedTuple):
    """Rows of a buffer that stay as long as each other."""

    buffer: Buffer
    rows: int
    written: int
    """The instruction that writes them, by its place in the program."""
    used: int
    """The last instruction that reads them; if there is none, the one that writes them."""


def stays(machine: Machine, program: Sequence[Instruction]) -> Iterator[Stay]:
    """All rows that a program writes, each as often as it is written."""
    depths = {buffer: machine.depth(buffer) for buffer in Buffer}
    # of each row the instruction that wrote it and the last one that read it; -1 if there is none
    written, used = ({buffer: np.full(depth, -1) for buffer, depth in depths.items()} for _ in range(2))
    for index, instruction in enumerate(program):
        for buffer, first, count in rows_read(machine, instruction):
            used[buffer][first : first + count] = index
        for buffer, first, count in rows_written(machine, instruction):
            rows = slice(first, first + count)
            yield from _ended(buffer, written[buffer][rows], used[buffer][rows])
            written[buffer][rows] = used[buffer][rows] = index
    for buffer in Buffer:
        yield from _ended(buffer, written[buffer], used[buffer])


def _ended(buffer: Buffer, written: NDArray[np.int_], used: NDArray[np.int_]) -> Iterator[Stay]:
    pairs, counts = np.unique(np.stack([written, used]), axis=1, return_counts=True)
    for writer, user, count in zip(*pairs.tolist(), counts.tolist(), strict=True):
        if writer >= 0:
            yield Stay(buffer, count, writer, user)


def rows_read(machine: Machine, instruction: Instruction) -> list[Rows]:
    """What an instruction reads on chip."""
    match instruction.opcode:
        case Opcode.GEMM:
            groups, blocks = instruction["groups"], instruction["blocks"]
            tiles = instruction["output_groups"] * machine.tiles
            factors = -(-groups // instruction["groups_per_factor"])
            return [
                (Buffer.PLANES, instruction["planes"], blocks * groups * (instruction["mantissa_bits"] + 1)),
                (Buffer.EXPONENTS, instruction["exponents"], blocks * groups),
                (Buffer.WEIGHTS, instruction["weights"], tiles * groups * latency.WEIGHT_LOAD_CYCLES),
                (Buffer.FACTORS, instruction["factors"], tiles * factors),
            ]
        case Opcode.COMPRESS:
            return [(Buffer.RESULTS, instruction["results"], instruction["blocks"] * machine.rows)]
        case Opcode.VECTOR:
            operands = zip(("left", "right"), reads(instruction), strict=True)
            return [row for name, read in operands if read for row in _vectors(instruction, name)]
        case Opcode.STORE:
            return [(Buffer(instruction["buffer"]), instruction["address"], instruction["count"])]
        case _:
            return []


def rows_written(machine: Machine, instruction: Instruction) -> list[Rows]:
    """What an instruction writes on chip."""
    match instruction.opcode:
        case Opcode.LOAD:
            return [(Buffer(instruction["buffer"]), instruction["address"], instruction["count"])]
        case Opcode.GEMM:
            rows = instruction["blocks"] * instruction["output_groups"] * machine.rows
            return [(Buffer.RESULTS, instruction["results"], rows)]
        case Opcode.COMPRESS:
            planes, blocks = instruction["mantissa_bits"] + 1, range(instruction["blocks"])
            strides = [block * instruction["stride"] for block in blocks]
            return [
                *((Buffer.PLANES, instruction["planes"] + stride * planes, planes) for stride in strides),
                *((Buffer.EXPONENTS, instruction["exponents"] + stride, 1) for stride in strides),
            ]
        case Opcode.VECTOR:
            return [] if instruction["to_scalar"] else _vectors(instruction, "result")
        case _:
            return []


def _vectors(instruction: Instruction, field: str) -> list[Rows]:
    """The rows that a vector instruction walks over."""
    return [
        (Buffer.RESULTS, instruction[field] + index * instruction["stride"], 1)
        for index in range(instruction["vectors"])
    ]
