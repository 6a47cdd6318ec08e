"""The machine: timing, buffers, DRAM, energy and area."""

from .architecture import Architecture, architecture_names, load_architecture
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
    "simulate",
    "technology_names",
]
