"""Dimensions of a sweep: fields of its file that list values of an option of a point, and checks of these values."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, get_args

from pydantic import Field

from ....formats.checks import check_choice
from ....formats.named_format import NamedFormat
from ....sim.analytical.vector_work import check_vector_unit
from ....sim.config.kv_cache import KvCache
from ....sim.cost.objective import MAPPING_OBJECTIVES
from ....sim.mapping.mapping_rule import MappingRule
from ....sim.memory.hbm import load_memory
from ....sim.models.ends import head_weights
from ....sim.models.whole_model import VECTOR_TRAFFIC
from ....sim.settings import DramBackground, Level
from ....sim.settings import Settings as SimulationSettings
from ....workloads.models.gemms import PHASES, check_batch, check_tokens
from ...options.option import described
from ...options.sweep import PointOptions

OWN_WEIGHTS = "own"
"""In a sweep file: the weight or activation format of the architecture."""
SCOPES = {"gemms": False, "model": True}
"""Scopes of a sweep file; True if attention and vector unit are simulated too."""
OPTIONS = {field.name: field for field in described(PointOptions)}
"""Options of a point, by name."""
DIMENSIONS = {
    "phases": "phase",
    "tokens": "tokens",
    "contexts": "context",
    "batches": "batch",
    "prompts": "prompt",
    "generates": "generate",
    "levels": "level",
    "technologies": "technology",
    "objectives": "objective",
    "mappings": "mapping",
    "memories": "memory",
    "dram_background": "dram_background",
    "idle": "idle",
    "clock_gating": "clock_gating",
    "kv_caches": "kv_cache",
    "vector_unit": "vector_unit",
    "vector_traffic": "vector_traffic",
    "head": "head",
    "activations": "activations",
    "scopes": "whole",
    "formats": "format",
    "roundings": "rounding",
    "reconstructions": "reconstruct",
    "zero_planes": "zero_planes",
    "weights": "weights",
}
"""Fields of a sweep file that list the values of an option; others have names or values of their own."""
ANDA_DIMENSIONS = ("roundings", "reconstructions", "zero_planes")
"""Options of the Anda format, without effect elsewhere."""


CHECKS: dict[str, Callable[[Any], object]] = {
    "phases": partial(check_choice, "phases", choices=PHASES),
    "levels": partial(check_choice, "levels", choices=get_args(Level)),
    "objectives": partial(check_choice, "objectives", choices=MAPPING_OBJECTIVES),
    "tokens": partial(check_tokens, "tokens", lowest=1),
    "contexts": partial(check_tokens, "contexts", lowest=0),
    "prompts": lambda count: count is None or check_tokens("prompts", count, lowest=1),
    "generates": lambda count: count is None or check_tokens("generates", count, lowest=1),
    "batches": check_batch,
    "mappings": MappingRule.parse,
    "dram_background": partial(check_choice, "dram_background", choices=get_args(DramBackground)),
    "memories": lambda name: name == SimulationSettings.memory or load_memory(name),
    "kv_caches": KvCache.parse,
    "vector_unit": check_vector_unit,
    "vector_traffic": partial(check_choice, "vector_traffic", choices=VECTOR_TRAFFIC),
    "head": head_weights,
    "activations": lambda text: text == OWN_WEIGHTS or NamedFormat.read(text, "activations"),
}
"""Checks of the values of a field, by its name."""


def values_of(dimension: str) -> Any:
    """A field of a sweep file: the values of an option, by default its own default."""
    option = OPTIONS[DIMENSIONS[dimension]]
    return Field((option.default,), description=option.option.help)


def option_value(dimension: str, value: Any) -> Any:
    """An option's value from its value in a sweep file."""
    if dimension == "formats":
        return NamedFormat.parse(value)
    if dimension in ("weights", "activations"):
        return None if value == OWN_WEIGHTS else value
    return SCOPES[check_choice("scopes", value, SCOPES)] if dimension == "scopes" else value
