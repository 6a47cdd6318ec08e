"""Configurations of Hugging Face checkpoints: ``config.json``, checked as a whole, and the index of the weight files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Self, TypeVar

from pydantic import Field, model_validator

from ...formats import InputError
from ...formats.documents.border import border
from ...formats.documents.json_file import read_json
from ...formats.documents.schema import Document, check, parse

Size = Annotated[int, Field(ge=1, le=1 << 24)]
Positive = Annotated[float, Field(gt=0)]
Model = TypeVar("Model", bound=Document)

PLAIN: dict[str, Any] = {
    "hidden_act": "silu",
    "activation_function": "relu",
    "do_layer_norm_before": True,
    "_remove_final_layer_norm": False,
}
"""Options that change the computation, with the only value that the decoder supports."""


class Rope(Document):
    """Options of the rotary embedding."""

    rope_type: str | None = None
    type: str | None = None
    rope_theta: Positive | None = None


class Llama3Rope(Document):
    """Options of the rotary embedding of LLaMA 3.1."""

    factor: Positive
    original_max_position_embeddings: Size
    low_freq_factor: Positive
    high_freq_factor: Positive

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if self.low_freq_factor >= self.high_freq_factor:
            raise ValueError(f"low_freq_factor: is {self.low_freq_factor}; give less than high_freq_factor")
        return self


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

    @property
    def kv_heads(self) -> int:
        """Number of key/value heads."""
        return self.num_attention_heads

    @model_validator(mode="after")
    def _check_heads(self) -> Self:
        for name, whole, parts in (
            ("num_attention_heads", self.hidden_size, self.num_attention_heads),
            ("num_key_value_heads", self.num_attention_heads, self.kv_heads),
        ):
            if whole % parts:
                raise ValueError(f"{name}: is {parts}; give a divisor of {whole}")
        return self


class LlamaConfig(HfConfig):
    """Configuration of LLaMA and Mistral models."""

    intermediate_size: Size
    num_key_value_heads: Size | None = None
    sliding_window: Annotated[int, Field(ge=0)] | None = None
    rms_norm_eps: Positive = 1e-6
    rope_theta: Positive | None = None
    rope_parameters: dict[str, Any] | None = None
    rope_scaling: dict[str, Any] | None = None
    tie_word_embeddings: bool = False

    @property
    def kv_heads(self) -> int:
        """Number of key/value heads."""
        return self.num_key_value_heads or self.num_attention_heads

    @property
    def rope(self) -> dict[str, Any]:
        """Options of the rotary embedding: ``rope_parameters``, or ``rope_scaling`` in older configurations."""
        return self.rope_parameters or self.rope_scaling or {}


class OptConfig(HfConfig):
    """Configuration of OPT models."""

    ffn_dim: Size
    word_embed_proj_dim: Size | None = None


class WeightIndex(Document):
    """Content of ``model.safetensors.index.json``."""

    weight_map: dict[str, str]
    """File of each tensor."""


def read_config(folder: Path) -> LlamaConfig | OptConfig:
    """Read the configuration of a checkpoint folder.

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
    if model_type not in ("llama", "mistral", "opt"):
        raise InputError(f"checkpoint: {path} has model type {model_type!r}; use llama, mistral or opt")
    for key, plain in PLAIN.items():
        if config.get(key, plain) != plain:
            raise InputError(f"checkpoint: {path} has {key} {config[key]!r}; use a model with {plain!r}")
    return complete(OptConfig if model_type == "opt" else LlamaConfig, config, path)


def complete(model: type[Model], data: dict[str, Any], path: Path, of: str = "") -> Model:
    """Check a part of ``config.json``; a missing entry is named with `of`, the part."""
    for name, field in model.model_fields.items():
        if field.is_required() and name not in data:
            raise InputError(f"checkpoint: {path} lacks {name!r}{of}; copy it again")
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
