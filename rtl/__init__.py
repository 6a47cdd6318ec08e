"""The circuits, in Amaranth, with testbenches and Verilog output."""

from .accelerator.top import Accelerator
from .array.engine import MatrixEngine
from .array.mxu import MatrixUnit
from .compressor.bpc import BitPlaneCompressor, BpcLane
from .elements.anda_apu import AndaUnit
from .elements.anda_pe import AndaPE
from .simulation.simulate import run_streams, run_vectors
from .simulation.streams import StalledError, StreamRun, Transfers
from .simulation.testbenches.accelerator import AcceleratorRun, run_accelerator_program, run_accelerator_schedule
from .simulation.testbenches.array import MatrixRun, run_matrix_engine, run_matrix_unit
from .simulation.testbenches.elements import (
    BpcRun,
    PeRun,
    TraceComparison,
    compare_trace,
    run_bpc_lane,
    run_compressor,
    run_pe,
)
from .simulation.testbenches.vector import VectorRun, program_streams, run_vector_commands
from .vector.unit import VectorUnit
from .verilog.emit import create_design, design_names, to_verilog

__all__ = [
    "Accelerator",
    "AcceleratorRun",
    "AndaPE",
    "AndaUnit",
    "BitPlaneCompressor",
    "BpcLane",
    "BpcRun",
    "MatrixEngine",
    "MatrixRun",
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
    "run_accelerator_program",
    "run_accelerator_schedule",
    "run_bpc_lane",
    "run_compressor",
    "run_matrix_engine",
    "run_matrix_unit",
    "run_pe",
    "run_streams",
    "run_vector_commands",
    "run_vectors",
    "to_verilog",
]
