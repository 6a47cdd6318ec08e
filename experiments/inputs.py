"""Models and traces from names, paths or objects, and the folder of finished evaluations: shared by the public functions."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .options.parse import several
from .options.precision import BackendOptions

if TYPE_CHECKING:
    from ..workloads import Decoder, LanguageModel, ScoredModel, Trace

TRANSFORMERS = "transformers"
BACKENDS = ("numpy", "torch")


def as_decoder(model: str | Path | Decoder) -> Decoder:
    """A model by name or by the path of its checkpoint folder; an object stays as it is."""
    from ..workloads import load_decoder

    return load_decoder(str(model)) if isinstance(model, str | Path) else model


def as_model(model: str | Path | LanguageModel, options: BackendOptions) -> LanguageModel:
    """A model in the library that the options name; an object stays as it is.

    Raises
    ------
    InputError
        The backend is unknown, an option applies to another backend, or the model cannot be loaded.
    """
    check_backend(options)
    if options.backend != TRANSFORMERS:
        return as_decoder(model) if isinstance(model, str | Path) else model
    if not isinstance(model, str | Path):
        return model
    from ..workloads.hf import Placement, TransformersModel

    placement = Placement(device=options.device, dtype=options.dtype, device_map=options.device_map)
    return TransformersModel(model, placement, module_patterns(options.modules or ()))


def check_backend(options: BackendOptions) -> None:
    """Raise `InputError` if the backend is unknown, or an option applies to another backend."""
    from ..formats import InputError
    from ..formats.checks import check_choice

    check_choice("backend", options.backend, (*BACKENDS, TRANSFORMERS))
    for name in ("device", "dtype", "device_map", "modules"):
        if options.backend != TRANSFORMERS and (getattr(options, name) or None) != getattr(BackendOptions, name):
            raise InputError(f"{name}: applies to backend transformers only; remove it or give backend transformers")


def as_scored(model: LanguageModel, options: BackendOptions) -> ScoredModel:
    """The model for evaluations in the library that the options name."""
    from ..workloads import Decoder, evaluator

    return evaluator(model, options.backend) if isinstance(model, Decoder) else model


def module_patterns(texts: Sequence[str]) -> dict[str, str]:
    """Patterns of linear layers and their modules from texts such as ``qkv=att_proj``; ``none`` leaves a layer untouched.

    Raises
    ------
    InputError
        A text has no module or no pattern, or the pattern is not a regular expression.
    """
    from ..formats import InputError
    from ..workloads import MODULES

    patterns: dict[str, str] = {}
    for text in several(texts):
        module, _, pattern = text.partition("=")
        if module not in (*MODULES, "none") or not pattern:
            raise InputError(f"modules: {text!r} is not MODULE=PATTERN; write it as qkv=att_proj, or none=router")
        try:
            re.compile(pattern)
        except re.error as error:
            raise InputError(f"modules: {pattern!r} is no regular expression ({error}); correct it") from None
        patterns[pattern] = "" if module == "none" else module
    return patterns


def as_trace(trace: str | Path | Trace) -> Trace:
    """A trace by the path of its file or folder; an object stays as it is."""
    from ..workloads import Trace

    return Trace.load(trace) if isinstance(trace, str | Path) else trace


def factor_cache() -> Path:
    """Folder that stores learned smoothing factors, block by block."""
    from ..workloads import cache_dir

    return cache_dir() / "factors"


def evaluation_cache() -> Path:
    """Folder that stores finished blocks of evaluations, so that an interrupted run continues."""
    from ..workloads import cache_dir

    return cache_dir() / "evaluations"
