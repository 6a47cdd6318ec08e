"""Model shapes from the header of a GGUF file: its metadata, and names and sizes of its tensors. The weights may be missing."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...formats import InputError
from .counts import parameters
from .gguf_header import read_header
from .hf_shapes import shape_of_config
from .shapes import ModelShape

ARCHITECTURES = {
    "llama": "llama",
    "qwen2": "qwen2",
    "qwen2moe": "qwen2_moe",
    "qwen3": "qwen3",
    "qwen3moe": "qwen3_moe",
    "deepseek": "deepseek",
    "gemma": "gemma",
    "gemma2": "gemma2",
    "gemma3": "gemma3_text",
    "phi3": "phi3",
    "gptneox": "gpt_neox",
    "falcon": "falcon",
}
"""``model_type`` of ``config.json`` by GGUF's ``general.architecture``."""

REQUIRED = {
    "embedding_length": "hidden_size",
    "block_count": "num_hidden_layers",
    "attention.head_count": "num_attention_heads",
    "context_length": "max_position_embeddings",
}
ENTRIES = REQUIRED | {
    "feed_forward_length": "intermediate_size",
    "attention.head_count_kv": "num_key_value_heads",
    "attention.key_length": "head_dim",
    "attention.sliding_window": "sliding_window",
    "attn_logit_softcapping": "attn_logit_softcapping",
    "final_logit_softcapping": "final_logit_softcapping",
    "use_parallel_residual": "use_parallel_residual",
    "expert_used_count": "num_experts_per_tok",
    "expert_feed_forward_length": "moe_intermediate_size",
    "expert_shared_feed_forward_length": "shared_expert_intermediate_size",
    "expert_shared_count": "n_shared_experts",
    "leading_dense_block_count": "first_k_dense_replace",
    "vocab_size": "vocab_size",
}
"""Entries of ``config.json`` by those of GGUF, which stand behind the architecture's name."""
EXPERTS = {"deepseek": "n_routed_experts", "mixtral": "num_local_experts"}
"""Name of the number of experts in ``config.json``, where it is not ``num_experts``."""
ROTARY_TABLES = ("rope_freqs.weight", "rope_factors_long.weight", "rope_factors_short.weight")
"""Tensors that are no parameters: they follow from the configuration."""

Sizes = Mapping[str, tuple[int, ...]]


def gguf_shape(path: Path) -> ModelShape:
    """The shape of a model by the header of its GGUF file.

    Raises
    ------
    InputError
        There is no such file, it is no GGUF file or ends within its header, its architecture is unknown, or its tensors
        have other parameters than the shape.
    """
    if not path.is_file():
        raise InputError(f"model: {path} does not exist; give a GGUF file")
    where = f"model {path.name}"
    fields, tensors = _header(path)
    architecture = fields.get("general.architecture")
    if not isinstance(architecture, str) or architecture not in ARCHITECTURES:
        known = ", ".join(ARCHITECTURES)
        raise InputError(f"{where}: general.architecture: {str(architecture)[:60]!r} is unknown; use one of {known}")
    shape = shape_of_config(_config(fields, tensors, architecture, where), path.stem, where)
    counted = sum(math.prod(size) for name, size in tensors.items() if name not in ROTARY_TABLES)
    if tensors and counted != parameters(shape):
        raise InputError(
            f"{where}: its tensors have {counted:,} values, and a model of its metadata {parameters(shape):,}; give a file of the "
            f"plain architecture {architecture}"
        )
    return shape


def _header(path: Path) -> tuple[dict[str, Any], dict[str, tuple[int, ...]]]:
    """Metadata, with the lengths of lists of texts, and the sizes of all tensors by name."""
    header = read_header(path)
    fields = {
        name: len(value) if isinstance(value, list) and value and isinstance(value[0], str) else value
        for name, value in header.fields.items()
    }
    return fields, {name: place.shape[::-1] for name, place in header.tensors.items()}


def _config(fields: Mapping[str, Any], tensors: Sizes, architecture: str, where: str) -> dict[str, Any]:
    """The header as entries of ``config.json``."""
    for name in REQUIRED:
        if f"{architecture}.{name}" not in fields:
            raise InputError(f"{where}: {architecture}.{name}: is missing; give a complete header")
    data = {theirs: fields[key] for name, theirs in ENTRIES.items() if (key := f"{architecture}.{name}") in fields}
    kind = data["model_type"] = _kind(fields, data, architecture)
    if experts := fields.get(f"{architecture}.expert_count"):
        data[EXPERTS.get(kind, "num_experts")] = experts
    else:
        data.pop("num_experts_per_tok", None)
    _add_sizes(data, fields, tensors, architecture)
    if tensors:
        data["tie_word_embeddings"] = "output.weight" not in tensors
        _add_biases(data, tensors)
    if kind == "gpt_neox":  # GGUF states what its configuration leaves out
        _remove_usual(data)
    if kind == "falcon":
        data["num_kv_heads"] = data.pop("num_key_value_heads", None)
        data["ffn_hidden_size"] = data.pop("intermediate_size", None)
        data["new_decoder_architecture"] = "blk.0.attn_norm_2.weight" in tensors or data["num_kv_heads"] != 1
    return data


def _remove_usual(data: dict[str, Any]) -> None:
    """Remove a number of key/value heads and a size of heads that every such model has."""
    hidden, heads = data["hidden_size"], data["num_attention_heads"]
    if data.get("num_key_value_heads") == heads:
        del data["num_key_value_heads"]
    if isinstance(heads, int) and data.get("head_dim", 0) * heads == hidden:
        data.pop("head_dim", None)


def _kind(fields: Mapping[str, Any], data: Mapping[str, Any], architecture: str) -> str:
    """GGUF calls all relatives of LLaMA by one name."""
    if architecture == "llama" and fields.get("llama.expert_count"):
        return "mixtral"
    return "mistral" if architecture == "llama" and data.get("sliding_window") else ARCHITECTURES[architecture]


def _add_sizes(data: dict[str, Any], fields: Mapping[str, Any], tensors: Sizes, architecture: str) -> None:
    """Vocabulary and rotated share of a head, which GGUF states in other ways."""
    embedding, tokens = tensors.get("token_embd.weight"), fields.get("tokenizer.ggml.tokens")
    if embedding is not None:
        data["vocab_size"] = embedding[-1]
    elif "vocab_size" not in data:
        data["vocab_size"] = tokens
    rotated, heads, hidden = (
        fields.get(f"{architecture}.rope.dimension_count"),
        data["num_attention_heads"],
        data["hidden_size"],
    )
    if "head_dim" not in data and isinstance(heads, int) and isinstance(hidden, int) and heads and hidden % heads == 0:
        channels = hidden // heads
    else:
        channels = data.get("head_dim")
    if isinstance(rotated, int) and isinstance(channels, int) and channels:
        data["partial_rotary_factor"] = rotated / channels
    value = fields.get(f"{architecture}.attention.value_length", data.get("head_dim"))
    if value != data.get("head_dim"):
        data["v_head_dim"] = value


def _add_biases(data: dict[str, Any], tensors: Sizes) -> None:
    """Biases that a family may have or not."""
    attention = any(f"blk.0.{name}.bias" in tensors for name in ("attn_output", "attn_qkv"))
    match data["model_type"]:
        case "qwen2_moe":
            data["qkv_bias"] = "blk.0.attn_q.bias" in tensors
        case "falcon":
            data["bias"] = attention
        case "qwen2" | "phi3" | "mistral" | "mixtral":
            pass
        case _:
            data["attention_bias"] = attention
