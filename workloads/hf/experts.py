"""Experts that a transformers model keeps as one tensor for all: both of their GeMMs see a changed input.

transformers 5 holds the experts of Mixtral and its relatives in a module with parameters ``gate_up_proj`` and ``down_proj``
(``[experts, out, in]``). Its plain forward pass calls ``torch.nn.functional.linear`` twice for each expert: first with the
tokens of the expert, then with the activated products.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

from ...formats import InputError
from ..extras import import_extra

Tensor = Any
UP, DOWN = "gate_up_proj", "down_proj"


def holds_experts(layer: Any) -> bool:
    """True if a module has one three-dimensional parameter for all experts."""
    return any(values.ndim == 3 for values in layer.parameters(recurse=False))


def expert_modules(name: str, layer: Any) -> dict[str, str]:
    """Modules of the two GeMMs of experts: their input is u, their activated products are d.

    Raises
    ------
    InputError
        The tensors have other names or another order than those of Mixtral.
    """
    parameters = {own for own, values in layer.named_parameters(recurse=False) if values.ndim == 3}
    if parameters != {UP, DOWN} or getattr(layer, "is_transposed", False):
        raise InputError(f"model: {name} holds experts as one tensor of another kind than Mixtral's; use another model")
    return {name: "u", f"{name}.{DOWN}": "d"}


@contextmanager
def expert_inputs(layer: Any, name: str, change: Callable[[str, Tensor], Tensor]) -> Generator[bool]:
    """Inside the ``with`` block, the inputs of both GeMMs of experts are changed; yields False for any other layer."""
    if not holds_experts(layer):
        yield False
        return
    overrides, plain = import_extra("torch.overrides"), layer.forward
    linear = import_extra("torch").nn.functional.linear
    down = getattr(layer, DOWN).untyped_storage().data_ptr()

    class Watch(overrides.TorchFunctionMode):
        def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if function is linear and args[1].untyped_storage().data_ptr() == down:
                args = (change(f"{name}.{DOWN}", args[0]), *args[1:])
            return function(*args, **(kwargs or {}))

    def forward(hidden: Tensor, *inputs: Any, **named: Any) -> Tensor:
        config = layer.config
        chosen = config._experts_implementation
        config._experts_implementation = "eager"  # the pass of grouped GeMMs calls no linear function
        try:
            with Watch():
                return plain(change(name, hidden), *inputs, **named)
        finally:
            config._experts_implementation = chosen

    layer.forward = forward
    try:
        yield True
    finally:
        del layer.forward
