"""Parameters of a decoder as arrays, independent of the file they came from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...formats import InputError, Int4Weights
from ...formats.checks import check_integer
from ...formats.weights.base import PackedWeights
from .shapes import ModelShape

FloatArray = NDArray[np.float32]

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
    """Gain of an RMSNorm, or gain and bias of a LayerNorm: float32 ``[hidden]`` each."""

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

    def names(self, module: str) -> list[str]:
        """Return the names of a module's linear layers in this block."""
        return [name for name in MODULE_LINEARS[module] if name in self.linears]


@dataclass(frozen=True, kw_only=True)
class RopeScaling:
    """LLaMA 3.1's stretched rotary embedding: slow frequencies are divided, fast ones stay, a ramp lies between."""

    factor: float
    """Length of the new context over that of the original one."""
    original_length: int
    """Length of the original context, in tokens."""
    low_frequency_factor: float
    """Frequencies with fewer turns than this in the original context are divided by `factor`."""
    high_frequency_factor: float
    """Frequencies with more turns than this stay unchanged."""

    def scale(self, frequencies: FloatArray) -> FloatArray:
        """Return the scaled frequencies, in radians per token."""
        turns = self.original_length * frequencies / np.float32(2 * np.pi)
        span = self.high_frequency_factor - self.low_frequency_factor
        kept = np.clip((turns - self.low_frequency_factor) / span, 0, 1)
        return np.multiply(frequencies, kept + (1 - kept) / self.factor, dtype=np.float32)


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
    positions: FloatArray | None = None
    """Learned position embeddings ``[positions, hidden]``, starting with the first token, or None."""
    head: FloatArray | None = None
    """Head ``[vocabulary, hidden]`` if it is not tied to the embedding."""

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
