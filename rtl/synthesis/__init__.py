"""Synthesis of the circuits: area, timing and energy from gate netlists in a technology library."""

from .allowance import with_allowances
from .cells import CellLibrary
from .measure import NetlistMismatchError
from .operands import Operands, load_operands
from .report import all_designs, find_library, gate_files, records, synthesize, write_report

__all__ = [
    "CellLibrary",
    "NetlistMismatchError",
    "Operands",
    "all_designs",
    "find_library",
    "gate_files",
    "load_operands",
    "records",
    "synthesize",
    "with_allowances",
    "write_report",
]
