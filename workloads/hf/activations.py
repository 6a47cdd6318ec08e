"""Hooks on the linear layers of a transformers model: their inputs take the values of the Anda format."""

from __future__ import annotations

import re
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from ...formats import InputError
from ...formats.options import Reconstruct, Rounding
from ..extras import import_extra
from ..inference.hooks import AndaActivations
from ..models.precision import MODULES, Precision
from .experts import expert_modules, holds_experts
from .hooked import hooked

BLOCK = re.compile(r"(?:^|\.)(?:layers|h|blocks)\.\d+\.")
"""Place of a module inside a transformer block."""

PATTERNS: dict[str, str] = {
    r"(q|k|v|qkv)_proj": "qkv",
    r"query_key_value": "qkv",
    r"(o|out)_proj": "o",
    r"(attention|self_attention|attn)\.dense": "o",
    r"(gate|up|gate_up)_proj": "u",
    r"fc1|w1|w3|dense_h_to_4h": "u",
    r"block_sparse_moe\.gate|mlp\.gate": "",
    r"down_proj|fc2|w2|dense_4h_to_h": "d",
}
"""Module of a linear layer by the end of its name: LLaMA, Mistral, Qwen, Gemma, Phi-3, OPT, GPT-NeoX, Falcon, Mixtral.

Routers of experts have none: the paper leaves their inputs as they are.
"""


def module_map(model: Any, patterns: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the module (qkv, o, u or d) of each linear layer in the model's blocks, by its name.

    Parameters
    ----------
    model
        A model of transformers.
    patterns
        Regular expressions of the end of a layer's name, and its module, or ``""`` for a layer whose input stays as it is.
        They come before `PATTERNS`.

    Raises
    ------
    InputError
        No pattern takes a layer, a pattern names an unknown module, or experts are one tensor of an unknown kind.
    """
    torch = import_extra("torch")
    rules = {**(patterns or {}), **PATTERNS}
    for pattern, module in rules.items():
        if module and module not in MODULES:
            raise InputError(
                f"patterns: {pattern!r} names {module!r}; use one of {', '.join(MODULES)}, or an empty text"
            )
    found: dict[str, str] = {}
    for name, layer in model.named_modules():
        if not BLOCK.search(name):
            continue
        if holds_experts(layer):
            found |= expert_modules(name, layer)
        if isinstance(layer, torch.nn.Linear):
            found[name] = _module(name, rules)
    if not found:
        raise InputError(
            "model: has no linear layers in blocks named layers, h or blocks; give a decoder of transformers"
        )
    return {name: module for name, module in found.items() if module}


def _module(name: str, rules: Mapping[str, str]) -> str:
    for pattern, module in rules.items():
        if re.search(rf"(?:^|\.)(?:{pattern})$", name):
            return module
    raise InputError(f"model: no pattern takes the linear layer {name}; give one in patterns")


@contextmanager
def activations(
    model: Any,
    precision: Precision | Sequence[int],
    *,
    group_size: int = 64,
    rounding: Rounding = "truncate",
    reconstruct: Reconstruct = "truncate",
    patterns: Mapping[str, str] | None = None,
) -> Generator[dict[str, str]]:
    """Inside the ``with`` block, the inputs of the model's linear layers have the values of the Anda format.

    Parameters
    ----------
    model
        A model of transformers, on any device.
    precision
        Mantissa bits of qkv, o, u and d.
    group_size, rounding, reconstruct
        The other parameters of the format.
    patterns
        See `module_map`.

    Yields
    ------
    dict
        Module of each layer, as `module_map` returns it.

    Raises
    ------
    InputError
        See `module_map` and `fake_quantize`.
    """
    modules = module_map(model, patterns)
    hook = AndaActivations(Precision(*precision), group_size=group_size, rounding=rounding, reconstruct=reconstruct)
    with hooked(model, modules, hook):
        yield modules
