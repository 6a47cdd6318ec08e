"""The machine: timing, buffers, DRAM, energy and area.

The public names are loaded when they are first used, so that the command line knows the simulator's defaults at once.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .config.architecture import Architecture, architecture_names, load_architecture
    from .config.technology import Technology, load_technology, technology_names
    from .config.weights import load_weights, weight_format_names
    from .mapping.gemm_mapping import GemmMapping
    from .models.footprint import Footprint, check_capacity
    from .models.inference import InferenceResult, run_inference
    from .models.whole_model import ModelResult, run_model, run_model_gemms, simulate_model
    from .output.alternatives import MappingCost, mapping_costs
    from .output.explain import Explained, explain
    from .output.not_modelled import not_modelled
    from .processes.timeline import Timeline
    from .result import Energy, GemmRun, SimulationResult
    from .run import run_gemms, simulate
    from .settings import ModelSettings, Settings
    from .setup import Setup, prepare

__all__ = [
    "Architecture",
    "Energy",
    "Explained",
    "Footprint",
    "GemmMapping",
    "GemmRun",
    "InferenceResult",
    "MappingCost",
    "ModelResult",
    "ModelSettings",
    "Settings",
    "Setup",
    "SimulationResult",
    "Technology",
    "Timeline",
    "architecture_names",
    "check_capacity",
    "explain",
    "load_architecture",
    "load_technology",
    "load_weights",
    "mapping_costs",
    "not_modelled",
    "prepare",
    "run_gemms",
    "run_inference",
    "run_model",
    "run_model_gemms",
    "simulate",
    "simulate_model",
    "technology_names",
    "weight_format_names",
]

_MODULES = {
    "config.architecture": ("Architecture", "architecture_names", "load_architecture"),
    "config.technology": ("Technology", "load_technology", "technology_names"),
    "config.weights": ("load_weights", "weight_format_names"),
    "mapping.gemm_mapping": ("GemmMapping",),
    "models.footprint": ("Footprint", "check_capacity"),
    "models.inference": ("InferenceResult", "run_inference"),
    "models.whole_model": ("ModelResult", "run_model", "run_model_gemms", "simulate_model"),
    "output.alternatives": ("MappingCost", "mapping_costs"),
    "output.explain": ("Explained", "explain"),
    "output.not_modelled": ("not_modelled",),
    "processes.timeline": ("Timeline",),
    "result": ("Energy", "GemmRun", "SimulationResult"),
    "run": ("run_gemms", "simulate"),
    "settings": ("ModelSettings", "Settings"),
    "setup": ("Setup", "prepare"),
}


def __getattr__(name: str) -> Any:
    for module, names in _MODULES.items():
        if name in names:
            value = globals()[name] = getattr(import_module(f".{module}", __name__), name)
            return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
