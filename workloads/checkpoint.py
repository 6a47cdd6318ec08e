"""LLaMA- and OPT-architecture models from Hugging Face checkpoint folders, without torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from ..formats import InputError, Int4Weights
from .decoder import Decoder
from .safetensors_folder import SafetensorsFolder
from .shapes import ModelShape
from .weights import DecoderWeights, LayerWeights, Linear, Norm, linear_names

OPT_POSITION_OFFSET = 2
"""OPT's table of positions has two rows before that of the first token."""


def load_checkpoint(folder: Path | str, group_size: int = 128) -> Decoder:
    """Load a local checkpoint, its linear layers rounded to INT4 as they are read (symmetric, `Int4Weights.quantize`).

    The whole model is kept: a byte per weight, and four more once it has run. Text needs token ids from elsewhere; the
    decoder has no tokenizer.

    Args:
        folder: holds ``config.json`` (model type llama, mistral or opt) and safetensors files of F32, F16 or BF16.
        group_size: input channels that share a weight scale.

    Raises:
        InputError: a file is missing or damaged, or the model is one that the decoder does not compute.
    """
    folder = Path(folder)
    config = _read_config(folder)
    tensors = SafetensorsFolder(folder)
    reader = _Opt if config["model_type"] == "opt" else _Llama
    return Decoder(reader(folder, config, tensors, group_size).decoder(), None, tensors.sha256())


def _read_config(folder: Path) -> dict[str, Any]:
    path = folder / "config.json"
    if not path.is_file():
        raise InputError(f"checkpoint: {path} does not exist; give a Hugging Face checkpoint folder")
    try:
        config = json.loads(path.read_text("utf-8"))
        model_type = config["model_type"]
    except (ValueError, KeyError, TypeError):
        raise InputError(f"checkpoint: {path} is no model configuration; copy it again") from None
    if model_type not in ("llama", "mistral", "opt"):
        raise InputError(f"checkpoint: {path} has model type {model_type!r}; use llama, mistral or opt")
    for key, plain in _PLAIN.items():
        if config.get(key, plain) != plain:
            raise InputError(f"checkpoint: {path} has {key} {config[key]!r}; the decoder computes only {plain!r}")
    return config


_PLAIN: dict[str, Any] = {
    "hidden_act": "silu",
    "activation_function": "relu",
    "do_layer_norm_before": True,
    "sliding_window": None,
    "rope_scaling": None,
    "quantization_config": None,
}
"""Options that would change the computation, with the value that it has."""


class _Reader:
    """What both architectures share."""

    layer_prefix: ClassVar[str]
    names: ClassVar[dict[str, str]]
    """Tensor names of the linear layers and norms, after the layer's prefix."""

    def __init__(self, folder: Path, config: dict[str, Any], tensors: SafetensorsFolder, group_size: int) -> None:
        self._path = folder / "config.json"
        self._config, self._tensors, self._group_size = config, tensors, group_size
        try:
            self.shape = self._shape(folder.name)
        except KeyError as missing:
            raise InputError(f"checkpoint: {self._path} lacks {missing}; copy it again") from None
        if config.get("head_dim") not in (None, self.shape.head_dim):
            raise InputError(
                f"checkpoint: {self._path} has head_dim {config['head_dim']}; "
                f"the decoder computes only hidden_size / num_attention_heads, {self.shape.head_dim}"
            )

    def _shape(self, name: str) -> ModelShape:
        raise NotImplementedError

    def _layers(self) -> list[LayerWeights]:
        return [self._layer(f"{self.layer_prefix}.{layer}.") for layer in range(self.shape.layers)]

    def _layer(self, prefix: str) -> LayerWeights:
        return LayerWeights(
            attention_norm=self._norm(prefix + self.names["attention_norm"]),
            ffn_norm=self._norm(prefix + self.names["ffn_norm"]),
            linears={name: self._linear(prefix, name) for name in linear_names(self.shape)},
        )

    def _linear(self, prefix: str, name: str) -> Linear:
        shape = self.shape
        inputs = shape.ffn if name == "down" else shape.hidden
        wide = {"k": shape.kv_channels, "v": shape.kv_channels, "gate": shape.ffn, "up": shape.ffn}
        outputs = wide.get(name, shape.hidden)
        tensor = prefix + self.names[name]
        matrix = self._tensors.floats(f"{tensor}.weight", (outputs, inputs))
        bias = f"{tensor}.bias"
        return Linear(
            Int4Weights.quantize(np.ascontiguousarray(matrix.T), self._group_size),
            self._tensors.floats(bias, (outputs,)) if bias in self._tensors else None,
        )

    def _norm(self, name: str) -> Norm:
        size, bias = (self.shape.hidden,), f"{name}.bias"
        gain = self._tensors.floats(f"{name}.weight", size)
        return Norm(gain, self._tensors.floats(bias, size) if bias in self._tensors else None)


class _Llama(_Reader):
    layer_prefix: ClassVar[str] = "model.layers"
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

    def _shape(self, name: str) -> ModelShape:
        config = self._config
        return ModelShape(
            name=name,
            family="llama",
            hidden=config["hidden_size"],
            ffn=config["intermediate_size"],
            layers=config["num_hidden_layers"],
            heads=config["num_attention_heads"],
            kv_heads=config.get("num_key_value_heads") or config["num_attention_heads"],
            vocabulary=config["vocab_size"],
            gated=True,
            max_length=config["max_position_embeddings"],
        )

    def decoder(self) -> DecoderWeights:
        table = (self.shape.vocabulary, self.shape.hidden)
        tied = self._config.get("tie_word_embeddings", False)
        return DecoderWeights(
            shape=self.shape,
            embedding=self._tensors.floats("model.embed_tokens.weight", table),
            layers=self._layers(),
            final_norm=self._norm("model.norm"),
            norm_epsilon=self._config.get("rms_norm_eps", 1e-6),
            rope_theta=self._rope_theta(),
            head=None if tied else self._tensors.floats("lm_head.weight", table),
        )

    def _rope_theta(self) -> float:
        """Of the configuration's own field, or of ``rope_parameters``, where newer ones have it."""
        parameters: dict[str, Any] = self._config.get("rope_parameters") or {}
        kind = parameters.get("rope_type", "default")
        if kind != "default":
            raise InputError(f"checkpoint: {self._path} has rope_type {kind!r}; the decoder computes only 'default'")
        return float(parameters.get("rope_theta") or self._config.get("rope_theta") or 10000.0)


class _Opt(_Reader):
    layer_prefix: ClassVar[str] = "model.decoder.layers"
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

    def _shape(self, name: str) -> ModelShape:
        config = self._config
        return ModelShape(
            name=name,
            family="opt",
            hidden=config["hidden_size"],
            ffn=config["ffn_dim"],
            layers=config["num_hidden_layers"],
            heads=config["num_attention_heads"],
            kv_heads=config["num_attention_heads"],
            vocabulary=config["vocab_size"],
            gated=False,
            max_length=config["max_position_embeddings"],
        )

    def decoder(self) -> DecoderWeights:
        shape = self.shape
        positions = (shape.max_length + OPT_POSITION_OFFSET, shape.hidden)
        return DecoderWeights(
            shape=shape,
            embedding=self._tensors.floats("model.decoder.embed_tokens.weight", (shape.vocabulary, shape.hidden)),
            layers=self._layers(),
            final_norm=self._norm("model.decoder.final_layer_norm"),
            norm_epsilon=1e-5,
            positions=self._tensors.floats("model.decoder.embed_positions.weight", positions)[OPT_POSITION_OFFSET:],
        )
