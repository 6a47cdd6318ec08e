"""The parameters of a decoder, as arrays, whatever file they came from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..formats import Int4Weights
from ..formats.weight_format import PackedWeights
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


@dataclass(frozen=True)
class Linear:
    """A linear layer ``x @ weights + bias``; the bias is float32 ``[out]``."""

    weights: Int4Weights | PackedWeights
    bias: FloatArray | None = None


@dataclass(frozen=True)
class LayerWeights:
    """One transformer block."""

    attention_norm: Norm
    ffn_norm: Norm
    linears: Mapping[str, Linear]
    """By name: q k v o gate up down; no gate where the FFN is not gated."""


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
    positions: FloatArray | None = None
    """Learned position embeddings ``[positions, hidden]``, the first token's first, or None."""
    head: FloatArray | None = None
    """``[vocabulary, hidden]`` where embedding and head are not tied."""
