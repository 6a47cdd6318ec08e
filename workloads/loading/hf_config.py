"""Configurations of Hugging Face checkpoints: ``config.json``, checked as a whole, and the index of the weight files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import Field, model_validator

from ...formats import InputError
from ...formats.documents.border import border
from ...formats.documents.json_file import read_json
from ...formats.documents.schema import Document, check, parse
from .hf_rope import HfRope, Positive, Size, read_rope

Model = TypeVar("Model", bound=Document)

PLAIN: dict[str, dict[str, Any]] = {
    "opt": {
        "activation_function": "relu",
        "do_layer_norm_before": True,
        "_remove_final_layer_norm": False,
        "layer_norm_elementwise_affine": True,
    },
    "llama": {"hidden_act": "silu", "partial_rotary_factor": 1.0, "sliding_window": None},
    "mistral": {"hidden_act": "silu", "partial_rotary_factor": 1.0},
    "qwen2": {"hidden_act": "silu", "partial_rotary_factor": 1.0},
    "qwen3": {"hidden_act": "silu", "partial_rotary_factor": 1.0},
    "gemma3_text": {
        "hidden_activation": "gelu_pytorch_tanh",
        "partial_rotary_factor": 1.0,
        "final_logit_softcapping": None,
        "attn_logit_softcapping": None,
        "use_bidirectional_attention": False,
    },
}
"""Options that change the computation, with the only value that the decoder supports, by model type."""

DEFAULTS: dict[str, dict[str, Any]] = {
    "opt": {"tie_word_embeddings": True, "enable_bias": True},
    "llama": {},
    "mistral": {"num_key_value_heads": 8, "sliding_window": 4096},
    "qwen2": {"num_key_value_heads": 32, "sliding_window": 4096},
    "qwen3": {"num_key_value_heads": 32, "head_dim": 128, "sliding_window": 4096},
    "gemma3_text": {
        "num_key_value_heads": 4,
        "head_dim": 256,
        "sliding_window": 4096,
        "sliding_window_pattern": 6,
        "query_pre_attn_scalar": 256,
        "tie_word_embeddings": True,
    },
}
"""Values of missing entries in transformers' configuration classes, where they differ from those of `LlamaConfig`."""


class HfConfig(Document):
    """Entries that configurations of all architectures share."""

    model_type: str
    hidden_size: Size
    num_hidden_layers: Size
    num_attention_heads: Size
    vocab_size: Size
    max_position_embeddings: Size
    head_dim: Size | None = None
    quantization_config: dict[str, Any] | None = None
    tie_word_embeddings: bool = False

    @property
    def kv_heads(self) -> int:
        """Number of key/value heads."""
        return self.num_attention_heads

    @model_validator(mode="after")
    def _check_heads(self) -> Self:
        head_dims = self.num_attention_heads if self.head_dim is None else 1
        for name, whole, number in (
            ("num_attention_heads", self.hidden_size, head_dims),
            ("num_key_value_heads", self.num_attention_heads, self.kv_heads),
        ):
            if whole % number:
                raise ValueError(f"{name}: is {number}; give a divisor of {whole}")
        return self

    def has_bias(self, name: str) -> bool:
        """True if a linear layer (q, k, v, o, gate, up or down) has a bias."""
        return False


class LlamaConfig(HfConfig):
    """Configuration of LLaMA and its relatives: Mistral, Qwen2, Qwen3, Gemma 3."""

    intermediate_size: Size
    num_key_value_heads: Size | None = None
    rms_norm_eps: Positive = 1e-6
    attention_bias: bool = False
    mlp_bias: bool = False
    sliding_window: Size | None = None
    use_sliding_window: bool = False
    max_window_layers: Annotated[int, Field(ge=0)] = 28
    sliding_window_pattern: Size | None = None
    layer_types: list[Literal["full_attention", "sliding_attention"]] | None = None
    query_pre_attn_scalar: Positive | None = None

    @property
    def kv_heads(self) -> int:
        """Number of key/value heads."""
        return self.num_key_value_heads or self.num_attention_heads

    @model_validator(mode="after")
    def _check_layers(self) -> Self:
        if self.layer_types is not None and len(self.layer_types) != self.num_hidden_layers:
            raise ValueError(f"layer_types: has {len(self.layer_types)} entries; give {self.num_hidden_layers}")
        return self

    def has_bias(self, name: str) -> bool:
        """True if a linear layer (q, k, v, o, gate, up or down) has a bias."""
        if self.model_type == "qwen2":
            return name in ("q", "k", "v")
        if self.model_type == "mistral":
            return False
        if name in ("q", "k", "v", "o"):
            return self.attention_bias
        return self.mlp_bias and self.model_type == "llama"

    def windows(self) -> list[int | None]:
        """Number of tokens that each layer attends to; None for all."""
        layers = range(self.num_hidden_layers)
        match self.model_type:
            case "llama":
                return [None for _ in layers]
            case "mistral":
                return [self.sliding_window for _ in layers]
            case "gemma3_text":
                local = [bool((layer + 1) % (self.sliding_window_pattern or 1)) for layer in layers]
            case _:
                local = [layer >= self.max_window_layers for layer in layers]
        if self.layer_types is not None:
            local = [kind == "sliding_attention" for kind in self.layer_types]
        used = self.model_type == "gemma3_text" or self.use_sliding_window
        return [self.sliding_window if used and own else None for own in local]


