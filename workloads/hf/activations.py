"""Hooks on the linear layers of a transformers model: their inputs take the values of the Anda format."""

from __future__ import annotations

import re
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from ...formats import InputError
from ...formats.options import Reconstruct, Rounding
from ..extras import import_extra
from ..models.precision import MODULES, Precision
from .fake_quantize import fake_quantize

BLOCK = re.compile(r"(?:^|\.)(?:layers|h|blocks)\.\d+\.")
"""Place of a module inside a transformer block."""

PATTERNS: dict[str, str] = {
    r"(q|k|v|qkv)_proj": "qkv",
    r"query_key_value": "qkv",
    r"(o|out)_proj": "o",
    r"(attention|self_attention|attn)\.dense": "o",
    r"(gate|up|gate_up)_proj": "u",
    r"fc1|w1|w3|dense_h_to_4h": "u",
    r"down_proj|fc2|w2|dense_4h_to_h": "d",
}
"""Module of a linear layer by the end of its name: LLaMA, Mistral, Qwen, Gemma, Phi-3, OPT, GPT-NeoX, Falcon."""


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
        No pattern takes a layer, a pattern names an unknown module, or experts are one tensor.
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
        if any(values.ndim == 3 for values in layer.parameters(recurse=False)):
            raise InputError(f"model: {name} holds experts as one tensor; load the model with separate linear layers")
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
    bits: dict[str, int] = dict(zip(MODULES, Precision(*precision), strict=True))
    modules = module_map(model, patterns)
    layers = dict(model.named_modules())
    handles: list[Any] = []

    def hook_of(name: str, module: str) -> Any:
        def hook(_: Any, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
            try:
                return (fake_quantize(inputs[0], bits[module], group_size, rounding, reconstruct), *inputs[1:])
            except InputError as error:
                raise InputError(f"activations of {name}: {error}") from None

        return hook

    try:
        handles += [layers[name].register_forward_pre_hook(hook_of(name, module)) for name, module in modules.items()]
        yield modules
    finally:
        for handle in handles:
            handle.remove()
