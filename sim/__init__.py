"""The machine: timing, buffers, DRAM, energy and area."""

from .architecture import Architecture, architecture_names, load_architecture
from .gemm_text import parse_gemm
from .result import Energy, GemmRun, SimulationResult
from .simulate import simulate
from .technology import Technology, load_technology, technology_names

__all__ = [
    "Architecture",
    "Energy",
    "GemmRun",
    "SimulationResult",
    "Technology",
    "architecture_names",
    "load_architecture",
    "load_technology",
    "parse_gemm",
    "simulate",
    "technology_names",
]
