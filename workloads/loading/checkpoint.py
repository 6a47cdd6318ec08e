"""Models of the LLaMA and OPT architectures from Hugging Face checkpoint folders, read without torch."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ...formats import InputError, Int4Weights
from ..files import file_sha256
from ..inference.decoder import Decoder, require_length
from ..models.parameters import (
    DecoderWeights,
    FloatArray,
    FloatWeights,
    LayerWeights,
    Linear,
    Norm,
    RopeScaling,
    linear_names,
    linear_shape,
)
from ..models.shapes import ModelShape
from ..text.hf_tokenizer import HfTokenizer, read_tokenizer
from .hf_config import HfConfig, Llama3Rope, LlamaConfig, OptConfig, Rope, complete, read_config
from .packed_int4 import PackedLayout
from .safetensors_folder import SafetensorsFolder

OPT_POSITION_OFFSET = 2
"""Rows of OPT's position table before that of the first token."""


def load_checkpoint(folder: Path | str, group_size: int | None = 128) -> Decoder:
    """Load a local checkpoint, its linear layers as INT4, and its tokenizer if the folder has one.

    The whole model is kept in memory: one byte per weight, and four more after the first run.

    Parameters
    ----------
    folder
        Folder with ``config.json`` (model type llama, mistral or opt) and safetensors files: F32, F16 or BF16, or
        linear layers packed by GPTQ or AWQ, which are not changed.
    group_size
        Number of input channels that share a weight scale when floats are rounded to INT4 (symmetric,
        `Int4Weights.quantize`); None leaves floats as they are.

    Raises
    ------
    InputError
        A file is missing or damaged, or the decoder does not support the model.
    """
    return open_checkpoint(folder, group_size).decoder()


def open_checkpoint(folder: Path | str, group_size: int | None = 128) -> Checkpoint:
    """Open a local checkpoint; its tensors are read when they are needed. See `load_checkpoint`."""
    folder = Path(folder)
    config = read_config(folder)
    return _Opt(folder, config, group_size) if isinstance(config, OptConfig) else _Llama(folder, config, group_size)


