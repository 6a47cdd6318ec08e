"""Options of `simulate`, `simulate_gemm` and `explain`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

from ...sim.config.idle import Idle
from ...sim.settings import DramBackground, Level, ModelSettings, Settings
from .option import Option

if TYPE_CHECKING:
    from ...formats.activations.base import ActivationFormat
    from ...formats.named_format import NamedFormat
    from ...sim import Architecture, Technology
    from ...sim.config.array import DataflowName
    from ...sim.config.kv_cache import KvCache
    from ...sim.config.weights import WeightConfig
    from ...sim.cost.objective import Objective
    from ...sim.mapping.gemm_mapping import GemmMapping, PartialSums
    from ...sim.mapping.mapping_rule import MappingRule
    from ...sim.memory.hbm import Memory
    from ...workloads import Gemm, ModelShape, Precision

Model: TypeAlias = Annotated[
    "str | Path | ModelShape",
    Option("A model of `anda models`, a YAML file, a folder with config.json, or a GGUF file."),
]
GemmSize: TypeAlias = Annotated[
    "str | Gemm",
    Option("A single GeMM: tokens, input and output channels, such as 2048x4096x4096.", metavar="TxKxN"),
]
TimelineFile: TypeAlias = Annotated[
    str | Path | None,
    Option("At levels events and cycle: a new file for what the units do, which Perfetto shows.", metavar="FILE"),
]


def _group_cycles(_: str, text: str) -> dict[str, float]:
    """Read ``7.2,5.9,6.4,6.1``: the mean cycles of a group in qkv, o, u and d."""
    from ...formats import InputError
    from ...workloads import MODULES

    try:
        return dict(zip(MODULES, map(float, text.split(",")), strict=True))
    except ValueError:
        raise InputError(
            f"group_cycles: {text!r} is not four numbers; give the mean cycles of qkv, o, u and d, such as 7.2,5.9,6.4,6.1"
        ) from None


@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """Options of `describe_model`."""

    model: Annotated[
        "str | Path | ModelShape",
        Option(
            "A model of `anda models`, a YAML file, a folder with config.json, or a GGUF file.",
            argument=True,
            metavar="MODEL",
        ),
    ]


@dataclass(frozen=True, kw_only=True)
class MachineOptions:
    """The machine that computes, and how it is timed."""

    arch: Annotated[
        "str | Path | Architecture",
        Option("An architecture of `anda archs`, or a YAML file.", metavar="NAME,…"),
    ] = "anda"
    precision: Annotated[
        "str | Path | int | Sequence[int] | Sequence[Sequence[int]] | Precision | None",
        Option(
            "Mantissa bits of the activations that enter qkv, o, u and d, such as 7,5,6,6, one number for all, or a JSON or YAML file "
            "with one precision a layer; the architecture's default without it.",
            unit="bits",
            metavar="QKV,O,U,D|FILE",
        ),
    ] = None
    level: Annotated[
        Level,
        Option(
            "analytical (formulas, perfect overlap), events (processes that wait for each other, any machine) or cycle "
            "(the program of Anda's circuit, cycle for cycle)."
        ),
    ] = Settings.level
    technology: Annotated["str | Path | Technology", Option("Energy and area constants: a name or a YAML file.")] = (
        Settings.technology
    )
    objective: Annotated[
        "Objective", Option("What the search for mappings minimises: energy, latency, edp or dram.")
    ] = Settings.objective
    mapping: Annotated[
        "str | GemmMapping | MappingRule",
        Option(
            "best (of all legal mappings), double-buffered (the best of the largest double-buffered tiles), model (one token tile "
            "for all GeMMs), or a mapping, as it is printed: activations:128x4096x64:single/double:array; short: activations:32; or one of "
            "these for some modules: qkv=activations:32,d=nothing. The head takes its best."
        ),
    ] = Settings.mapping
    partial_sums: Annotated[
        "PartialSums | None",
        Option(
            "array, or buffer: FP32 partial sums may go to the activation buffer and back; the architecture's own without it."
        ),
    ] = Settings.partial_sums
    array: Annotated[
        str | None,
        Option(
            "Rows and columns of the array, such as 1x256, or of both phases: 16x16/1x256; the architecture's own without it.",
            metavar="ROWSxCOLUMNS",
        ),
    ] = Settings.array
    dataflow: Annotated[
        "DataflowName | None",
        Option(
            "What the elements hold: output-stationary, weight-stationary or input-stationary (not at level cycle); the architecture's "
            "own without it."
        ),
    ] = Settings.dataflow
    memory: Annotated[
        "str | Path | Memory",
        Option("flat, or at level events hbm2, lpddr5, ddr5 or a YAML file: rows, refresh, turnaround."),
    ] = Settings.memory
    idle: Annotated[
        Idle,
        Option(
            "Power of elements without operands and of a waiting array: measured (clock pins and leakage of our gates), full "
            "(as at work, as published) or zero."
        ),
    ] = Settings.idle
    clock_gating: Annotated[
        bool, Option("Idle elements have no clock: only leakage is left (with idle full: a waiting array).")
    ] = Settings.clock_gating
    dram_background: Annotated[
        DramBackground,
        Option(
            "Count DRAM standby and refresh: on, off, or auto (where a memory with currents is chosen, not with flat)."
        ),
    ] = Settings.dram_background
    weights: Annotated[
        "str | Path | WeightConfig | None",
        Option(
            "Weight format: int4, int8, int3, fp16, spqr-3, squeezellm-3, … or a YAML file, or a method of ours or of a plugin with its "
            'parameters, such as "gptq bits=3"; the architecture\'s own without it.'
        ),
    ] = None
    activations: Annotated[
        "str | NamedFormat | ActivationFormat | None",
        Option(
            'Activation format in memory: anda, fp16, mxint8, "fast mantissa_bits=2", or one of a plugin with its parameters; '
            "the architecture's own without it.",
            metavar='"NAME KEY=VALUE …"',
        ),
    ] = None
    midpoint: Annotated[bool, Option("Mantissas stand for the middle of their interval.")] = False
    group_cycles: Annotated[
        Mapping[str, float] | None,
        Option(
            "Mean cycles of a group in qkv, o, u and d where all-zero planes are skipped.",
            unit="cycles",
            metavar="QKV,O,U,D",
            parse=_group_cycles,
        ),
    ] = None


@dataclass(frozen=True, kw_only=True)
class PassOptions(MachineOptions):
    """A pass through a model."""

    whole: Annotated[bool, Option("Attention, vector unit, embedding and head too, not the FP-INT GeMMs alone.")] = (
        False
    )
    tokens: Annotated[int, Option("Tokens to process of each sequence.", unit="tokens")] = ModelSettings.tokens
    context: Annotated[
        int, Option("Tokens of each sequence whose keys and values are cached already.", unit="tokens")
    ] = ModelSettings.context
    batch: Annotated[
        int, Option("Sequences that run together and share each fetch of the weights.", unit="sequences")
    ] = ModelSettings.batch
    phase: Annotated[str, Option("prefill (one pass) or decode (a step a token).")] = ModelSettings.phase
    kv_cache: Annotated[
        "str | KvCache",
        Option(
            "Format of keys and values: fp16, anda:M with M mantissa bits, or another activation format; whole models only."
        ),
    ] = ModelSettings.kv_cache
    vector_unit: Annotated[str, Option("fp16, or integer (I-LLM); whole models only.")] = ModelSettings.vector_unit
    vector_traffic: Annotated[
        str,
        Option(
            "dram: the vector unit's operands and the residual stream come from DRAM and go back to it; none: not counted, as in the "
            "Anda paper; whole models only."
        ),
    ] = ModelSettings.vector_traffic
    head: Annotated[
        "str | Path | WeightConfig",
        Option(
            "Weight format of the language-model head, or none: neither embedding nor head, as in the Anda paper; whole models only."
        ),
    ] = ModelSettings.head
    prompt: Annotated[
        int | None,
        Option("A whole inference in place of one pass: tokens of each sequence's prompt.", unit="tokens"),
    ] = None
    generate: Annotated[int | None, Option("Tokens that each sequence generates after the prompt.", unit="tokens")] = (
        None
    )
    allow_overflow: Annotated[bool, Option("Run a whole model that the memory cannot hold, and note it.")] = False


@dataclass(frozen=True, kw_only=True)
class SimulationOptions(PassOptions):
    """Options of `simulate`."""

    model: Model
    timeline: TimelineFile = None


@dataclass(frozen=True, kw_only=True)
class GemmOptions(MachineOptions):
    """Options of `simulate_gemm`."""

    gemm: GemmSize
    timeline: TimelineFile = None


@dataclass(frozen=True, kw_only=True)
class ExplainOptions(PassOptions):
    """Options of `explain`: either a model or a single GeMM."""

    model: Model | None = None
    gemm: GemmSize | None = None
