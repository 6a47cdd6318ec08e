"""Bounds check: a program that touches rows outside the buffers is refused before it runs.

The circuit checks again, row by row, and stops with the flag `out_of_range`.
"""

from collections.abc import Mapping, Sequence

from ..errors import InputError
from ..latency.array import WEIGHT_LOAD_CYCLES
from .config import AcceleratorConfig
from .instructions import Buffer, Instruction, Opcode, reads


def extents(machine: AcceleratorConfig, instruction: Instruction) -> Mapping[str, tuple[Buffer, int]]:
    """Buffer of each address field, and the number of rows from there that the instruction touches or skips."""
    match instruction.opcode:
        case Opcode.LOAD | Opcode.STORE:
            return {"address": (Buffer(instruction["buffer"]), instruction["count"])}
        case Opcode.GEMM:
            return _gemm_extents(machine, instruction)
        case Opcode.COMPRESS:
            last_block, planes = (instruction["blocks"] - 1) * instruction["stride"], instruction["mantissa_bits"] + 1
            return {
                "results": (Buffer.RESULTS, instruction["blocks"] * machine.rows),
                "planes": (Buffer.PLANES, (last_block + 1) * planes),
                "exponents": (Buffer.EXPONENTS, last_block + 1),
            }
        case Opcode.VECTOR:
            left, right = reads(instruction)
            used = {"left": left, "right": right, "result": not instruction["to_scalar"]}
            rows = (instruction["vectors"] - 1) * instruction["stride"] + 1
            return {field: (Buffer.RESULTS, rows) for field, is_used in used.items() if is_used}
        case _:
            return {}


def _gemm_extents(machine: AcceleratorConfig, gemm: Instruction) -> Mapping[str, tuple[Buffer, int]]:
    groups = gemm["groups"]
    segments, tiles = gemm["blocks"] * groups, gemm["output_groups"] * machine.tiles
    return {
        "planes": (Buffer.PLANES, segments * (gemm["mantissa_bits"] + 1)),
        "exponents": (Buffer.EXPONENTS, segments),
        "weights": (Buffer.WEIGHTS, tiles * groups * WEIGHT_LOAD_CYCLES),
        "factors": (Buffer.FACTORS, tiles * -(-groups // gemm["groups_per_factor"])),
        "results": (Buffer.RESULTS, gemm["blocks"] * gemm["output_groups"] * machine.rows),
    }


def check_program(machine: AcceleratorConfig, instructions: Sequence[Instruction]) -> None:
    """Refuse a program that touches rows outside the buffers.

    Raises
    ------
    InputError
        An instruction touches a row that does not exist; the message gives its number, counted from 0.
    """
    for number, instruction in enumerate(instructions):
        for field, (buffer, rows) in extents(machine, instruction).items():
            end, depth = instruction[field] + rows, machine.depth(buffer)
            if end > depth:
                raise InputError(
                    f"{field}: instruction {number}, {instruction.opcode.name.lower()}, reaches row {end - 1} of "
                    f"{buffer.name.lower()}, the machine has {depth}; lower it, or choose a machine with more"
                )
