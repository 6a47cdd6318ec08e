"""Checks of what a simulation is asked: tokens within the model's context, and options that apply to it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..formats import InputError
from ..workloads import ModelShape
from .options.option import described
from .options.simulation import ExplainOptions, GemmOptions, PassOptions

DEFAULTS = {field.name: field.default for field in described(PassOptions)}

WHOLE_ONLY = ("kv_cache", "vector_unit", "vector_traffic", "head", "allow_overflow")
"""Options that the FP-INT GeMMs alone would ignore."""


def check_request(options: PassOptions, shape: ModelShape) -> tuple[int, int] | None:
    """Check which tokens are asked for; prompt and generated tokens of a whole inference, None for one pass.

    Raises
    ------
    InputError
        Tokens are beyond the model's context, or options of a pass, of an inference and of GeMMs are mixed.
    """
    if options.prompt is None and options.generate is None:
        for field in WHOLE_ONLY if not options.whole else ():
            if (value := getattr(options, field)) != DEFAULTS[field]:
                raise InputError(f"{field}: {value!r} applies to whole models only; simulate a whole model")
        _check_context(shape, "tokens", {"context": options.context, "tokens": options.tokens})
        return None
    if options.prompt is None or options.generate is None:
        missing = "prompt" if options.prompt is None else "generate"
        raise InputError(f"{missing}: is missing; a whole inference needs both --prompt and --generate")
    for field in ("phase", "tokens", "context"):
        if getattr(options, field) != DEFAULTS[field]:
            raise InputError(f"{field}: applies to a single pass; leave it out with --prompt and --generate")
    _check_context(shape, "generate", {"prompt": options.prompt, "generate": options.generate})
    return options.prompt, options.generate


def _check_context(shape: ModelShape, field: str, tokens: dict[str, int]) -> None:
    if (total := sum(tokens.values())) > shape.max_length:
        parts = " and ".join(f"{count:,} of {name}" for name, count in tokens.items())
        raise InputError(
            f"{field}: {parts} are {total:,} tokens, beyond the context of {shape.name}; use {shape.max_length:,} at most"
        )


def gemm_options(given: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a single GeMM among those of `ExplainOptions`.

    Raises
    ------
    InputError
        Another option, which a GeMM would ignore, is not at its default.
    """
    of_gemms = {field.name for field in described(GemmOptions)}
    for field in described(ExplainOptions):
        if field.name not in {*of_gemms, "model"} and given[field.name] != field.default:
            raise InputError(f"{field.name}: does not apply to a single GeMM; leave it out or give a model")
    return {name: value for name, value in given.items() if name in of_gemms}
