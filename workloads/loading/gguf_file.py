"""Decoders of the LLaMA architecture from GGUF files with Q4_1 linear layers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ...formats import InputError, Int4Weights
from ...formats.checks import check_finite
from ...formats.documents.border import border
from ...formats.documents.schema import Document, parse
from ...formats.weights.gguf import from_blocks
from ..models.parameters import DecoderWeights, FloatArray, LayerWeights, Linear, Norm, linear_names, linear_shape
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

    class Reader(GGUFReader):
        """The package's reader, which would go on past the end of the file for as long as a length in it says."""

        def _get(self, offset: int, *arguments: Any, **options: Any) -> Any:
            if offset >= len(self.data):
                raise ValueError("a length reaches past its end")
            return super()._get(offset, *arguments, **options)

    with border(f"model: {path} is truncated or no GGUF file", "fetch it again"), np.errstate(all="raise"):
        reader = Reader(path)
        fields = {name: field.contents() for name, field in reader.fields.items()}
        tensors = {tensor.name: tensor for tensor in reader.tensors}
        _check_shape(path, fields, shape)
        checked = parse(_Fields, fields)
        return _Tensors(path, tensors, shape).decoder(checked), _tokenizer(path, checked, shape)


class _Fields(Document):
    """Metadata that the decoder and the tokenizer need."""

    epsilon: Annotated[float, Field(gt=0, alias="llama.attention.layer_norm_rms_epsilon")]
    rope_theta: Annotated[float, Field(gt=0, alias="llama.rope.freq_base")] = 10000.0
    kind: Annotated[str | None, Field(alias="tokenizer.ggml.model")] = None
    pre_tokenizer: Annotated[str | None, Field(alias="tokenizer.ggml.pre")] = None
    tokens: list[str] = Field(alias="tokenizer.ggml.tokens", default_factory=list)
    merges: list[str] = Field(alias="tokenizer.ggml.merges", default_factory=list)


class _Tensors:
    """Tensors of one file; each is taken once."""

    def __init__(self, path: Path, tensors: dict[str, Any], shape: ModelShape) -> None:
        self._path, self._tensors, self._shape = path, tensors, shape

    def decoder(self, fields: _Fields) -> DecoderWeights:
        shape = self._shape
        weights = DecoderWeights(
            shape=shape,
            embedding=self._floats("token_embd.weight", (shape.vocabulary, shape.hidden)),
            layers=[self._layer(layer) for layer in range(shape.layers)],
            final_norm=self._norm("output_norm.weight"),
            norm_epsilon=fields.epsilon,
            rope_theta=fields.rope_theta,
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
        return check_finite(f"model: {self._path}: {name}", values)

    def _q4_1(self, layer: int, name: str) -> Int4Weights:
        """A linear layer ``[in, out]``; the channels of q and k are in the order of half-split rotary embedding."""
        tensor_name = f"blk.{layer}.{_TENSOR_NAMES[name]}.weight"
        tensor = self._take(tensor_name)
        if tensor.tensor_type.name != "Q4_1":
            raise InputError(
                f"model: {self._path}: {tensor_name} is {tensor.tensor_type.name}; give a file with Q4_1 linear layers"
            )
        weights = self._int4(tensor_name, tensor, linear_shape(self._shape, name))
        heads = {"q": self._shape.heads, "k": self._shape.kv_heads}.get(name)
        if heads is None:
            return weights
        rows = half_split_rows(heads, self._shape.head_dim)
        assert weights.offsets is not None  # Q4_1 has offsets
        return Int4Weights(
            weights.codes[:, rows], weights.scales[:, rows], weights.group_size, weights.offsets[:, rows]
        )

    def _int4(self, name: str, tensor: Any, expected: tuple[int, int]) -> Int4Weights:
        try:
            weights = from_blocks(tensor.data, "Q4_1").to_int4()
        except InputError as error:
            raise InputError(f"model: {self._path}: {name}: {error}") from None
        if weights.codes.shape != expected:
            raise InputError(
                f"model: {self._path}: {name} has shape {weights.codes.shape}, not {expected}; "
                f"give a file of {self._shape.name}"
            )
        return weights

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


def _tokenizer(path: Path, fields: _Fields, shape: ModelShape) -> Tokenizer | None:
    if (fields.kind, fields.pre_tokenizer) != ("gpt2", "smollm"):
        return None
    known = set(fields.tokens)
    if len(known) != shape.vocabulary:
        raise InputError(f"model: {path} has {len(known)} tokens, not {shape.vocabulary}; fetch it again")
    for merge in fields.merges:
        if merge.count(" ") != 1 or merge.replace(" ", "") not in known:
            raise InputError(f"model: {path}: the merge {merge!r} makes no token of the vocabulary; fetch it again")
    return Tokenizer(fields.tokens, fields.merges)
