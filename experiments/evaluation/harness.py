"""Zero-shot tasks by lm-evaluation-harness (extra ``eval``), on a model with hooked activations."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...formats import InputError
from ...workloads.extras import import_extra
from ...workloads.hf import TransformersModel
from ...workloads.hf.hooked import hooked
from ...workloads.inference.decoder import Hook

MODEL_NAME = "anda"
"""Name of the model class in the harness."""


def run_tasks(
    model: TransformersModel, hook: Hook, tasks: Sequence[str], folder: str | Path | None, limit: int | None
) -> dict[str, dict[str, float]]:
    """Results of each task by the name of the metric.

    Raises
    ------
    InputError
        The harness is not installed, a task is unknown, or its data cannot be read.
    """
    evaluator = import_extra("lm_eval.evaluator", extra="eval")
    manager = import_extra("lm_eval.tasks", extra="eval").TaskManager(include_path=folder and str(folder))
    unknown = [task for task in tasks if not manager.match_tasks([task])]
    if unknown:
        raise InputError(f"tasks: {unknown[0]!r} is unknown; see `lm-eval ls tasks`, or give its folder as task_path")
    language_model = harness_model(model)
    try:
        with hooked(model.model, model.modules, hook):
            found = evaluator.simple_evaluate(
                model=language_model, tasks=list(tasks), task_manager=manager, limit=limit, bootstrap_iters=1000
            )
    except InputError:
        raise
    except (OSError, ValueError) as error:
        raise InputError(
            f"tasks: fail ({type(error).__name__}: {(str(error).splitlines() or [''])[0][:150]}); check their data and network"
        ) from None
    return {
        task: {name.removesuffix(",none"): float(value) for name, value in values.items() if isinstance(value, float)}
        for task, values in found["results"].items()
    }


def harness_model(model: TransformersModel) -> Any:
    """The model as an instance of the class that is registered with the harness as ``anda``.

    Raises
    ------
    InputError
        The harness or the model's tokenizer is missing.
    """
    registry = import_extra("lm_eval.api.registry", extra="eval")
    base = import_extra("lm_eval.models.huggingface", extra="eval").HFLM
    if MODEL_NAME not in registry.MODEL_REGISTRY:
        registry.register_model(MODEL_NAME)(type("AndaModel", (base,), {}))
    try:
        tokenizer = import_extra("transformers").AutoTokenizer.from_pretrained(model.path, local_files_only=True)
    except (OSError, ValueError, KeyError) as error:
        raise InputError(
            f"tokenizer: transformers cannot read that of {model.path} ({str(error).splitlines()[0][:100]}); give a checkpoint folder"
        ) from None
    known = (tokenizer.bos_token_id, tokenizer.eos_token_id, model.model.config.bos_token_id)
    prefix = next((token for token in known if token is not None), 0)
    return registry.get_model(MODEL_NAME)(
        pretrained=model.model, tokenizer=tokenizer, batch_size=1, prefix_token_id=prefix
    )
