"""Shapes from headers of GGUF files that hold no weights."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from anda_codesign.formats import InputError
from anda_codesign.workloads import ModelShape, load_shape
from anda_codesign.workloads.models.hf_shapes import shape_of_config

CONFIGS = Path(__file__).with_name("configs")
SMALL = {"num_hidden_layers": 3, "vocab_size": 50}
ARCHITECTURES = {
    "LLaMA-2-7B": "llama",
    "Mistral-7B": "llama",
    "Mixtral-8x7B": "llama",
    "Qwen2-0.5B": "qwen2",
    "Qwen3-8B": "qwen3",
    "Gemma-2B": "gemma",
    "Gemma-2-2B": "gemma2",
    "Gemma-3-1B": "gemma3",
    "Phi-3-mini": "phi3",
    "GPT-NeoX-20B": "gptneox",
    "Falcon-7B": "falcon",
    "Falcon-40B": "falcon",
    "Qwen1.5-MoE-A2.7B": "qwen2moe",
    "Qwen3-30B-A3B": "qwen3moe",
    "DeepSeekMoE-16B": "deepseek",
}
"""Architecture of llama.cpp for each configuration."""


def small(name: str) -> ModelShape:
    data: dict[str, Any] = json.loads((CONFIGS / name / "config.json").read_text("utf-8"))
    return shape_of_config(data | SMALL, name, "test")


def tensors(shape: ModelShape) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Names and sizes ``[out, in]`` of a model's tensors, as llama.cpp writes them."""
    hidden, layer_norm = shape.hidden, shape.norm == "layer"
    yield "token_embd.weight", (shape.vocabulary, hidden)
    yield from vectors("output_norm", hidden, layer_norm)
    if not shape.tied:
        yield "output.weight", (shape.vocabulary, hidden)
    for layer in range(shape.layers):
        yield from ((f"blk.{layer}.{name}", size) for name, size in block_tensors(shape, layer))


def vectors(name: str, size: int, bias: bool) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield f"{name}.weight", (size,)
    if bias:
        yield f"{name}.bias", (size,)


