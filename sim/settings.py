"""Settings of a run: how the machine is timed and priced, and which pass of a model runs.

Fields take names, paths and texts as well as objects; `setup.prepare` checks and loads them. This module imports no other room, so
that the command line knows the defaults before it needs the simulator.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Concatenate, Literal, ParamSpec, TypeAlias, TypeVar

from .config.defaults import DEFAULT_TECHNOLOGY
from .config.idle import Idle
from .cost.objective import Objective

if TYPE_CHECKING:
    from pathlib import Path

    from ..formats.named_format import GivenFormat
    from ..workloads import Precision
    from .config.architecture import Architecture
    from .config.array import DataflowName
    from .config.kv_cache import KvCache
    from .config.technology import Technology
    from .config.weights import WeightConfig
    from .mapping.gemm_mapping import GemmMapping, PartialSums
    from .mapping.mapping_rule import MappingRule
    from .memory.hbm import Memory
    from .processes.timeline import Timeline

P = ParamSpec("P")
S = TypeVar("S")
Work = TypeVar("Work")
Result = TypeVar("Result")

DramBackground: TypeAlias = Literal["auto", "off", "on"]
"""Count the DRAM's standby and refresh: where a memory with currents is chosen, never, or always."""

Level: TypeAlias = Literal["analytical", "events", "cycle"]
"""Formulas; processes that wait for each other; the program of Anda's circuit, in its cycles."""


@dataclass(frozen=True)
class Settings:
    """How a machine is timed and priced.

    Attributes
    ----------
    level
        ``"analytical"``: formulas that assume perfect overlap. ``"events"``: processes that wait for each other.
        ``"cycle"``: the program of Anda's circuit, cycle for cycle, with the circuit's own mapping and memory.
    technology
        Areas, powers and DRAM: a name, the path of a YAML file, or an object.
    objective
        Quantity that the search for each GeMM's mapping minimises.
    mapping
        ``"best"`` of all legal mappings of each GeMM, ``"double-buffered"`` for the best of its double-buffered tiles,
        ``"model"`` for one token tile of all GeMMs, or the mapping itself: ``"activations:32"`` (`MappingRule`) or the text of a
        `GemmMapping`.
    partial_sums
        ``"array"``, or ``"buffer"`` for FP32 partial sums that may go to the activation buffer; None for the architecture's own.
    array
        Rows and columns in place of the architecture's own: ``"1x256"``, or ``"16x16/1x256"`` for prefill and decode.
    dataflow
        What the elements hold: ``"output-stationary"``, ``"weight-stationary"`` or ``"input-stationary"``; None for the
        architecture's own.
    memory
        ``"flat"``: the technology's bandwidth. At level ``"events"`` also a memory with rows and refresh: a name, the path
        of a YAML file, or an object.
    idle
        Power of elements that hold no token, no output channel or no input channel while the array works, and of a waiting
        array. ``"measured"``: clock pins and leakage of our gates, as ratios in the technology. ``"full"``: elements
        without operands take the power of work, as published; a waiting array takes the measured one. ``"zero"``: none.
    clock_gating
        Idle elements have no clock, so that only leakage is left.
    dram_background
        ``"on"`` adds the DRAM's standby and refresh: those of `memory`, or with ``"flat"`` those of the memory that the
        technology names. ``"auto"`` does so for a memory with currents, but not for ``"flat"``, the published figures.
    weights
        A weight format in place of the architecture's own: a name, the path of a YAML file, or an object.
    group_cycles
        Mean cycles of a group by module where all-zero planes are skipped, as `formats.anda.plane_mask.mean_group_cycles`
        measures them on the activations; the masks are stored with these. None where no plane is skipped.
    activations
        An activation format in place of the architecture's own: a registered name with parameters, such as ``"mxint8"`` or
        ``"my-format bits=6"``, or an object.
    timeline
        Records the activity of the units, at levels ``"events"`` and ``"cycle"``; a GeMM that repeats is recorded once.
    """

    level: Level = "analytical"
    technology: str | Path | Technology = DEFAULT_TECHNOLOGY
    objective: Objective = "energy"
    mapping: str | GemmMapping | MappingRule = "best"
    partial_sums: PartialSums | None = None
    array: str | None = None
    dataflow: DataflowName | None = None
    memory: str | Path | Memory = "flat"
    idle: Idle = "measured"
    clock_gating: bool = False
    dram_background: DramBackground = "auto"
    weights: str | Path | WeightConfig | None = None
    group_cycles: Mapping[str, float] | None = None
    activations: GivenFormat | None = None
    timeline: Timeline | None = None


@dataclass(frozen=True)
class ModelSettings(Settings):
    """How a machine is timed and priced, and the pass through a whole model.

    Attributes
    ----------
    phase
        ``"prefill"`` is one pass over `tokens`; ``"decode"`` is `tokens` steps of one token.
    tokens
        Tokens of each sequence.
    context
        Tokens of each sequence that are cached already.
    batch
        Sequences that run together.
    kv_cache
        Format of keys and values, and so of the attention: ``"fp16"``, ``"anda:M"`` with M mantissa bits, or another activation
        format with its parameters.
    vector_unit
        ``"fp16"``, or ``"integer"``: the operators of I-LLM, without floating point.
    vector_traffic
        ``"dram"`` if the vector unit's operands and the residual stream come from DRAM and go back to it, as those of the GeMMs;
        ``"none"`` leaves this traffic out, as the Anda paper does.
    head
        Weight format of the language-model head: a name, the path of a YAML file, or an object. ``"none"`` leaves out embedding,
        final norm and head, as the Anda paper does.
    """

    _: KW_ONLY
    phase: str = "prefill"
    tokens: int = 2048
    context: int = 0
    batch: int = 1
    kv_cache: str | KvCache = "fp16"
    vector_unit: str = "fp16"
    vector_traffic: str = "dram"
    head: str | Path | WeightConfig = "fp16"


def with_settings(
    settings: Callable[P, S],
) -> Callable[
    [Callable[[Work, str | Path | Architecture, Precision, S], Result]],
    Callable[Concatenate[Work, str | Path | Architecture, Precision, P], Result],
]:
    """Let a function of work, architecture, precision and settings take the fields of the settings as arguments."""

    def make(
        run: Callable[[Work, str | Path | Architecture, Precision, S], Result],
    ) -> Callable[Concatenate[Work, str | Path | Architecture, Precision, P], Result]:
        @functools.wraps(run)
        def ask(
            work: Work, architecture: str | Path | Architecture, precision: Precision, *args: P.args, **kwargs: P.kwargs
        ) -> Result:
            return run(work, architecture, precision, settings(*args, **kwargs))

        return ask

    return make
