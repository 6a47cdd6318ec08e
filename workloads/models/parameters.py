"""Parameters of a decoder as arrays, independent of the file they came from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ...formats import InputError, Int4Weights
from ...formats.checks import check_integer
from ...formats.weights.base import PackedWeights
from .rope import FloatArray, RopeScaling
from .shapes import ModelShape

GateActivation = Literal["silu", "gelu_tanh"]

MODULE_LINEARS: dict[str, tuple[str, ...]] = {
    "qkv": ("q", "k", "v"),
    "o": ("o",),
    "u": ("gate", "up"),
    "d": ("down",),
}
"""The linear layers of each module; ``gate`` only where the FFN is gated."""


def linear_names(shape: ModelShape) -> tuple[str, ...]:
    """Return the names of a block's linear layers, in the order of computation."""
    names = [name for names in MODULE_LINEARS.values() for name in names]
    return tuple(name for name in names if shape.gated or name != "gate")


def linear_shape(shape: ModelShape, name: str) -> tuple[int, int]:
    """Return the input and output channels of a linear layer: q, k, v, o, gate, up or down."""
    inputs = {"o": shape.query_channels, "down": shape.ffn}
    outputs = {"q": shape.query_channels, "k": shape.kv_channels, "v": shape.kv_channels}
    outputs |= {"gate": shape.ffn, "up": shape.ffn}
    return inputs.get(name, shape.hidden), outputs.get(name, shape.hidden)


@dataclass(frozen=True)
class Norm:
    """Gain of an RMSNorm, or gain and bias of a LayerNorm: float32 ``[channels]`` each."""

    gain: FloatArray
    bias: FloatArray | None = None


@dataclass(frozen=True, eq=False)
class FloatWeights:
    """A weight matrix that is not quantised: float32 ``[in, out]``."""

    values: FloatArray
    name: str = "floating point"
    """Origin of the weights."""

    def dequantize(self) -> FloatArray:
        """Return the matrix itself."""
        return self.values


@dataclass(frozen=True)
class Linear:
    """A linear layer, ``x @ weights + bias`` with weights ``[in, out]`` and bias float32 ``[out]``."""

    weights: Int4Weights | PackedWeights | FloatWeights
    bias: FloatArray | None = None


@dataclass(frozen=True)
class LayerWeights:
    """Parameters of one transformer block."""

    attention_norm: Norm
    ffn_norm: Norm
    linears: Mapping[str, Linear]
    """Linear layers by name: q k v o gate up down, without gate if the FFN has none."""
    query_norm: Norm | None = None
    """Norm of each query head before the rotation, ``[head_dim]`` (Qwen3, Gemma 3)."""
    key_norm: Norm | None = None
    """Norm of each key head before the rotation, ``[head_dim]``."""
    attention_output_norm: Norm | None = None
    """Norm of the attention's output before it is added to the residual stream (Gemma)."""
    ffn_output_norm: Norm | None = None
    """Norm of the FFN's output before it is added to the residual stream (Gemma)."""
    window: int | None = None
    """Number of tokens, its own among them, that a token attends to; None if it attends to all before it."""

    def names(self, module: str) -> list[str]:
        """Return the names of a module's linear layers in this block."""
        return [name for name in MODULE_LINEARS[module] if name in self.linears]


@dataclass(frozen=True)
class DecoderWeights:
    """Parameters of a decoder-only transformer with pre-normalisation."""

    shape: ModelShape
    embedding: FloatArray
    """Embedding table ``[vocabulary, hidden]``; it is also the head unless `head` is given."""
    layers: Sequence[LayerWeights]
    final_norm: Norm
    norm_epsilon: float
    rope_theta: float | None = None
    """Base of the rotary position embedding (half-split), or None without one."""
    rope_scaling: RopeScaling | None = None
    """Stretching of the rotary position embedding."""
    local_rope_theta: float | None = None
    """Base of layers with a window, which are not stretched then; None if they rotate as the others do (Gemma 3)."""
    positions: FloatArray | None = None
    """Learned position embeddings ``[positions, hidden]``, starting with the first token, or None."""
    head: FloatArray | None = None
    """Head ``[vocabulary, hidden]`` if it is not tied to the embedding."""
    embedding_scale: float = 1.0
    """Factor of the embedding, not of the head (Gemma: the root of `hidden`)."""
    attention_scale: float | None = None
    """Factor of the attention scores; None takes ``1 / sqrt(head_dim)``."""
    gate_activation: GateActivation = "silu"
    """Activation of a gated FFN."""

    def embed(self, tokens: NDArray[np.int32]) -> FloatArray:
        """Residual stream of one sequence before the first layer: float32 ``[tokens, hidden]``.

        Raises
        ------
        InputError
            A token id has no row in the embedding table.
        """
        outside = tokens[(tokens < 0) | (tokens >= len(self.embedding))]
        if len(outside):
            raise InputError(
                f"tokens: id {int(outside[0])} has no row in the embedding of {self.shape.name}, which has "
                f"{len(self.embedding)}; use the tokenizer of this model"
            )
        x = self.embedding[tokens]
        if self.embedding_scale != 1:
            x *= np.float32(self.embedding_scale)
        if self.positions is not None:
            x += self.positions[: len(tokens)]
        return x

    def rope(self, layer: int) -> tuple[float, RopeScaling | None] | None:
        """Base and scaling of a layer's rotary position embedding; None without one."""
        if self.rope_theta is None:
            return None
        if self.local_rope_theta is not None and self.layers[layer].window is not None:
            return self.local_rope_theta, None
        return self.rope_theta, self.rope_scaling

    def require_plain(self, purpose: str) -> None:
        """Raise `InputError` if the model has parts beyond those of LLaMA and OPT, which `purpose` does not compute."""
        found = {
            "norms of queries and keys": any(layer.query_norm or layer.key_norm for layer in self.layers),
            "norms of block outputs": any(
                layer.attention_output_norm or layer.ffn_output_norm for layer in self.layers
            ),
            "attention windows": any(layer.window for layer in self.layers),
            "a scaled embedding": self.embedding_scale != 1,
            "its own scale of attention": self.attention_scale is not None,
            f"the activation {self.gate_activation}": self.gate_activation != "silu",
        }
        for part, present in found.items():
            if present:
                raise InputError(
                    f"model: {self.shape.name} has {part}, which {purpose} do not compute; use a LLaMA model"
                )

    def int4(self, layer: int, name: str) -> Int4Weights:
        """Return the INT4 weights of a linear layer: q, k, v, o, gate, up or down.

        Raises
        ------
        InputError
            There is no such layer or name, or its weights have another format.
        """
        shape = self.shape
        check_integer("layer", layer, 0, shape.layers - 1)
        linears = self.layers[layer].linears
        if name not in linears:
            raise InputError(f"name: {name!r} is not a linear layer of {shape.name}; use one of {', '.join(linears)}")
        weights = linears[name].weights
        if not isinstance(weights, Int4Weights):
            raise InputError(f"weights: {name} of layer {layer} is in {weights.name}; use a model with INT4 weights")
        return weights
