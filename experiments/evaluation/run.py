"""The public function `evaluate_model`: perplexity or tasks at one precision, beside FP16 activations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ...formats import InputError
from ...workloads import AndaActivations, Fp16Activations, LanguageModel, TextBlocks, evaluate
from ...workloads.hf import TransformersModel
from ...workloads.inference.decoder import Hook, require_length
from ...workloads.text.protocols import WINDOW, protocol_windows
from ..inputs import as_model, as_scored, evaluation_cache
from ..options.evaluation import EvaluationOptions
from ..options.parse import several
from ..options.question import question
from ..options.result import Result
from ..precisions import as_precision
from ..progress import stage
from .harness import run_tasks


@dataclass(frozen=True)
class Evaluation(Result):
    """Result of `evaluate_model`.

    Attributes
    ----------
    model
        Name of the model.
    rows
        One row for each measure of each text or task: ``activations`` (FP16 or mantissa bits), ``of``, ``measure``, ``value``.
    """

    model: str
    rows: list[dict[str, Any]]

    def to_dict(self) -> list[dict[str, Any]]:
        """The document that ``anda eval --json -`` prints."""
        return [{"model": self.model, **row} for row in self.rows]


@question(EvaluationOptions)
def evaluate_model(options: EvaluationOptions) -> Evaluation:
    """Measure perplexity by a protocol of the papers, or zero-shot tasks, at one precision and with FP16 activations.

    Returns
    -------
    Evaluation
        One row for each measure.

    Raises
    ------
    InputError
        Neither tasks nor a protocol is given, an option is wrong, a package or the network is missing, or the model
        cannot be loaded.
    """
    if not options.tasks and options.protocol is None:
        raise InputError("tasks: are missing; give tasks, or a protocol for perplexity")
    if options.text is not None and options.protocol is None:
        raise InputError("text: applies to a protocol only; give protocol, or remove it")
    hooks: dict[str, Hook] = {"FP16": Fp16Activations()}
    if options.precision is not None:
        precision = as_precision(options.precision)
        hooks[str(precision)] = AndaActivations(precision)
    model = as_model(options.model, options)
    rows: list[dict[str, Any]] = []
    if options.protocol is not None:
        require_length(model.shape, WINDOW)
        windows = protocol_windows(model.tokenizer, options.protocol, options.text)
        rows += [
            {"activations": name, "of": options.protocol, "measure": "perplexity", "value": value}
            for name, value in _perplexities(model, windows, hooks, options).items()
        ]
    if options.tasks:
        if not isinstance(model, TransformersModel):
            raise InputError("backend: tasks need transformers; give backend transformers and the path of a checkpoint")
        for name, hook in hooks.items():
            found = run_tasks(model, hook, several(options.tasks), options.task_path, options.limit)
            rows += [
                {"activations": name, "of": task, "measure": measure, "value": value}
                for task, values in found.items()
                for measure, value in values.items()
            ]
    return Evaluation(model.shape.name, rows)


def _perplexities(
    model: LanguageModel, windows: TextBlocks, hooks: dict[str, Hook], options: EvaluationOptions
) -> dict[str, float]:
    scored, count = as_scored(model, options), len(windows.tokens)
    with stage(f"{options.protocol}: {count} windows of {WINDOW} tokens", count * len(hooks)) as advance:
        nll = {
            name: evaluate(scored, windows, hook, evaluation_cache(), lambda *_: advance(1))
            for name, hook in hooks.items()
        }
    return {name: float(np.exp(own.mean())) for name, own in nll.items()}
