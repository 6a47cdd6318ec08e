"""The machine: timing, buffers, DRAM, energy and area."""

from .config.architecture import Architecture, architecture_names, load_architecture
from .config.technology import Technology, load_technology, technology_names
from .config.weights import load_weights, weight_format_names
from .models.whole_model import ModelResult, simulate_model
from .output.explain import Explained, explain
from .output.not_modelled import not_modelled
from .processes.timeline import Timeline
from .result import Energy, GemmRun, SimulationResult
from .simulate import simulate

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
    "simulate",
    "simulate_model",
    "technology_names",
    "weight_format_names",
]