class Checkpoint(ABC):
    """A model in a folder, read one tensor at a time."""

    layer_prefix: ClassVar[str]
    embedding_name: ClassVar[str]
    names: ClassVar[dict[str, str]]
    """Tensor names of the linear layers and norms, without the layer's prefix."""

    def __init__(self, folder: Path, config: HfConfig, group_size: int | None) -> None:
        self._folder, self._path, self._group_size = folder, folder / "config.json", group_size
        self.shape = self._shape(folder.resolve().name)
        if config.head_dim not in (None, self.shape.head_dim):
            raise InputError(
                f"checkpoint: {self._path} has head_dim {config.head_dim}; "
                f"use a model with hidden_size / num_attention_heads, here {self.shape.head_dim}"
            )
        packed = config.quantization_config
        self._layout = PackedLayout.from_config(packed, self._path) if packed else None
        self._tensors = SafetensorsFolder(folder)

    @cached_property
    def sha256(self) -> str:
        """Hexadecimal sha256 of the configuration and all weight files together."""
        return hashlib.sha256((file_sha256(self._path) + self._tensors.sha256()).encode()).hexdigest()

    @property
    def stored_dtype(self) -> str:
        """Stored type of the embedding: ``"F32"``, ``"F16"`` or ``"BF16"``."""
        return self._tensors.dtype(self.embedding_name)

    @property
    def quantization(self) -> str:
        """Origin of the INT4 weights, for the metadata of a trace."""
        if self._layout is not None:
            return self._layout.description
        return "none" if self._group_size is None else f"round to nearest, symmetric, group {self._group_size}"

    def tokenizer(self) -> HfTokenizer | None:
        """Return the folder's tokenizer, or None if it has none."""
        return read_tokenizer(self._folder)

    def decoder(self) -> Decoder:
        """Load the whole model."""
        shape = self.shape
        layers = [self.layer(layer) for layer in range(shape.layers)]
        sha256 = f"{self.sha256} {self.quantization}"
        return Decoder(self._weights(layers, self._embedding()), self.tokenizer(), sha256)

    def one_layer(self, layer: int) -> Decoder:
        """Load one layer as a decoder, for `Decoder.run` on the result of `embed` or of the layer before."""
        weights = self._weights([self.layer(layer)], np.empty((0, self.shape.hidden), np.float32))
        return Decoder(replace(weights, shape=replace(self.shape, layers=1)), None, "")

    def embed(self, tokens: NDArray[np.int32]) -> FloatArray:
        """Residual stream of one sequence before the first layer: float32 ``[tokens, hidden]``.

        Raises
        ------
        InputError
            The sequence is longer than the model's context.
        """
        require_length(self.shape, len(tokens))
        x = self._embedding(tokens)
        positions = self._positions(np.arange(len(tokens)))
        return x if positions is None else x + positions

    @abstractmethod
    def _shape(self, name: str) -> ModelShape: ...

    @abstractmethod
    def _weights(self, layers: list[LayerWeights], embedding: FloatArray) -> DecoderWeights:
        """Parameters of a decoder; an embedding ``[0, hidden]`` leaves out what only whole models need."""

    def _positions(self, rows: NDArray[np.intp]) -> FloatArray | None:
        """Learned position embeddings of these positions, or None if the model has none."""
        return None

    def _embedding(self, rows: NDArray[np.int32] | None = None) -> FloatArray:
        return self._tensors.floats(self.embedding_name, (self.shape.vocabulary, self.shape.hidden), rows)

    def layer(self, layer: int) -> LayerWeights:
        """Load the parameters of one layer."""
        prefix = f"{self.layer_prefix}.{layer}."
        return LayerWeights(
            attention_norm=self._norm(prefix + self.names["attention_norm"]),
            ffn_norm=self._norm(prefix + self.names["ffn_norm"]),
            linears={name: self._linear(prefix, name) for name in linear_names(self.shape)},
        )

    def _linear(self, prefix: str, name: str) -> Linear:
        inputs, outputs = linear_shape(self.shape, name)
        tensor = prefix + self.names[name]
        bias = f"{tensor}.bias"
        return Linear(
            self._matrix(tensor, (inputs, outputs)),
            self._tensors.floats(bias, (outputs,)) if bias in self._tensors else None,
        )

    def _matrix(self, tensor: str, shape: tuple[int, int]) -> Int4Weights | FloatWeights:
        if self._layout is not None and f"{tensor}.qweight" in self._tensors:
            return self._layout.read(self._tensors, tensor, shape)
        matrix = np.ascontiguousarray(self._tensors.floats(f"{tensor}.weight", shape[::-1]).T)
        return FloatWeights(matrix) if self._group_size is None else Int4Weights.quantize(matrix, self._group_size)

    def _norm(self, name: str) -> Norm:
        size, bias = (self.shape.hidden,), f"{name}.bias"
        gain = self._tensors.floats(f"{name}.weight", size)
        return Norm(gain, self._tensors.floats(bias, size) if bias in self._tensors else None)


