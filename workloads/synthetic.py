"""A small random LLaMA that takes every path of the real one in milliseconds; its predictions mean nothing."""

from __future__ import annotations

import hashlib

import numpy as np

from ..formats import Int4Weights
from .decoder import Decoder
from .shapes import ModelShape
from .tokenizer import Tokenizer, byte_characters
from .weights import DecoderWeights, FloatArray, LayerWeights, Linear, Norm, linear_names

SYNTHETIC_SHAPE = ModelShape(
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
    source="random numbers",
)


def synthetic_decoder(shape: ModelShape = SYNTHETIC_SHAPE, seed: int = 0) -> Decoder:
    """A random model with INT4 weights in groups of 128 and a tokenizer of single bytes, decided by the seed."""
    rng = np.random.default_rng(seed)

    def normal(*size: int) -> FloatArray:
        return rng.standard_normal(size, dtype=np.float32)

    def linear(name: str) -> Linear:
        inputs = shape.ffn if name == "down" else shape.hidden
        outputs = {"k": shape.kv_channels, "v": shape.kv_channels, "gate": shape.ffn, "up": shape.ffn}
        weights = normal(inputs, outputs.get(name, shape.hidden)) / np.float32(inputs**0.5)
        return Linear(Int4Weights.quantize(weights))

    def norm() -> Norm:
        return Norm(1 + 0.1 * normal(shape.hidden))

    weights = DecoderWeights(
        shape=shape,
        embedding=normal(shape.vocabulary, shape.hidden) / np.float32(shape.hidden**0.5),
        layers=[
            LayerWeights(norm(), norm(), {name: linear(name) for name in linear_names(shape)})
            for _ in range(shape.layers)
        ],
        final_norm=norm(),
        norm_epsilon=1e-5,
        rope_theta=10000.0,
    )
    sha256 = hashlib.sha256(f"{shape} {seed}".encode()).hexdigest()
    return Decoder(weights, Tokenizer(byte_characters(), []), sha256)
