"""The parameters of a decoder, as arrays, whatever file they came from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...formats import InputError, Int4Weights
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
    """Names of a block's linear layers, in the order of computation."""
    names = [name for names in MODULE_LINEARS.values() for name in names]
    return tuple(name for name in names if shape.gated or name != "gate")


@dataclass(frozen=True)
class Norm:
    """RMSNorm without, LayerNorm with a bias; float32 ``[hidden]``."""

    gain: FloatArray
    bias: FloatArray | None = None


@dataclass(frozen=True, eq=False)
class FloatWeights:
    """A weight matrix that is computed with as floats: float32 ``[in, out]``."""

    values: FloatArray
    name: str = "floating point"
    """Where it came from."""

    def dequantize(self) -> FloatArray:
        """The matrix itself."""
        return self.values


@dataclass(frozen=True)
class Linear:
    """A linear layer ``x @ weights + bias``; the bias is float32 ``[out]``."""

    weights: Int4Weights | PackedWeights | FloatWeights
    bias: FloatArray | None = None


@dataclass(frozen=True)
class LayerWeights:
    """One transformer block."""

    attention_norm: Norm
    ffn_norm: Norm
    linears: Mapping[str, Linear]
    """By name: q k v o gate up down; no gate where the FFN is not gated."""

    def names(self, module: str) -> list[str]:
        """The linear layers of a module that there are."""
        return [name for name in MODULE_LINEARS[module] if name in self.linears]


@dataclass(frozen=True, kw_only=True)
class RopeScaling:
    """How LLaMA 3.1 stretches its rotary embedding: slow frequencies are divided, fast ones stay, between lies a ramp."""

    factor: float
    """Of the longer context over the original one."""
    original_length: int
    """Tokens of the original context."""
    low_frequency_factor: float
    """Frequencies of fewer turns than this in the original context are divided by `factor`."""
    high_frequency_factor: float
    """Frequencies of more turns than this stay as they are."""

    def scale(self, frequencies: FloatArray) -> FloatArray:
        """The frequencies in radians per token, scaled."""
        turns = self.original_length * frequencies / np.float32(2 * np.pi)
        span = self.high_frequency_factor - self.low_frequency_factor
        kept = np.clip((turns - self.low_frequency_factor) / span, 0, 1)
        return np.multiply(frequencies, kept + (1 - kept) / self.factor, dtype=np.float32)


@dataclass(frozen=True)
class DecoderWeights:
    """A decoder-only transformer with pre-normalisation."""

    shape: ModelShape
    embedding: FloatArray
    """``[vocabulary, hidden]``; also the head, unless `head` is given."""
    layers: Sequence[LayerWeights]
    final_norm: Norm
    norm_epsilon: float
    rope_theta: float | None = None
    """Base of the rotary position embedding (half-split), or None without one."""
    rope_scaling: RopeScaling | None = None
    positions: FloatArray | None = None
    """Learned position embeddings ``[positions, hidden]``, the first token's first, or None."""
    head: FloatArray | None = None
    """``[vocabulary, hidden]`` where embedding and head are not tied."""

    def int4(self, layer: int, name: str) -> Int4Weights:
        """The INT4 weights of a linear layer: q, k, v, o, gate, up or down.

        Raises
        ------
        InputError
            No such layer or name, or weights of another format.
        """
        shape = self.shape
        if not 0 <= layer < shape.layers:
            raise InputError(f"layer: {layer} does not exist; {shape.name} has 0 to {shape.layers - 1}")
        linears = self.layers[layer].linears
        if name not in linears:
            raise InputError(f"name: {name!r} is not a linear layer of {shape.name}; use {' '.join(linears)}")
        weights = linears[name].weights
        if not isinstance(weights, Int4Weights):
            raise InputError(f"weights: {name} of layer {layer} is in {weights.name}; this needs INT4 weights")
        return weights