class _Llama(Checkpoint):
    layer_prefix: ClassVar[str] = "model.layers"
    embedding_name: ClassVar[str] = "model.embed_tokens.weight"
    names: ClassVar[dict[str, str]] = {
        "q": "self_attn.q_proj",
        "k": "self_attn.k_proj",
        "v": "self_attn.v_proj",
        "o": "self_attn.o_proj",
        "gate": "mlp.gate_proj",
        "up": "mlp.up_proj",
        "down": "mlp.down_proj",
        "attention_norm": "input_layernorm",
        "ffn_norm": "post_attention_layernorm",
    }

    def __init__(self, folder: Path, config: LlamaConfig, group_size: int | None) -> None:
        self._config = config
        super().__init__(folder, config, group_size)

    def _shape(self, name: str) -> ModelShape:
        config = self._config
        return ModelShape(
            name=name,
            family="llama",
            hidden=config.hidden_size,
            ffn=config.intermediate_size,
            layers=config.num_hidden_layers,
            heads=config.num_attention_heads,
            kv_heads=config.kv_heads,
            vocabulary=config.vocab_size,
            gated=True,
            # within the window's length, attention to the window is attention to all tokens
            max_length=min(config.max_position_embeddings, config.sliding_window or config.max_position_embeddings),
            tied=config.tie_word_embeddings,
        )

    def _weights(self, layers: list[LayerWeights], embedding: FloatArray) -> DecoderWeights:
        config = self._config
        tied = config.tie_word_embeddings or not len(embedding)
        table = (self.shape.vocabulary, self.shape.hidden)
        rope = complete(Rope, config.rope, self._path)
        return DecoderWeights(
            shape=self.shape,
            embedding=embedding,
            layers=layers,
            final_norm=self._norm("model.norm"),
            norm_epsilon=config.rms_norm_eps,
            rope_theta=float(rope.rope_theta or config.rope_theta or 10000.0),
            rope_scaling=self._rope_scaling(rope.rope_type or rope.type or "default"),
            head=None if tied else self._tensors.floats("lm_head.weight", table),
        )

    def _rope_scaling(self, kind: str) -> RopeScaling | None:
        if kind == "default":
            return None
        if kind != "llama3":
            raise InputError(f"checkpoint: {self._path} has rope_type {kind!r}; use a model with default or llama3")
        rope = complete(Llama3Rope, self._config.rope, self._path, " of rope_type 'llama3'")
        return RopeScaling(
            factor=rope.factor,
            original_length=rope.original_max_position_embeddings,
            low_frequency_factor=rope.low_freq_factor,
            high_frequency_factor=rope.high_freq_factor,
        )


class _Opt(Checkpoint):
    layer_prefix: ClassVar[str] = "model.decoder.layers"
    embedding_name: ClassVar[str] = "model.decoder.embed_tokens.weight"
    names: ClassVar[dict[str, str]] = {
        "q": "self_attn.q_proj",
        "k": "self_attn.k_proj",
        "v": "self_attn.v_proj",
        "o": "self_attn.out_proj",
        "up": "fc1",
        "down": "fc2",
        "attention_norm": "self_attn_layer_norm",
        "ffn_norm": "final_layer_norm",
    }

    def __init__(self, folder: Path, config: OptConfig, group_size: int | None) -> None:
        self._config = config
        super().__init__(folder, config, group_size)

    def _shape(self, name: str) -> ModelShape:
        config = self._config
        if config.word_embed_proj_dim not in (None, config.hidden_size):
            raise InputError(f"checkpoint: {self._path} projects its embedding (word_embed_proj_dim); use another OPT")
        return ModelShape(
            name=name,
            family="opt",
            hidden=config.hidden_size,
            ffn=config.ffn_dim,
            layers=config.num_hidden_layers,
            heads=config.num_attention_heads,
            kv_heads=config.num_attention_heads,
            vocabulary=config.vocab_size,
            gated=False,
            activation="relu",
            norm="layer",
            biases=("qkv", "o", "u", "d"),
            rotary_share=0.0,
            position_rows=config.max_position_embeddings + OPT_POSITION_OFFSET,
            max_length=config.max_position_embeddings,
            tied=True,
        )

    def _weights(self, layers: list[LayerWeights], embedding: FloatArray) -> DecoderWeights:
        return DecoderWeights(
            shape=self.shape,
            embedding=embedding,
            layers=layers,
            final_norm=self._norm("model.decoder.final_layer_norm"),
            norm_epsilon=1e-5,
            positions=self._positions(np.arange(self.shape.max_length)),
        )

    def _positions(self, rows: NDArray[np.intp]) -> FloatArray:
        table = (self.shape.max_length + OPT_POSITION_OFFSET, self.shape.hidden)
        return self._tensors.floats("model.decoder.embed_positions.weight", table, rows + OPT_POSITION_OFFSET)
