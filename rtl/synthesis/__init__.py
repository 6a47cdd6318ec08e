"""Synthesis of the circuits: area, timing and energy from gate netlists in a technology library."""

from .allowance import with_allowances
from .liberty.cells import CellLibrary
from .measure import NetlistMismatchError
from .report import all_designs, find_library, gate_files, records, synthesize, synthesize_element, write_report
from .stimuli.operands import Operands, load_operands

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
    "synthesize_element",
    "with_allowances",
    "write_report",
]
