"""Tiny checkpoints as transformers would write them, from synthetic decoders; a tokenizer of bytes."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from anda_codesign.workloads import Decoder, synthetic_decoder
from anda_codesign.workloads.loading.synthetic import SYNTHETIC_OPT
from anda_codesign.workloads.text.tokenizer import Tokenizer, byte_characters
from safetensors.numpy import save_file

TEXT = "It was a bright cold day in April, and the clocks were striking thirteen. " * 20
TOKENS = np.random.default_rng(1).integers(0, 256, 20).astype(np.int32)
LLAMA, OPT = synthetic_decoder(), synthetic_decoder(SYNTHETIC_OPT)
SHARED = {"num_hidden_layers": 2, "num_attention_heads": 4, "hidden_size": 128, "vocab_size": 256}
LLAMA_CONFIG: dict[str, Any] = {
    **SHARED,
    "model_type": "llama",
    "intermediate_size": 384,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "rms_norm_eps": 1e-5,
    "rope_theta": 10000.0,
    "hidden_act": "silu",
    "tie_word_embeddings": True,
}
OPT_CONFIG: dict[str, Any] = {
    **SHARED,
    "model_type": "opt",
    "ffn_dim": 384,
    "max_position_embeddings": 256,
    "do_layer_norm_before": True,
    "activation_function": "relu",
}
LLAMA_NAMES = {name: f"self_attn.{name}_proj" for name in "qkvo"} | {
    name: f"mlp.{name}_proj" for name in ("gate", "up", "down")
}
OPT_NAMES = {name: f"self_attn.{name}_proj" for name in "qkv"} | {"o": "self_attn.out_proj", "up": "fc1", "down": "fc2"}


def linears(decoder: Decoder, names: dict[str, str], prefix: str) -> dict[str, np.ndarray]:
    tensors: dict[str, np.ndarray] = {}
    for number, layer in enumerate(decoder.weights.layers):
        for name, linear in layer.linears.items():
            tensor = f"{prefix}.{number}.{names[name]}"
            tensors[f"{tensor}.weight"] = np.ascontiguousarray(linear.weights.dequantize().T)
            if linear.bias is not None:
                tensors[f"{tensor}.bias"] = linear.bias
    return tensors


def llama_tensors() -> dict[str, np.ndarray]:
    weights = LLAMA.weights
    tensors = linears(LLAMA, LLAMA_NAMES, "model.layers")
    for number, layer in enumerate(weights.layers):
        tensors[f"model.layers.{number}.input_layernorm.weight"] = layer.attention_norm.gain
        tensors[f"model.layers.{number}.post_attention_layernorm.weight"] = layer.ffn_norm.gain
    return tensors | {"model.embed_tokens.weight": weights.embedding, "model.norm.weight": weights.final_norm.gain}


def opt_tensors() -> dict[str, np.ndarray]:
    weights, root = OPT.weights, "model.decoder"
    tensors = linears(OPT, OPT_NAMES, f"{root}.layers")
    norms = {f"{root}.final_layer_norm": weights.final_norm}
    for number, layer in enumerate(weights.layers):
        norms[f"{root}.layers.{number}.self_attn_layer_norm"] = layer.attention_norm
        norms[f"{root}.layers.{number}.final_layer_norm"] = layer.ffn_norm
    for name, norm in norms.items():
        tensors |= {f"{name}.weight": norm.gain, f"{name}.bias": norm.bias}  # type: ignore[dict-item]
    positions = np.concatenate([np.full((2, 128), np.nan, np.float32), weights.positions])
    return tensors | {f"{root}.embed_tokens.weight": weights.embedding, f"{root}.embed_positions.weight": positions}


def write(folder: Path, config: dict[str, Any], tensors: dict[str, np.ndarray]) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    save_file(tensors, folder / "model.safetensors")
    return folder


class ByteTokenizer(Tokenizer):
    """A token per byte."""

    sha256 = "bytes"

    def __init__(self) -> None:
        super().__init__(byte_characters(), [])
