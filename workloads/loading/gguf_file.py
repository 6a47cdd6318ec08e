"""Decoders of LLaMA and its relatives from GGUF files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...formats import InputError
from ..models.gguf_header import GgufHeader, read_header
from ..models.parameters import DecoderWeights, FloatArray, LayerWeights, Linear, Norm, linear_names, linear_shape
from ..models.rope import DividedFrequencies, RopeScaling
from ..models.shapes import ModelShape
from ..text.gguf_tokenizer import gguf_tokenizer
from ..text.tokenizer import TextTokenizer
from .gguf_tensors import GgufTensors, permuted
from .hf_config import llama_config

_TENSOR_NAMES = {
    "q": "attn_q",
    "k": "attn_k",
    "v": "attn_v",
    "o": "attn_output",
    "gate": "ffn_gate",
    "up": "ffn_up",
    "down": "ffn_down",
}
_NORM_NAMES = {
    "query_norm": "attn_q_norm",
    "key_norm": "attn_k_norm",
    "attention_output_norm": "post_attention_norm",
    "ffn_output_norm": "post_ffw_norm",
}
_INTERLEAVED = ("llama", "mistral")
"""Architectures whose files interleave the two halves of each head's rotary pairs."""


def read_gguf(
    path: Path, shape: ModelShape | None = None, group_size: int | None = 128
) -> tuple[DecoderWeights, TextTokenizer | None]:
    """Read a model and its tokenizer, None if the file has none.

    Parameters
    ----------
    path
        The file.
    shape
        Shape that the file must have; None takes that of its metadata.
    group_size
        Number of input channels that share a weight scale when weights are rounded to INT4; None keeps them as they are.
        See `GgufTensors.linear`.

    Raises
    ------
    InputError
        The file is truncated, is no GGUF file, or does not hold a model of this shape.
    """
    header = read_header(path)
    own = header.shape()
    if shape is not None:
        _check_shape(header, own, shape)
        own = replace(own, name=shape.name, max_length=shape.max_length, family=shape.family, source=shape.source)
    with np.errstate(all="raise"):
        return _Model(header, own, group_size).decoder(), gguf_tokenizer(path, header.fields, own.vocabulary)


class _Model:
    """Parameters of one file."""

    def __init__(self, header: GgufHeader, shape: ModelShape, group_size: int | None) -> None:
        self._path, self._shape, self._group_size = header.path, shape, group_size
        self._architecture = header.architecture
        self._config, self._rope = llama_config(header.config, header.path)
        self._tensors = GgufTensors(header)

    def decoder(self) -> DecoderWeights:
        shape, windows, gemma = self._shape, self._config.windows(), self._architecture == "gemma3"
        table = (shape.vocabulary, shape.hidden)
        weights = DecoderWeights(
            shape=shape,
            embedding=self._tensors.floats("token_embd.weight", table),
            layers=[self._layer(layer, window) for layer, window in enumerate(windows)],
            final_norm=self._norm("output_norm", shape.hidden),
            norm_epsilon=self._config.rms_norm_eps,
            rope_theta=self._rope.theta,
            rope_scaling=self._scaling(),
            local_rope_theta=self._rope.local_theta,
            head=self._tensors.floats("output.weight", table) if "output.weight" in self._tensors else None,
            embedding_scale=float(np.float32(shape.hidden**0.5)) if gemma else 1.0,
            attention_scale=float(self._config.query_pre_attn_scalar or shape.head_dim) ** -0.5 if gemma else None,
            gate_activation="gelu_tanh" if gemma else "silu",
        )
        if left := self._tensors.left():
            raise InputError(
                f"model: {self._path} holds {left[0]!r}, which the decoder cannot use; give a plain {shape.family} model"
            )
        return weights

    def _scaling(self) -> RopeScaling | None:
        """Stretching of the rotary embedding; LLaMA 3.1's is stored as a divisor of each frequency."""
        if "rope_freqs.weight" not in self._tensors:
            return self._rope.scaling
        divisors = self._tensors.floats("rope_freqs.weight", (self._shape.head_dim // 2,))
        if self._rope.scaling is not None or not (divisors > 0).all():
            raise InputError(
                f"model: {self._path}: rope_freqs.weight contradicts rope.scaling.type; remove one of them"
            )
        return None if (divisors == 1).all() else DividedFrequencies(tuple(divisors.tolist()))

    def _layer(self, layer: int, window: int | None) -> LayerWeights:
        names = _NORM_NAMES if self._architecture == "gemma3" else {}
        if self._architecture == "qwen3":
            names = {part: _NORM_NAMES[part] for part in ("query_norm", "key_norm")}
        norms: dict[str, Any] = {
            part: self._norm(
                f"blk.{layer}.{name}", self._shape.head_dim if "_q_" in name or "_k_" in name else self._shape.hidden
            )
            for part, name in names.items()
        }
        linears = {name: self._linear(layer, name) for name in linear_names(self._shape)}
        for module in (("q", "k", "v"), ("gate", "up")):
            if len({linears[name].bias is None for name in module}) > 1:
                raise InputError(
                    f"model: {self._path}: some of the biases of {', '.join(module)} in layer {layer} are missing"
                )
        return LayerWeights(
            attention_norm=self._norm(f"blk.{layer}.attn_norm", self._shape.hidden),
            ffn_norm=self._norm(f"blk.{layer}.ffn_norm", self._shape.hidden),
            linears=linears,
            window=window,
            **norms,
        )

    def _norm(self, name: str, channels: int) -> Norm:
        return Norm(self._tensors.floats(f"{name}.weight", (channels,)))

    def _linear(self, layer: int, name: str) -> Linear:
        """A linear layer; the channels of q and k are in the order of half-split rotary embedding."""
        tensor = f"blk.{layer}.{_TENSOR_NAMES[name]}"
        size = linear_shape(self._shape, name)
        weights: Any = self._tensors.linear(f"{tensor}.weight", size, self._group_size)
        bias = self._bias(f"{tensor}.bias", name, size[1])
        heads = {"q": self._shape.heads, "k": self._shape.kv_heads}.get(name)
        if heads is None or self._architecture not in _INTERLEAVED:
            return Linear(weights, bias)
        rows = half_split_rows(heads, self._shape.head_dim)
        return Linear(permuted(weights, rows), None if bias is None else bias[rows])

    def _bias(self, tensor: str, name: str, outputs: int) -> FloatArray | None:
        if tensor in self._tensors:
            return self._tensors.floats(tensor, (outputs,))
        if self._architecture == "qwen2" and name in ("q", "k", "v"):
            raise InputError(f"model: {self._path} holds no tensor {tensor!r}; give a complete GGUF file")
        return None


def half_split_rows(heads: int, head_dim: int) -> NDArray[np.intp]:
    """Positions of the output channels of q or k in GGUF, which interleaves the two halves of each head's rotary pairs."""
    return np.arange(heads * head_dim).reshape(heads, head_dim // 2, 2).swapaxes(1, 2).ravel()


def _check_shape(header: GgufHeader, own: ModelShape, shape: ModelShape) -> None:
    for field in ("hidden", "ffn", "layers", "heads", "kv_heads", "head_dim", "vocabulary"):
        if getattr(own, field) != getattr(shape, field):
            raise InputError(
                f"model: {header.path} has {field} {getattr(own, field)}, {shape.name} has {getattr(shape, field)}; "
                "give the name of the file's model"
            )
