"""Facts that the accelerator's circuit, timing model and host share: size, instructions, memory image, schedule."""

from .assembler import assemble, disassemble
from .bounds_check import check_program
from .compiler import Layer, Schedule, schedule
from .config import AcceleratorConfig
from .instructions import Buffer, Instruction, Opcode, Unit
from .memory_image import compile_gemms, program_planes, read_outputs, read_tensor

__all__ = [
    "AcceleratorConfig",
    "Buffer",
    "Instruction",
    "Layer",
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
