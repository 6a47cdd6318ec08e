"""The circuits, in Amaranth, with testbenches and Verilog output."""

from .accelerator import Accelerator
from .accelerator_testbench import AcceleratorRun, run_program, run_schedule
from .apu import AndaUnit
from .bpc import BitPlaneCompressor, BpcLane
from .engine import MatrixEngine
from .gemm_testbench import GemmRun, run_matrix_engine, run_matrix_unit
from .mxu import MatrixUnit
from .pe import AndaPE
from .simulate import run_streams, run_vectors
from .streams import StalledError, StreamRun, Transfers
from .testbench import BpcRun, PeRun, TraceComparison, compare_trace, run_bpc_lane, run_compressor, run_pe
from .vector import VectorUnit
from .vector_testbench import VectorRun, program_streams, run_vector_commands
from .verilog import create_design, design_names, to_verilog

__all__ = [
    "Accelerator",
    "AcceleratorRun",
    "AndaPE",
    "AndaUnit",
    "BitPlaneCompressor",
    "BpcLane",
    "BpcRun",
    "GemmRun",
    "MatrixEngine",
    "MatrixUnit",
    "PeRun",
    "StalledError",
    "StreamRun",
    "TraceComparison",
    "Transfers",
    "VectorRun",
    "VectorUnit",
    "compare_trace",
    "create_design",
    "design_names",
    "program_streams",
    "run_bpc_lane",
    "run_compressor",
    "run_matrix_engine",
    "run_matrix_unit",
    "run_pe",
    "run_program",
    "run_schedule",
    "run_streams",
    "run_vector_commands",
    "run_vectors",
    "to_verilog",
]