def block_tensors(shape: ModelShape, layer: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    hidden, layer_norm = shape.hidden, shape.norm == "layer"
    parallel_names = ["attn_norm_2"] if shape.parallel and shape.activation == "gelu" else ["ffn_norm"]
    norms = ["attn_norm", *(parallel_names if shape.block_norms > 1 else [])]
    norms += ["post_attention_norm", "post_ffw_norm"] if shape.block_norms == 4 else []
    for name in norms:
        yield from vectors(name, hidden, layer_norm)
    if shape.qk_norm:
        yield from ((f"attn_{name}_norm.weight", (shape.head_dim,)) for name in "qk")
    fused = shape.family in ("phi3", "gpt_neox", "falcon")
    sizes = {"q": shape.query_channels, "k": shape.kv_channels, "v": shape.kv_channels}
    for name, size in ({"qkv": sum(sizes.values())} if fused else sizes).items():
        yield f"attn_{name}.weight", (size, hidden)
        if "qkv" in shape.biases:
            yield f"attn_{name}.bias", (size,)
    yield "attn_output.weight", (hidden, shape.query_channels)
    if "o" in shape.biases:
        yield "attn_output.bias", (hidden,)
    experts = shape.experts
    if experts is None or layer in shape.dense_layers:
        yield from ffn(shape, "", shape.ffn)
        return
    yield "ffn_gate_inp.weight", (experts.count, hidden)
    yield from ffn(shape, "_exps", experts.ffn, experts.count)
    if experts.shared_ffn:
        yield from ffn(shape, "_shexp", experts.shared_ffn)
    if experts.shared_gate:
        yield "ffn_gate_inp_shexp.weight", (hidden,)


def ffn(shape: ModelShape, suffix: str, channels: int, *count: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    fused = shape.family == "phi3"
    if shape.gated and not fused:
        yield f"ffn_gate{suffix}.weight", (*count, channels, shape.hidden)
    yield f"ffn_up{suffix}.weight", (*count, channels * (2 if fused else 1), shape.hidden)
    yield f"ffn_down{suffix}.weight", (*count, shape.hidden, channels)
    if "u" in shape.biases:
        yield f"ffn_up{suffix}.bias", (channels,)
        yield f"ffn_down{suffix}.bias", (shape.hidden,)


def write(path: Path, shape: ModelShape, architecture: str, *, with_tensors: bool = True, **more: Any) -> Path:
    """A header without weights; entries that are None are left out."""
    writer = gguf.GGUFWriter(path, architecture)
    experts = shape.experts
    entries: dict[str, Any] = {
        "embedding_length": shape.hidden,
        "block_count": shape.layers,
        "feed_forward_length": shape.ffn if experts is None or shape.family != "mixtral" else experts.ffn,
        "context_length": shape.max_length,
        "attention.head_count": shape.heads,
        "attention.head_count_kv": shape.kv_heads,
        "attention.key_length": shape.head_size,
        "attention.value_length": shape.head_size,
        "attention.sliding_window": shape.window,
        "rope.dimension_count": shape.rotary_channels,
    }
    if experts is not None:
        entries |= {"expert_count": experts.count, "expert_used_count": experts.per_token}
    if experts is not None and shape.family != "mixtral":
        entries["expert_feed_forward_length"] = experts.ffn
    if experts is not None and shape.family == "qwen2_moe":
        entries["expert_shared_feed_forward_length"] = experts.shared_ffn
    if experts is not None and shape.family == "deepseek":
        entries |= {"expert_shared_count": 2, "leading_dense_block_count": 1}
    for name, value in (entries | more).items():
        if value is not None:
            writer.add_uint32(f"{architecture}.{name}", value)
    if shape.family == "gpt_neox":
        writer.add_bool("gptneox.use_parallel_residual", True)
    for name, value in (("attn_logit_softcapping", shape.score_cap), ("final_logit_softcapping", shape.logit_cap)):
        if value is not None:
            writer.add_float32(f"{architecture}.{name}", value)
    writer.add_token_list([f"token {index}" for index in range(shape.vocabulary)])
    writer.add_token_scores([0.5] * 5000)
    for name, size in tensors(shape) if with_tensors else ():
        writer.add_tensor_info(name, size, np.dtype(np.float16), 2 * int(np.prod(size)))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    writer.close()
    return path


@pytest.mark.parametrize(("name", "architecture"), ARCHITECTURES.items())
@pytest.mark.parametrize("with_tensors", [True, False])
def test_headers(name: str, architecture: str, with_tensors: bool, tmp_path: Path) -> None:
    """The shape of the configuration; without names of tensors, entries that they decide have their defaults."""
    shape = small(name)
    found = load_shape(write(tmp_path / f"{name}.gguf", shape, architecture, with_tensors=with_tensors))
    assert found == replace(shape, source=f"{name}.gguf", tied=shape.tied if with_tensors else found.tied)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"block_count": None}, "llama.block_count: is missing; give a complete header"),
        ({"attention.head_count": 7}, "kv_heads: 32 do not divide 7 heads"),
        ({"attention.value_length": 96}, "asks for v_head_dim 96 (values of another width than keys)"),
        ({"feed_forward_length": 11000}, "its tensors have "),
        ({"rope.dimension_count": 64}, "asks for partial_rotary_factor 0.5"),
    ],
)
def test_refused(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    file = write(tmp_path / "mine.gguf", small("LLaMA-2-7B"), "llama", **changes)
    with pytest.raises(InputError) as error:
        load_shape(file)
    assert str(error.value).startswith(f"model mine.gguf: {message}")


def test_unknown_or_damaged(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"^model mine.gguf: general.architecture: 'mamba' is unknown; use one of llama"
    ):
        load_shape(write(tmp_path / "mine.gguf", small("LLaMA-2-7B"), "mamba"))
    whole = write(tmp_path / "whole.gguf", small("LLaMA-2-7B"), "llama").read_bytes()
    for size in (0, 3, 20, 300, len(whole) - 9):
        (tmp_path / "cut.gguf").write_bytes(whole[:size])
        with pytest.raises(InputError, match=r"cut.gguf is truncated or no GGUF file \("):
            load_shape(tmp_path / "cut.gguf")
