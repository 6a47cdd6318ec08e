"""What the accelerator's circuit, its timing model and its host agree on: size, instructions, memory image, schedule."""

from .assembler import assemble, disassemble
from .extents import check_program
from .image import compile_gemms, program_planes, read_outputs, read_tensor
from .instructions import Buffer, Instruction, Opcode, Unit
from .machine import Machine
from .schedule import Layer, Schedule, schedule

__all__ = [
    "Buffer",
    "Instruction",
    "Layer",
    "Machine",
    "Opcode",
    "Schedule",
    "Unit",
    "assemble",
    "check_program",
    "compile_gemms",
    "disassemble",
    "program_planes",
    "read_outputs",
    "read_tensor",
    "schedule",
]
