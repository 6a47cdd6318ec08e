"""Options of `evaluate_model`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from .option import Option
from .parse import words
from .precision import BackendOptions

if TYPE_CHECKING:
    from ...workloads import LanguageModel, Precision


@dataclass(frozen=True, kw_only=True)
class EvaluationOptions(BackendOptions):
    """Options of `evaluate_model`."""

    model: Annotated["str | Path | LanguageModel", Option("A fetched model, a checkpoint folder or a GGUF file.")]
    precision: Annotated[
        "int | str | Precision | Sequence[int] | None",
        Option(
            "Mantissa bits of qkv, o, u and d, or one for all; FP16 activations without it.",
            unit="bits",
            metavar="Q,O,U,D",
        ),
    ] = None
    tasks: Annotated[
        Sequence[str] | None,
        Option("Tasks of lm-evaluation-harness, such as piqa,hellaswag.", metavar="TASK,…", parse=words),
    ] = None
    task_path: Annotated[
        str | Path | None, Option("Folder of your own YAML tasks for lm-evaluation-harness.", metavar="DIR")
    ] = None
    limit: Annotated[int | None, Option("Most samples of a task; all without it.", unit="samples")] = None
    protocol: Annotated[
        str | None,
        Option("Perplexity as in the papers, on a whole test set in windows of 2048 tokens: wikitext2, ptb or c4."),
    ] = None
    text: Annotated[
        str | Path | None,
        Option("With protocol: the data set's own file; the package datasets fetches it without.", metavar="FILE"),
    ] = None
    backend: Annotated[
        str, Option("Library that runs the model: transformers, numpy or torch; tasks need transformers.")
    ] = "transformers"
