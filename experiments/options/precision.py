"""Options of `search` and `study`."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

from .option import Option
from .parse import integers, mantissa_range, words

if TYPE_CHECKING:
    from ...formats.options import GroupSum, Shortening
    from ...sim.cost.objective import Objective
    from ...workloads import LanguageModel

Text: TypeAlias = Annotated[str | Path, Option("Text to evaluate: wiki, brown or a text file.")]
BlockTokens: TypeAlias = Annotated[int, Option("Length of a block of text.", unit="tokens")]
DaskAddress: TypeAlias = Annotated[
    str | None,
    Option(
        "A Dask scheduler, whose workers evaluate the blocks; they need the same program and model.", metavar="ADDRESS"
    ),
]
Backend: TypeAlias = Annotated[str, Option("Library that runs the model: numpy or torch.")]


@dataclass(frozen=True, kw_only=True)
class BackendOptions:
    """Options of the library that runs a model."""

    backend: Annotated[
        str,
        Option(
            "Library that runs the model: numpy, torch, or transformers for any AutoModelForCausalLM, with the weights as they "
            "are in the checkpoint."
        ),
    ] = "numpy"
    device: Annotated[
        str, Option("With transformers: auto (cuda, mps or cpu, the first there is), cpu, cuda or mps.")
    ] = "auto"
    dtype: Annotated[
        str,
        Option("With transformers: auto (the checkpoint's on a GPU, float32 on a CPU), float16, bfloat16 or float32."),
    ] = "auto"
    device_map: Annotated[
        str | None, Option("With transformers: auto spreads the model over all GPUs and the CPU.", metavar="auto")
    ] = None
    modules: Annotated[
        Sequence[str] | None,
        Option(
            "With transformers: module (qkv, o, u, d, or none for untouched) of the linear layers whose name ends in a "
            "pattern; comes before the usual ones.",
            repeat=True,
            metavar="MODULE=PATTERN",
        ),
    ] = None


@dataclass(frozen=True, kw_only=True)
class SearchOptions(BackendOptions):
    """Options of `search`."""

    model: Annotated["str | Path | LanguageModel", Option("A fetched model, a checkpoint folder or a GGUF file.")] = (
        "smollm2-135m"
    )
    tolerance: Annotated[float, Option("Largest relative increase of the perplexity, such as 0.01 for 1 %.")] = 0.01
    tolerance_on: Annotated[
        str,
        Option(
            "Measure that the tolerance limits: loss; tempered (loss after a fitted temperature); kl (KL divergence from "
            "FP16, nats); top1 (share of changed most likely tokens)."
        ),
    ] = "loss"
    accept: Annotated[
        str, Option("Accept a step by its bound (loss + standard error), or by its measured loss, as published.")
    ] = "bound"
    text: Text = "wiki"
    second_text: Annotated[
        str | Path | None, Option("A second text on which the loss must be within the tolerance, too.")
    ] = None
    blocks: Annotated[int, Option("Largest number of blocks per split; an easy decision needs 8.", unit="blocks")] = 64
    tokens: BlockTokens = 512
    iterations: Annotated[int, Option("Largest number of precisions to evaluate, for each of the numerics.")] = 32
    objective: Annotated["Objective", Option("Cost to minimise: bops, or simulated energy or latency.")] = "bops"
    reconstruct: Annotated[
        "Shortening | Sequence[Shortening]",
        Option(
            "Value of a cut mantissa: truncate, midpoint or nearest; several are searched together.",
            metavar="R,…",
            parse=words,
        ),
    ] = ("truncate",)
    group_size: Annotated[
        int | Sequence[int],
        Option(
            "Values that share an exponent: 8 to 128; several sizes are searched together.",
            metavar="G,…",
            parse=functools.partial(integers, "32,64"),
        ),
    ] = (64,)
    partial: Annotated[
        "GroupSum | Sequence[GroupSum]",
        Option(
            "Type of a group's sum: float (fast), fp16 or fp32 (bit-exact); several are searched together.",
            metavar="P,…",
            parse=words,
        ),
    ] = ("float",)
    exhaustive: Annotated[
        Sequence[int] | None,
        Option(
            "Also find the optimum among these mantissa bits.",
            unit="bits",
            metavar="LO-HI",
            parse=functools.partial(mantissa_range, "4-8"),
        ),
    ] = None
    activations: Annotated[
        str | None,
        Option(
            'Also measure this format in place of Anda, on the same text and by the same rule: loss, cycles and energy, such as mxint8 or "my-format bits=6" of a plugin.',
            metavar='"NAME KEY=VALUE …"',
        ),
    ] = None
    per_layer: Annotated[bool, Option("Then find a precision for each layer.")] = False
    dask: DaskAddress = None
    on_step: Annotated[
        Callable[[Any], None] | None,
        Option("Called with each `StudyStep` when its loss is measured.", on_command_line=False),
    ] = None


@dataclass(frozen=True, kw_only=True)
class StudyOptions(BackendOptions):
    """Options of `study`."""

    name: Annotated[str, Option("fig5, fig6, fig7, table2, position or arithmetic.", argument=True, metavar="STUDY")]
    model: Annotated[
        "str | Path | LanguageModel | Sequence[str | Path | LanguageModel]",
        Option("A fetched model, a checkpoint folder or a GGUF file.", metavar="NAME", repeat=True),
    ] = ("smollm2-135m",)
    text: Text = "wiki"
    tokens: BlockTokens = 512
    blocks: Annotated[int, Option("Held-out blocks.", unit="blocks")] = 8
    dask: DaskAddress = None
