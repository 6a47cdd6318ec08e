"""Which rows of the buffers a program still needs: from the instruction that writes them to the last that reads them."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...formats.accelerator import AcceleratorConfig, Buffer, Instruction, Opcode
from ...formats.accelerator.bounds_check import extents

Rows = tuple[Buffer, int, int]
"""A buffer, the first of its rows, and their number."""

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
"""Fields with the addresses of what each instruction reads, and writes."""


class Stay(NamedTuple):
    """Rows of a buffer that stay as long as each other."""

    buffer: Buffer
    rows: int
    written: int
    """The instruction that writes them, by its place in the program."""
    used: int
    """The last instruction that reads them; if there is none, the one that writes them."""


def stays(machine: AcceleratorConfig, program: Sequence[Instruction]) -> Iterator[Stay]:
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


def rows_read(machine: AcceleratorConfig, instruction: Instruction) -> list[Rows]:
    """What an instruction reads on chip."""
    return _rows(machine, instruction, _READ)


def rows_written(machine: AcceleratorConfig, instruction: Instruction) -> list[Rows]:
    """What an instruction writes on chip."""
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
    """Rows that lie together, and rows from there to the next that do; None if all lie together."""
    if instruction.opcode == Opcode.VECTOR:
        return 1, instruction["stride"]
    if instruction.opcode == Opcode.COMPRESS and field != "results":
        piece = instruction["mantissa_bits"] + 1 if field == "planes" else 1
        return piece, piece * instruction["stride"]
    return None
