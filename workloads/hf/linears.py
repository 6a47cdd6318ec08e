"""Weights of a transformers model by the names of this program: q, k, v, o, gate, up, down."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from ...formats import InputError
from ...formats.checks import check_integer
from ..extras import import_extra
from ..models.parameters import DecoderWeights, FloatArray, linear_shape
from ..models.shapes import ModelShape

NAMES = {
    "q": "q_proj",
    "k": "k_proj",
    "v": "v_proj",
    "o": "o_proj|out_proj|dense",
    "gate": "gate_proj|w1",
    "up": "up_proj|fc1|w3|dense_h_to_4h",
    "down": "down_proj|fc2|w2|dense_4h_to_h",
}
FUSED = {"qkv_proj": ("q", "k", "v"), "gate_up_proj": ("gate", "up")}
"""Fused layers with the outputs of each part in one piece, in this order."""


def find_linear(modules: Mapping[str, str], layer: int, name: str) -> str | None:
    """Name of the linear layer of the model that is q, k, v, o, gate, up or down of a layer; None if it is fused."""
    found = [own for own in modules if re.search(rf"(?:layers|h|blocks)\.{layer}\.(?:.*\.)?(?:{NAMES[name]})$", own)]
    return found[0] if len(found) == 1 else None


def replace_weights(model: Any, modules: Mapping[str, str], weights: DecoderWeights) -> None:
    """Copy the linear layers of a decoder into a model of the same shape.

    Raises
    ------
    InputError
        The model fuses linear layers.
    """
    layers = dict(model.named_modules())
    for layer, own in enumerate(weights.layers):
        for name, linear in own.linears.items():
            found = find_linear(modules, layer, name)
            if found is None:
                raise InputError(
                    f"model: {weights.shape.family} has no linear layer {name} of its own; use backend numpy"
                )
            target = layers[found].weight
            values = import_extra("torch").from_numpy(np.ascontiguousarray(linear.weights.dequantize().T))
            target.data.copy_(values)


def layer_weights(model: Any, modules: Mapping[str, str], shape: ModelShape, layer: int, name: str) -> FloatArray:
    """Weights of a linear layer, float32 ``[in, out]``.

    Raises
    ------
    InputError
        The model has no such layer, its weights are not floats, or the order of outputs in a fused layer is not known.
    """
    check_integer("layer", layer, 0, shape.layers - 1)
    layers, own = dict(model.named_modules()), find_linear(modules, layer, name)
    rows = slice(None)
    if own is None:
        for fused, parts in FUSED.items():
            ends = [text for text in modules if re.search(rf"(?:layers|h|blocks)\.{layer}\..*\b{fused}$", text)]
            if name in parts and len(ends) == 1:
                before = [linear_shape(shape, part)[1] for part in parts[: parts.index(name)]]
                own, rows = ends[0], slice(sum(before), sum(before) + linear_shape(shape, name)[1])
    weight = None if own is None else getattr(layers.get(own), "weight", None)
    if weight is None or not weight.is_floating_point() or weight.is_meta:
        raise InputError(
            f"model: {shape.family} has no plain weights of {name} in layer {layer}; use backend numpy, or a model of separate "
            "linear layers"
        )
    values = weight[rows].detach().float().cpu().numpy()
    return np.ascontiguousarray(values.T)
