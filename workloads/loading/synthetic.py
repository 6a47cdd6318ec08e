"""Small random models. They run every path of the real models in milliseconds; their predictions mean nothing."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np

from ...formats import Int4Weights
from ..inference.decoder import Decoder
from ..models.parameters import DecoderWeights, FloatArray, LayerWeights, Linear, Norm, linear_names, linear_shape
from ..models.shapes import ModelShape
from ..text.tokenizer import Tokenizer, byte_characters

SYNTHETIC_LLAMA = ModelShape(
    name="synthetic",
    family="llama",
    hidden=128,
    ffn=384,
    layers=2,
    heads=4,
    kv_heads=2,
    vocabulary=256,
    gated=True,
    max_length=256,
    tied=True,
    source="random numbers",
)
SYNTHETIC_OPT = replace(
    SYNTHETIC_LLAMA,
    name="synthetic-opt",
    family="opt",
    kv_heads=4,
    gated=False,
    activation="relu",
    norm="layer",
    biases=("qkv", "o", "u", "d"),
    rotary_share=0.0,
    position_rows=258,
)


def synthetic_decoder(shape: ModelShape = SYNTHETIC_LLAMA, seed: int = 0) -> Decoder:
    """Build a random model with INT4 weights in groups of 128 and a tokenizer of single bytes; the seed decides all."""
    sha256 = hashlib.sha256(f"{shape} {seed}".encode()).hexdigest()
    return Decoder(_Random(shape, seed).decoder(), Tokenizer(byte_characters(), []), sha256)


class _Random:
    """Random parameters of a size that keeps activations near 1 in every layer."""

    def __init__(self, shape: ModelShape, seed: int) -> None:
        self._shape = shape
        self._rng = np.random.default_rng(seed)
        self._opt = shape.family == "opt"

    def decoder(self) -> DecoderWeights:
        shape = self._shape
        return DecoderWeights(
            shape=shape,
            embedding=self._normal(shape.vocabulary, shape.hidden, scale=shape.hidden**-0.5),
            layers=[self._layer() for _ in range(shape.layers)],
            final_norm=self._norm(),
            norm_epsilon=1e-5,
            rope_theta=None if self._opt else 10000.0,
            positions=self._normal(shape.max_length, shape.hidden) if self._opt else None,
        )

    def _layer(self) -> LayerWeights:
        linears = {name: self._linear(name) for name in linear_names(self._shape)}
        return LayerWeights(self._norm(), self._norm(), linears)

    def _linear(self, name: str) -> Linear:
        inputs, outputs = linear_shape(self._shape, name)
        weights = Int4Weights.quantize(self._normal(inputs, outputs, scale=inputs**-0.5))
        return Linear(weights, self._normal(outputs, scale=0.1) if self._opt else None)

    def _norm(self) -> Norm:
        hidden = self._shape.hidden
        return Norm(1 + self._normal(hidden, scale=0.1), self._normal(hidden, scale=0.1) if self._opt else None)

    def _normal(self, *size: int, scale: float = 1.0) -> FloatArray:
        return np.multiply(self._rng.standard_normal(size, dtype=np.float32), scale, dtype=np.float32)
