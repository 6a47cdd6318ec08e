"""Activation hooks of the decoder on the linear layers of a transformers model."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Generator, Mapping
from contextlib import ExitStack, contextmanager
from functools import cache
from typing import Any, TypeAlias

from ...formats import AndaFormat, InputError
from ..extras import import_extra
from ..inference.decoder import Hook, ModuleArithmetic
from ..inference.hooks import (
    AndaActivations,
    FormatActivations,
    Fp16Activations,
    LayeredActivations,
    ModuleActivations,
)
from .experts import expert_inputs
from .fake_quantize import fake_quantize

Tensor = Any
Change: TypeAlias = Callable[[str, Tensor], Tensor]
"""New input of a linear layer, by its name and its input."""

LAYER = re.compile(r"(?:^|\.)(?:layers|h|blocks)\.(\d+)\.")


@contextmanager
def hooked(model: Any, modules: Mapping[str, str], hook: Hook) -> Generator[None]:
    """Inside the ``with`` block, the inputs of the linear layers pass a hook.

    Parameters
    ----------
    model
        A model of transformers, on any device.
    modules
        Module of each linear layer, see `module_map`.
    hook
        Activations of any number format, as for `Decoder`. Linear layers that share an input share its result.

    Raises
    ------
    InputError
        The hook computes GeMMs as a whole, or an activation overflows FP16.
    """
    if isinstance(hook, ModuleArithmetic):
        raise InputError(
            "partial: exact sums need the decoder of this program; use backend numpy or torch, or partial float"
        )
    layers = dict(model.named_modules())
    last: list[Any] = [None] * 3

    def change(name: str, x: Tensor) -> Tensor:
        module, layer = modules[name], _layer(name)
        if last[0] is not x or last[1] != (module, layer):
            last[:] = [x, (module, layer), hooked_values(hook, module, layer, x)]
        return last[2]

    with ExitStack() as stack:
        stack.callback(last.clear)
        for name in modules:
            stack.enter_context(_input_of(layers, name, change))
        yield


@contextmanager
def _input_of(layers: Mapping[str, Any], name: str, change: Change) -> Generator[None]:
    if name not in layers:  # the second GeMM of experts that are one tensor
        yield
        return
    with expert_inputs(layers[name], name, change) as found:
        if found:
            yield
            return
        handle = layers[name].register_forward_pre_hook(lambda _, inputs: (change(name, inputs[0]), *inputs[1:]))
        try:
            yield
        finally:
            handle.remove()


def _layer(name: str) -> int:
    found = LAYER.search(name)
    return int(found[1]) if found else 0


def hooked_values(hook: Hook, module: str, layer: int, x: Tensor) -> Tensor:
    """The values that a hook gives for activations ``[..., channels]``, in their type and on their device.

    Anda and FP16 have a path in torch. Other formats, and all on a CPU in float32, pass the hook in NumPy.
    """
    torch = import_extra("torch")
    x = x.detach()
    if isinstance(hook, ModuleActivations):
        return hooked_values(dict(hook.modules).get(module, hook.base), module, layer, x)  # pyright: ignore[reportArgumentType]
    if isinstance(hook, LayeredActivations):
        return hooked_values(dict(hook.layers).get(layer, hook.base), module, layer, x)  # pyright: ignore[reportArgumentType]
    if isinstance(hook, Fp16Activations):
        return x.to(torch.float16).to(x.dtype)
    if x.device.type != "cpu" or x.dtype != torch.float32:
        if (fmt := _anda(hook, module)) is not None and fmt.nonfinite == "raise":
            try:
                return fake_quantize(x, fmt.mantissa_bits, fmt.group_size, fmt.rounding, fmt.reconstruct)
            except InputError as error:
                raise InputError(f"activations of {module} in layer {layer}: {error}") from None
        if isinstance(hook, FormatActivations) and x.device.type != "cpu":
            _note_fallback(hook.format.name)
    rows = x.float().cpu().reshape(-1, x.shape[-1]).numpy()
    assert callable(hook)
    values = torch.from_numpy(hook(module, layer, rows)).reshape(x.shape)
    return values.to(device=x.device, dtype=x.dtype)


def _anda(hook: Hook, module: str) -> AndaFormat | None:
    if isinstance(hook, AndaActivations):
        return hook.format(module)
    if isinstance(hook, FormatActivations) and type(hook.format) is AndaFormat:
        return hook.format
    return None


@cache
def _note_fallback(name: str) -> None:
    text = f"anda: note: {name} has no path in torch; activations go to NumPy and back, which is slow"
    print(text, file=sys.stderr, flush=True)