class OptConfig(HfConfig):
    """Configuration of OPT models."""

    ffn_dim: Size
    enable_bias: bool = True

    def has_bias(self, name: str) -> bool:
        """True if a linear layer (q, k, v, o, up or down) has a bias."""
        return self.enable_bias


class WeightIndex(Document):
    """Content of ``model.safetensors.index.json``."""

    weight_map: dict[str, str]
    """File of each tensor."""


def read_config(folder: Path) -> tuple[LlamaConfig | OptConfig, HfRope | None]:
    """Read the configuration of a checkpoint folder, and its rotary embedding.

    Raises
    ------
    InputError
        The file is missing or damaged, or the decoder does not compute such a model.
    """
    path = folder / "config.json"
    if not path.is_file():
        raise InputError(f"checkpoint: {path} does not exist; give a Hugging Face checkpoint folder")
    with border(f"checkpoint: {path} is not a model configuration", "copy it again", with_reason=False):
        config = read_json(path)
        model_type = config["model_type"]
    if not isinstance(model_type, str) or model_type not in DEFAULTS:
        known = ", ".join(DEFAULTS)
        raise InputError(f"checkpoint: {path} has model type {model_type!r}; use one of {known}")
    if model_type == "opt":
        return complete(OptConfig, _plain(config, path), path), None
    return llama_config(config, path)


def llama_config(config: dict[str, Any], path: Path) -> tuple[LlamaConfig, HfRope]:
    """Check the entries of LLaMA or a relative, and their rotary embedding.

    Raises
    ------
    InputError
        An entry is missing or wrong, or the decoder does not compute it.
    """
    default = HfRope(1e6, None, 1e4) if config["model_type"] == "gemma3_text" else HfRope(1e4, None, None)
    config = _plain(config, path)
    return complete(LlamaConfig, config, path), read_rope(config, path, default)


def _plain(config: dict[str, Any], path: Path) -> dict[str, Any]:
    """Entries with the defaults of their model type; `InputError` for an option that the decoder does not compute."""
    model_type = config["model_type"]
    config = DEFAULTS[model_type] | config
    for key, plain in PLAIN[model_type].items():
        if config.get(key, plain) not in (plain, plain or None):
            raise InputError(f"checkpoint: {path} has {key} {config[key]!r}; use a model with {plain!r}")
    return config


def complete(model: type[Model], data: dict[str, Any], path: Path) -> Model:
    """Check ``config.json``; a missing entry is named."""
    for name, field in model.model_fields.items():
        if field.is_required() and name not in data:
            raise InputError(f"checkpoint: {path} lacks {name!r}; copy it again")
    return check(model, data, f"checkpoint: {path}")


def read_index(path: Path) -> dict[str, str]:
    """File of each tensor, by the index of a checkpoint folder; all of them lie in this folder.

    Raises
    ------
    InputError
        The index is damaged, or names a file elsewhere.
    """
    with border(f"checkpoint: {path} is damaged", "copy it again", with_reason=False):
        files = parse(WeightIndex, read_json(path)).weight_map
    for name in files.values():
        if Path(name).name != name or "\\" in name or not name.endswith(".safetensors"):
            raise InputError(
                f"checkpoint: {path} names {name!r}, which is no safetensors file of its folder; copy it again"
            )
    return files
