"""Options of `capture_trace`, `trace_info`, `trace_planes` and `compare_formats`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from .option import Option
from .parse import integers, mantissa_range
from .precision import BackendOptions, Text

if TYPE_CHECKING:
    from ...formats.activations.registry import ActivationFormat
    from ...workloads import LanguageModel, Trace


@dataclass(frozen=True, kw_only=True)
class CaptureOptions(BackendOptions):
    """Options of `capture_trace`."""

    out: Annotated[str | Path, Option("A new .safetensors file; with hf a folder.", metavar="FILE|DIR")]
    model: Annotated[
        "str | Path | LanguageModel | None", Option("The model to run; smollm2-135m if neither model nor hf is given.")
    ] = None
    hf: Annotated[
        str | Path | None,
        Option("Folder of a Hugging Face checkpoint instead of a model: LLaMA, Mistral or OPT.", metavar="DIR"),
    ] = None
    layers: Annotated[
        Sequence[int] | None,
        Option(
            "Layers to keep; three of them without this option, all with hf.",
            metavar="I,J,…",
            parse=partial(integers, "0,11,29"),
        ),
    ] = None
    tokens: Annotated[int, Option("Tokens to run; with hf, in each block.", unit="tokens")] = 64
    blocks: Annotated[int | None, Option("Blocks to run, with hf only; 1 without this option.", unit="blocks")] = None
    group_size: Annotated[int | None, Option("Weights that share a scale, with hf only; 128 without this option.")] = (
        None
    )
    text: Text = "wiki"
    split: Annotated[str, Option("Articles of the text: calibration or heldout.")] = "calibration"
    on_layer: Annotated[
        Callable[[int, int], None] | None,
        Option("With hf, called with the number of finished layers and of all.", on_command_line=False),
    ] = None


@dataclass(frozen=True, kw_only=True)
class TraceOptions:
    """Options of `trace_info`."""

    trace: Annotated[
        "str | Path | Trace", Option("A captured trace: a file or a folder.", argument=True, metavar="FILE")
    ]


@dataclass(frozen=True, kw_only=True)
class PlaneOptions(TraceOptions):
    """Options of `trace_planes`."""

    m: Annotated[
        int | Sequence[int],
        Option("Mantissa widths.", unit="bits", metavar="A-B", parse=partial(mantissa_range, "4-13")),
    ] = range(4, 14)
    rows: Annotated[
        int | Sequence[int],
        Option(
            "Numbers of tokens in a block; a plane is skipped if it is zero in all of them.",
            unit="tokens",
            metavar="I,J,…",
            parse=partial(integers, "1,16"),
        ),
    ] = (1, 16)
    by_layer: Annotated[bool, Option("Show each captured layer, with its share of zero bits.")] = False


@dataclass(frozen=True, kw_only=True)
class ComparisonOptions:
    """Options of `compare_formats`."""

    trace: Annotated[
        "str | Path | Trace | None",
        Option("A captured trace, or a folder of several, for the signal-to-noise ratio.", metavar="FILE|DIR"),
    ] = None
    machine: Annotated[
        bool, Option("All formats on one array: loss of perplexity, bits, cycles, DRAM traffic and energy.")
    ] = False
    activations: Annotated[
        Sequence[str] | None,
        Option(
            'A format to compare, such as "fast mantissa_bits=2"; all registered formats without it.',
            repeat=True,
            metavar='"NAME KEY=VALUE …"',
        ),
    ] = None
    arch: Annotated[str | Path, Option("With machine: the architecture, by name or YAML file.")] = "anda"
    model: Annotated[str, Option("With machine: the model that is evaluated and simulated.")] = "smollm2-135m"
    blocks: Annotated[int, Option("With machine: blocks of text for the loss.", unit="blocks")] = 4
    tokens: Annotated[int, Option("With machine: length of a block.", unit="tokens")] = 256
    formats: Annotated[
        "Sequence[ActivationFormat] | None",
        Option("Formats to compare; all registered formats without it.", on_command_line=False),
    ] = None
