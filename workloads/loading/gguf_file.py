"""Decoders of the LLaMA architecture from GGUF files with Q4_1 linear layers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...formats import InputError, Int4Weights
from ...formats.weights.gguf import from_blocks
from ..models.parameters import DecoderWeights, FloatArray, LayerWeights, Linear, Norm, linear_names
from ..models.shapes import ModelShape
from ..text.tokenizer import Tokenizer

_TENSOR_NAMES = {
    "q": "attn_q",
    "k": "attn_k",
    "v": "attn_v",
    "o": "attn_output",
    "gate": "ffn_gate",
    "up": "ffn_up",
    "down": "ffn_down",
}


def read_gguf(path: Path, shape: ModelShape) -> tuple[DecoderWeights, Tokenizer | None]:
    """Read a model, and its tokenizer if it is of SmolLM's kind (otherwise None).

    Raises
    ------
    InputError
        The file is truncated, is no GGUF file, or does not hold a model of this shape.
    """
    from gguf import GGUFReader

    try:
        reader = GGUFReader(path)
        fields = {name: field.contents() for name, field in reader.fields.items()}
        tensors = {tensor.name: tensor for tensor in reader.tensors}
    except (ValueError, IndexError, KeyError) as error:
        raise InputError(f"model: {path} is truncated or no GGUF file ({error}); fetch it again") from None
    _check_shape(path, fields, shape)
    return _Tensors(path, tensors, shape).decoder(fields), _tokenizer(fields)


class _Tensors:
    """Tensors of one file; each is taken once."""

    def __init__(self, path: Path, tensors: dict[str, Any], shape: ModelShape) -> None:
        self._path, self._tensors, self._shape = path, tensors, shape

    def decoder(self, fields: dict[str, Any]) -> DecoderWeights:
        shape = self._shape
        weights = DecoderWeights(
            shape=shape,
            embedding=self._floats("token_embd.weight", (shape.vocabulary, shape.hidden)),
            layers=[self._layer(layer) for layer in range(shape.layers)],
            final_norm=self._norm("output_norm.weight"),
            norm_epsilon=fields["llama.attention.layer_norm_rms_epsilon"],
            rope_theta=fields.get("llama.rope.freq_base", 10000.0),
            head=self._floats("output.weight", (shape.vocabulary, shape.hidden))
            if "output.weight" in self._tensors
            else None,
        )
        if self._tensors:
            raise InputError(
                f"model: {self._path} holds {min(self._tensors)!r}, which the decoder cannot use; give a plain LLaMA model"
            )
        return weights

    def _layer(self, layer: int) -> LayerWeights:
        return LayerWeights(
            attention_norm=self._norm(f"blk.{layer}.attn_norm.weight"),
            ffn_norm=self._norm(f"blk.{layer}.ffn_norm.weight"),
            linears={name: Linear(self._q4_1(layer, name)) for name in linear_names(self._shape)},
        )

    def _norm(self, name: str) -> Norm:
        return Norm(self._floats(name, (self._shape.hidden,)))

    def _floats(self, name: str, expected: tuple[int, ...]) -> FloatArray:
        from gguf.quants import dequantize

        tensor = self._take(name)
        values = dequantize(tensor.data, tensor.tensor_type).astype(np.float32, copy=False)
        if values.shape != expected:
            raise InputError(
                f"model: {self._path}: {name} has shape {values.shape}, not {expected}; give a file of {self._shape.name}"
            )
        return values

    def _q4_1(self, layer: int, name: str) -> Int4Weights:
        """A linear layer ``[in, out]``; the channels of q and k are in the order of half-split rotary embedding."""
        tensor_name = f"blk.{layer}.{_TENSOR_NAMES[name]}.weight"
        tensor = self._take(tensor_name)
        if tensor.tensor_type.name != "Q4_1":
            raise InputError(
                f"model: {self._path}: {tensor_name} is {tensor.tensor_type.name}; give a file with Q4_1 linear layers"
            )
        weights = from_blocks(tensor.data, "Q4_1").to_int4()
        heads = {"q": self._shape.heads, "k": self._shape.kv_heads}.get(name)
        if heads is None:
            return weights
        rows = half_split_rows(heads, self._shape.head_dim)
        assert weights.offsets is not None  # Q4_1 has offsets
        return Int4Weights(
            weights.codes[:, rows], weights.scales[:, rows], weights.group_size, weights.offsets[:, rows]
        )

    def _take(self, name: str) -> Any:
        if name not in self._tensors:
            raise InputError(f"model: {self._path} holds no tensor {name!r}; give a complete GGUF file")
        return self._tensors.pop(name)


def half_split_rows(heads: int, head_dim: int) -> NDArray[np.intp]:
    """Positions of the output channels of q or k in GGUF, which interleaves the two halves of each head's rotary pairs."""
    return np.arange(heads * head_dim).reshape(heads, head_dim // 2, 2).swapaxes(1, 2).ravel()


def _check_shape(path: Path, fields: dict[str, Any], shape: ModelShape) -> None:
    architecture = fields.get("general.architecture")
    if architecture != shape.family or shape.family != "llama":
        raise InputError(f"model: {path} holds architecture {architecture!r}; this loader needs a LLaMA model")
    expected = {
        "llama.embedding_length": shape.hidden,
        "llama.feed_forward_length": shape.ffn,
        "llama.block_count": shape.layers,
        "llama.attention.head_count": shape.heads,
        "llama.attention.head_count_kv": shape.kv_heads,
    }
    for key, value in expected.items():
        if fields.get(key) != value:
            raise InputError(
                f"model: {path} has {key} {fields.get(key)}, {shape.name} has {value}; give the name of the file's model"
            )


def _tokenizer(fields: dict[str, Any]) -> Tokenizer | None:
    if (fields.get("tokenizer.ggml.model"), fields.get("tokenizer.ggml.pre")) != ("gpt2", "smollm"):
        return None
    return Tokenizer(fields["tokenizer.ggml.tokens"], fields["tokenizer.ggml.merges"])
