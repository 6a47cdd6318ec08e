"""Models of the LLaMA and OPT architectures and their relatives from Hugging Face checkpoint folders, read without torch."""

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
from ..models.hf_shapes import OPT_POSITION_OFFSET, config_shape
from ..models.parameters import (
    DecoderWeights,
    FloatArray,
    FloatWeights,
    LayerWeights,
    Linear,
    Norm,
    linear_names,
    linear_shape,
)
from ..models.rope import DynamicScaling, YarnScaling
from ..models.shapes import ModelShape
from ..text.hf_tokenizer import HfTokenizer, read_tokenizer
from .hf_config import HfConfig, LlamaConfig, OptConfig, read_config
from .hf_rope import HfRope
from .packed_int4 import PackedLayout
from .safetensors_folder import SafetensorsFolder

EMBEDDING = "embed_tokens.weight"
HEAD = "lm_head.weight"
UNUSED = ("rotary_emb.inv_freq", "embed_positions._float_tensor")
"""Tensors of older files that hold nothing of the model's own."""


def load_checkpoint(folder: Path | str, group_size: int | None = 128) -> Decoder:
    """Load a local checkpoint, its linear layers as INT4, and its tokenizer if the folder has one.

    The whole model is kept in memory: one byte per weight, and four more after the first run.

    Parameters
    ----------
    folder
        Folder with ``config.json`` (model type llama, mistral, qwen2, qwen3, gemma3_text or opt) and safetensors files: F32, F16 or BF16, or
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
    config, rope = read_config(folder)
    if isinstance(config, OptConfig):
        return _Opt(folder, config, group_size)
    assert rope is not None  # all but OPT have one
    kind = _Gemma if config.model_type == "gemma3_text" else _Llama
    return kind(folder, config, rope, group_size)


class Checkpoint(ABC):
    """A model in a folder, read one tensor at a time."""

    root: str
    """Prefix of the tensors of the blocks and the embedding; saves of the bare model leave ``model.`` out."""
    tensor_names: ClassVar[dict[str, str]]
    """Tensors of the linear layers and norms, without the layer's prefix."""
    final_norm: ClassVar[str]
    """Name of the norm after the last layer."""
    norm_bias: ClassVar[bool] = False
    """True if norms have a bias beside their gain."""
    ends: ClassVar[tuple[str, ...]] = ()
    """Tensors beside the layers, the final norm and the embedding."""

    def __init__(self, folder: Path, config: HfConfig, group_size: int | None) -> None:
        self._folder, self._path, self._group_size = folder, folder / "config.json", group_size
        self._stated = config
        self.names = self._names()
        self.shape = self._shape(config_shape(self._path, folder.resolve().name))
        self._layout = PackedLayout.from_folder(folder, config.quantization_config)
        self._tensors = SafetensorsFolder(folder)
        if f"{self.root}.{EMBEDDING}" not in self._tensors:
            self.root = self.root.removeprefix("model").removeprefix(".")
        self._check_names()
        if self._layout is not None and not any(name.endswith(".qweight") for name in self._tensors.names()):
            raise InputError(
                f"checkpoint: {self._path} states quantization_config, but no tensor is packed; remove that entry"
            )

    def _names(self) -> dict[str, str]:
        """Tensors of this model's linear layers and norms."""
        return self.tensor_names

    @property
    def embedding_name(self) -> str:
        """Name of the embedding table."""
        return self._name(EMBEDDING)

    def _name(self, tensor: str) -> str:
        return f"{self.root}.{tensor}" if self.root else tensor

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
        return read_tokenizer(self._folder, self.shape.vocabulary)

    def decoder(self) -> Decoder:
        """Load the whole model."""
        shape = self.shape
        layers = [self.layer(layer) for layer in range(shape.layers)]
        sha256 = f"{self.sha256} {self.quantization}"
        return Decoder(self._weights(layers, self._embedding()), self.tokenizer(), sha256)

    def one_layer(self, layer: int) -> Decoder:
        """Load one layer as a decoder, for `Decoder.run` on the result of `embed` or of the layer before."""
        weights = self._weights([self.layer(layer)], np.empty((0, self.shape.hidden), np.float32))
        return Decoder(replace(weights, shape=self.shape.without_windows().with_layers(1)), None, "")

    def embed(self, tokens: NDArray[np.int32]) -> FloatArray:
        """Residual stream of one sequence before the first layer: float32 ``[tokens, hidden]``.

        Raises
        ------
        InputError
            The sequence is longer than the model's context.
        """
        require_length(self.shape, len(tokens))
        x = self._embedding(tokens)
        if self.embedding_scale != 1:
            x *= np.float32(self.embedding_scale)
        positions = self._positions(np.arange(len(tokens)))
        return x if positions is None else x + positions

    @property
    def embedding_scale(self) -> float:
        """Factor of the embedding; see `DecoderWeights`."""
        return 1.0

    def _shape(self, shape: ModelShape) -> ModelShape:
        """Shape of the model by its configuration; `InputError` if the decoder does not compute it."""
        return shape

    @abstractmethod
    def _weights(self, layers: list[LayerWeights], embedding: FloatArray) -> DecoderWeights:
        """Parameters of a decoder; an embedding ``[0, hidden]`` leaves out what only whole models need."""

    def _positions(self, rows: NDArray[np.intp]) -> FloatArray | None:
        """Learned position embeddings of these positions, or None if the model has none."""
        return None

    def _embedding(self, rows: NDArray[np.int32] | None = None) -> FloatArray:
        return self._tensors.floats(self.embedding_name, (self.shape.vocabulary, self.shape.hidden), rows)

    def _head(self, embedding: FloatArray) -> FloatArray | None:
        """Head of a whole model; None if it is the embedding, or if only a layer is read."""
        if not len(embedding):
            return None
        if self._stated.tie_word_embeddings and HEAD not in self._tensors:
            return None
        head = self._tensors.floats(HEAD, embedding.shape)
        if not self._stated.tie_word_embeddings:
            return head
        if not np.array_equal(head, embedding):
            raise InputError(
                f"checkpoint: {self._path} has tie_word_embeddings true, but {HEAD} is not the embedding; "
                "set it to false to use that head"
            )
        return None

    def layer(self, layer: int) -> LayerWeights:
        """Load the parameters of one layer."""
        prefix = self._name(f"layers.{layer}.")
        return LayerWeights(
            attention_norm=self._norm(prefix + self.names["attention_norm"]),
            ffn_norm=self._norm(prefix + self.names["ffn_norm"]),
            linears={name: self._linear(prefix, name) for name in linear_names(self.shape)},
        )

    def _linear(self, prefix: str, name: str) -> Linear:
        tensor = prefix + self.names[name]
        shape = linear_shape(self.shape, name)
        return Linear(self._matrix(tensor, shape), self._bias(tensor, name, shape[1]))

    def _bias(self, tensor: str, name: str, outputs: int) -> FloatArray | None:
        """Bias that the configuration states; the file must agree, but quantisers may add biases of zeros."""
        bias, stated = f"{tensor}.bias", self._stated.has_bias(name)
        if bias not in self._tensors:
            if stated:
                raise InputError(
                    f"checkpoint: {self._folder} holds no {bias}, which {self._path.name} states; give a complete checkpoint"
                )
            return None
        values = self._tensors.floats(bias, (outputs,))
        if not stated and values.any():
            raise InputError(
                f"checkpoint: {self._folder} holds {bias}, but {self._path.name} states no such bias; "
                "correct attention_bias, mlp_bias or enable_bias there"
            )
        return values if stated else None

    def _matrix(self, tensor: str, shape: tuple[int, int]) -> Int4Weights | FloatWeights:
        if f"{tensor}.qweight" in self._tensors:
            if f"{tensor}.weight" in self._tensors:
                raise InputError(
                    f"checkpoint: {self._folder} holds {tensor} twice, as weight and qweight; copy it again"
                )
            if self._layout is None:
                raise InputError(
                    f"checkpoint: {self._folder} holds {tensor}.qweight, but {self._path.name} has no quantization_config; "
                    "copy it again"
                )
            return self._layout.read(self._tensors, tensor, shape)
        matrix = np.ascontiguousarray(self._tensors.floats(f"{tensor}.weight", shape[::-1]).T)
        return FloatWeights(matrix) if self._group_size is None else Int4Weights.quantize(matrix, self._group_size)

    def _norm(self, name: str, channels: int | None = None) -> Norm:
        size = (channels or self.shape.hidden,)
        gain = self._tensors.floats(f"{name}.weight", size)
        return Norm(gain, self._tensors.floats(f"{name}.bias", size) if self.norm_bias else None)

    def _check_names(self) -> None:
        """Refuse a file with a tensor that the decoder would leave out."""
        norm_parts = ("weight", "bias") if self.norm_bias else ("weight",)
        packed = ("weight", "bias", "qweight", "qzeros", "scales", "g_idx")
        names = {
            EMBEDDING,
            *self.ends,
            *(f"{self.final_norm}.{part}" for part in norm_parts),
        }
        for layer in range(self.shape.layers):
            for own, name in self.names.items():
                names |= {f"layers.{layer}.{name}.{part}" for part in (norm_parts if own.endswith("norm") else packed)}
        known = {self._name(name) for name in names} | {HEAD}
        for name in sorted(self._tensors.names()):
            if name not in known and not name.endswith(UNUSED):
                raise InputError(
                    f"checkpoint: {self._folder} holds {name!r}, which the decoder does not use; "
                    f"give a model that {self._path.name} describes"
                )


