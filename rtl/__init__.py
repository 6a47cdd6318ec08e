"""The circuits, in Amaranth, with testbenches and Verilog output."""

from .bpc import BpcLane
from .pe import AndaPE
from .simulate import run_streams, run_vectors
from .streams import StalledError, StreamRun, Transfers
from .testbench import BpcRun, PeRun, TraceComparison, compare_trace, run_bpc_lane, run_pe
from .verilog import create_design, design_names, to_verilog

__all__ = [
    "AndaPE",
    "BpcLane",
    "BpcRun",
    "PeRun",
    "StalledError",
    "StreamRun",
    "TraceComparison",
    "Transfers",
    "compare_trace",
    "create_design",
    "design_names",
    "run_bpc_lane",
    "run_pe",
    "run_streams",
    "run_vectors",
    "to_verilog",
]
