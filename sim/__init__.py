"""The machine: timing, buffers, DRAM, energy and area."""

from .architecture import Architecture, architecture_names, load_architecture
from .explain import Explained, explain
from .gemm_text import parse_gemm
from .limits import not_modelled
from .model import ModelResult, simulate_model
from .result import Energy, GemmRun, SimulationResult
from .simulate import simulate
from .technology import Technology, load_technology, technology_names
from .timeline import Timeline
from .weights import load_weights, weight_format_names

__all__ = [
    "Architecture",
    "Energy",
    "Explained",
    "GemmRun",
    "ModelResult",
    "SimulationResult",
    "Technology",
    "Timeline",
    "architecture_names",
    "explain",
    "load_architecture",
    "load_technology",
    "load_weights",
    "not_modelled",
    "parse_gemm",
    "simulate",
    "simulate_model",
    "technology_names",
    "weight_format_names",
]
