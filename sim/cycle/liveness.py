"""Live ranges of buffer rows in a program: from the instruction that writes them to the last one that reads them."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...formats.accelerator import AcceleratorConfig, Buffer, Instruction, Opcode
from ...formats.accelerator.bounds_check import extents

Rows = tuple[Buffer, int, int]
"""A buffer, the first row and the number of rows."""

_READ = {
    Opcode.GEMM: ("planes", "exponents", "weights", "factors"),
    Opcode.COMPRESS: ("results",),
    Opcode.VECTOR: ("left", "right"),
    Opcode.STORE: ("address",),
}
_WRITTEN = {
    Opcode.LOAD: ("address",),
    Opcode.GEMM: ("results",),
    Opcode.COMPRESS: ("planes", "exponents"),
    Opcode.VECTOR: ("result",),
}
"""Address fields of the rows that each instruction reads and writes."""


class Stay(NamedTuple):
    """Rows of a buffer with the same live range."""

    buffer: Buffer
    rows: int
    written: int
    """Index of the instruction that writes them."""
    used: int
    """Index of the last instruction that reads them, or of the one that writes them if none does."""


def stays(machine: AcceleratorConfig, program: Sequence[Instruction]) -> Iterator[Stay]:
    """Live ranges of all rows that a program writes, one for each write."""
    depths = {buffer: machine.depth(buffer) for buffer in Buffer}
    # for each row, the instruction that wrote it and the last one that read it; -1 if none did
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


def rows_read(machine: AcceleratorConfig, instruction: Instruction) -> list[Rows]:
    """Buffer rows that an instruction reads."""
    return _rows(machine, instruction, _READ)


def rows_written(machine: AcceleratorConfig, instruction: Instruction) -> list[Rows]:
    """Buffer rows that an instruction writes."""
    return _rows(machine, instruction, _WRITTEN)


def _rows(machine: AcceleratorConfig, instruction: Instruction, fields: Mapping[Opcode, tuple[str, ...]]) -> list[Rows]:
    touched, of_opcode = extents(machine, instruction), fields.get(instruction.opcode, ())
    rows: list[Rows] = []
    for field in of_opcode:
        if field in touched:
            buffer, count = touched[field]
            piece, step = _stride(instruction, field) or (count, count)
            rows += [(buffer, instruction[field] + first, piece) for first in range(0, count, step)]
    return rows


def _stride(instruction: Instruction, field: str) -> tuple[int, int] | None:
    """Length of a contiguous piece of rows and distance to the next piece; None if all rows are contiguous."""
    if instruction.opcode == Opcode.VECTOR:
        return 1, instruction["stride"]
    if instruction.opcode == Opcode.COMPRESS and field != "results":
        piece = instruction["mantissa_bits"] + 1 if field == "planes" else 1
        return piece, piece * instruction["stride"]
    return None