class _Llama(Checkpoint):
    root = "model"
    final_norm: ClassVar[str] = "norm"
    tensor_names: ClassVar[dict[str, str]] = {
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
    head_norms: ClassVar[dict[str, str]] = {"query_norm": "self_attn.q_norm", "key_norm": "self_attn.k_norm"}

    def __init__(self, folder: Path, config: LlamaConfig, rope: HfRope, group_size: int | None) -> None:
        self._config, self._rope = config, rope
        self._windows = config.windows()
        super().__init__(folder, config, group_size)

    def _names(self) -> dict[str, str]:
        heads = self._config.model_type in ("qwen3", "gemma3_text")
        return self.tensor_names | (self.head_norms if heads else {})

    def _shape(self, shape: ModelShape) -> ModelShape:
        scaling = self._rope.scaling
        if not isinstance(scaling, DynamicScaling | YarnScaling):
            return shape
        return replace(shape, max_length=max(shape.max_length, int(scaling.original_length * scaling.factor)))

    def layer(self, layer: int) -> LayerWeights:
        """Load the parameters of one layer."""
        prefix = self._name(f"layers.{layer}.")
        norms = {
            part: self._norm(prefix + self.names[part], channels) for part, channels in self._extra_norms().items()
        }
        return replace(super().layer(layer), window=self._windows[layer], **norms)

    def _extra_norms(self) -> dict[str, int]:
        """Channels of the norms beside the two that every block has."""
        return {part: self.shape.head_dim for part in self.head_norms if part in self.names}

    def _weights(self, layers: list[LayerWeights], embedding: FloatArray) -> DecoderWeights:
        return DecoderWeights(
            shape=self.shape,
            embedding=embedding,
            layers=layers,
            final_norm=self._norm(self._name(self.final_norm)),
            norm_epsilon=self._config.rms_norm_eps,
            rope_theta=self._rope.theta,
            rope_scaling=self._rope.scaling,
            local_rope_theta=self._rope.local_theta,
            head=self._head(embedding),
        )


class _Gemma(_Llama):
    """Gemma 3: gains are stored less 1, block outputs are normalised, and the embedding is scaled."""

    tensor_names: ClassVar[dict[str, str]] = _Llama.tensor_names | {
        "attention_output_norm": "post_attention_layernorm",
        "ffn_norm": "pre_feedforward_layernorm",
        "ffn_output_norm": "post_feedforward_layernorm",
    }

    @property
    def embedding_scale(self) -> float:
        """The root of the hidden size."""
        return float(np.float32(self.shape.hidden**0.5))

    def _extra_norms(self) -> dict[str, int]:
        return super()._extra_norms() | dict.fromkeys(("attention_output_norm", "ffn_output_norm"), self.shape.hidden)

    def _norm(self, name: str, channels: int | None = None) -> Norm:
        norm = super()._norm(name, channels)
        return Norm(norm.gain + np.float32(1), norm.bias)

    def _weights(self, layers: list[LayerWeights], embedding: FloatArray) -> DecoderWeights:
        return replace(
            super()._weights(layers, embedding),
            embedding_scale=self.embedding_scale,
            attention_scale=float(self._config.query_pre_attn_scalar or self.shape.head_dim) ** -0.5,
            gate_activation="gelu_tanh",
        )


class _Opt(Checkpoint):
    root = "model.decoder"
    final_norm: ClassVar[str] = "final_layer_norm"
    norm_bias: ClassVar[bool] = True
    ends: ClassVar[tuple[str, ...]] = ("embed_positions.weight",)
    tensor_names: ClassVar[dict[str, str]] = {
        "q": "self_attn.q_proj",
        "k": "self_attn.k_proj",
        "v": "self_attn.v_proj",
        "o": "self_attn.out_proj",
        "up": "fc1",
        "down": "fc2",
        "attention_norm": "self_attn_layer_norm",
        "ffn_norm": "final_layer_norm",
    }

    def _weights(self, layers: list[LayerWeights], embedding: FloatArray) -> DecoderWeights:
        return DecoderWeights(
            shape=self.shape,
            embedding=embedding,
            layers=layers,
            final_norm=self._norm(self._name(self.final_norm)),
            norm_epsilon=1e-5,
            positions=self._positions(np.arange(self.shape.max_length)),
            head=self._head(embedding),
        )

    def _positions(self, rows: NDArray[np.intp]) -> FloatArray:
        table = (self.shape.max_length + OPT_POSITION_OFFSET, self.shape.hidden)
        return self._tensors.floats(self._name("embed_positions.weight"), table, rows + OPT_POSITION_OFFSET)
