"""Options of `report`, `reproduce` and `quantize`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from .option import Option
from .precision import Backend, BackendOptions, BlockTokens, DaskAddress

if TYPE_CHECKING:
    from ...formats import WeightQuantizer
    from ...formats.activations.base import ActivationFormat
    from ...workloads import Decoder, LanguageModel


@dataclass(frozen=True, kw_only=True)
class ReportOptions(BackendOptions):
    """Options of `report`."""

    out: Annotated[str | Path, Option("A new or empty folder.", metavar="DIR")]
    model: Annotated["str | Path | LanguageModel", Option("A fetched model, a checkpoint folder or a GGUF file.")] = (
        "smollm2-135m"
    )
    blocks: Annotated[int, Option("Blocks of text: more take longer and decide more.", unit="blocks")] = 12
    tokens: Annotated[int, Option("Length of a block of text; fewer for a model of short context.", unit="tokens")] = (
        512
    )
    activations: Annotated[
        "str | ActivationFormat | Sequence[str | ActivationFormat] | None",
        Option(
            "A format beside Anda's, such as mxint8 or \"my-format bits=6\" of a plugin: its loss, and Anda's machine with it.",
            repeat=True,
            metavar='"NAME KEY=VALUE …"',
        ),
    ] = None
    dask: DaskAddress = None


@dataclass(frozen=True, kw_only=True)
class ReproductionOptions:
    """Options of `reproduce`."""

    figure: Annotated[
        str, Option("fig2, …, table3; machine (no model needed); all.", argument=True, metavar="FIGURE|all")
    ]
    out: Annotated[
        str | Path | None, Option("Folder for the plots; those of an earlier run are replaced.", metavar="DIR")
    ] = "reproduced"
    precisions: Annotated[
        str | Path | None, Option("YAML file of precisions of further data sets.", metavar="FILE")
    ] = None
    model: Annotated[
        "str | Sequence[str] | None",
        Option("A model to evaluate; the built-in models without it.", repeat=True),
    ] = None
    blocks: Annotated[int, Option("Largest number of blocks of 512 tokens in an evaluation.", unit="blocks")] = 8
    backend: Backend = "numpy"
    scoreboard: Annotated[
        str | Path | None, Option("File for the page of all and machine [DIR/scoreboard.md].", metavar="FILE")
    ] = None
    fresh: Annotated[bool, Option("Compute results again instead of reading the cache.")] = False
    on_result: Annotated[
        Callable[[Any], None] | None,
        Option("Called with each `FigureResult` when it is compared.", on_command_line=False),
    ] = None


@dataclass(frozen=True, kw_only=True)
class QuantizationOptions(BackendOptions):
    """Options of `quantize`."""

    method: Annotated[
        "str | WeightQuantizer | Sequence[str | WeightQuantizer]",
        Option(
            "rtn, q4_1, q8_0, gptq, kmeans, squeezellm, spqr or illm, as in spqr:group_size=8,threshold=0.5.",
            metavar="NAME[:PARAMETER=VALUE,…]",
            repeat=True,
        ),
    ]
    model: Annotated["str | Path | Decoder", Option("A fetched model, a checkpoint folder or a GGUF file.")] = (
        "smollm2-135m"
    )
    bits: Annotated[list[int] | None, Option("Width of a code.", unit="bits", metavar="BITS")] = None
    out: Annotated[str | Path | None, Option("A new folder for the weights.", metavar="DIR")] = None
    blocks: Annotated[int, Option("Held-out blocks for the perplexity.", unit="blocks")] = 16
    calibration_blocks: Annotated[int, Option("Blocks for Hessians.", unit="blocks")] = 24
    fisher_blocks: Annotated[int, Option("Blocks for Fisher information.", unit="blocks")] = 12
    tokens: BlockTokens = 512
    sink_weight: Annotated[
        float, Option("Weight of a block's first token in the Hessians of q, k and v; other tokens have weight 1.")
    ] = 128
