"""The built-in decoder, captures and tokenizers against transformers' own classes."""

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from anda_codesign.workloads import Decoder, Trace, load_blocks, load_checkpoint, load_decoder
from anda_codesign.workloads.inference.torch_decoder import TorchDecoder
from anda_codesign.workloads.loading.checkpoint import open_checkpoint
from anda_codesign.workloads.text.hf_tokenizer import read_tokenizer
from anda_codesign.workloads.traces.capture import CaptureText, capture_checkpoint

pytestmark = [pytest.mark.hf, pytest.mark.filterwarnings("ignore::DeprecationWarning")]

SHARED = {"vocab_size": 320, "hidden_size": 128, "num_hidden_layers": 3, "num_attention_heads": 4}
LLAMA = SHARED | {
    "intermediate_size": 384,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "rms_norm_eps": 1e-5,
}
LLAMA3_ROPE = {
    "rope_type": "llama3",
    "rope_theta": 10000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}
GEMMA_LAYERS = ["sliding_attention", "full_attention", "sliding_attention"]
TOKENS = np.random.default_rng(1).integers(0, 320, 48).astype(np.int32)
TEXT = "It was a bright cold day in April, and the clocks were striking thirteen. Winston Smith slipped in. " * 20


def llama(**changes: Any) -> Any:
    from transformers import LlamaConfig, LlamaForCausalLM

    return randomised(LlamaForCausalLM(LlamaConfig(**(LLAMA | changes))))


def mistral(**changes: Any) -> Any:
    from transformers import MistralConfig, MistralForCausalLM

    return randomised(MistralForCausalLM(MistralConfig(**(LLAMA | changes))))


def opt(**changes: Any) -> Any:
    from transformers import OPTConfig, OPTForCausalLM

    config = SHARED | {"ffn_dim": 384, "word_embed_proj_dim": 128, "max_position_embeddings": 64} | changes
    return randomised(OPTForCausalLM(OPTConfig(**config)))


def qwen2(**changes: Any) -> Any:
    from transformers import Qwen2Config, Qwen2ForCausalLM

    return randomised(Qwen2ForCausalLM(Qwen2Config(**(LLAMA | changes))))


def qwen3(**changes: Any) -> Any:
    from transformers import Qwen3Config, Qwen3ForCausalLM

    return randomised(Qwen3ForCausalLM(Qwen3Config(**(LLAMA | {"head_dim": 48} | changes))))


def gemma3(**changes: Any) -> Any:
    from transformers import Gemma3ForCausalLM, Gemma3TextConfig

    own = {"head_dim": 48, "query_pre_attn_scalar": 40, "sliding_window": 16, "layer_types": GEMMA_LAYERS}
    return randomised(Gemma3ForCausalLM(Gemma3TextConfig(**(LLAMA | own | changes))))


def randomised(model: Any) -> Any:
    """Weights that keep activations near 1, biases and gains that are not their initial 0 and 1."""
    import torch

    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for values in model.parameters():
            noise = torch.randn(values.shape, generator=generator)
            values.copy_(noise * values.shape[1] ** -0.5 if values.ndim > 1 else 1 + 0.1 * noise)
    return model.eval()


def logits(model: Any, tokens: np.ndarray) -> np.ndarray:
    import torch

    with torch.inference_mode():
        return model(input_ids=torch.from_numpy(tokens.astype(np.int64))[None]).logits[0].numpy()


def save(model: Any, folder: Path) -> Path:
    from transformers.utils import logging

    logging.disable_progress_bar()
    model.save_pretrained(folder)
    return folder


def rope(kind: str, **options: Any) -> dict[str, Any]:
    return {"rope_type": kind, "rope_theta": 10000.0, **options}


MODELS = {
    "llama with grouped heads": llama,
    "llama 3 tied": lambda: llama(rope_parameters=LLAMA3_ROPE, tie_word_embeddings=True),
    "llama with biases": lambda: llama(attention_bias=True, mlp_bias=True),
    "llama with larger heads": lambda: llama(head_dim=48),
    "llama linear": lambda: llama(rope_parameters=rope("linear", factor=4.0)),
    "llama dynamic": lambda: llama(rope_parameters=rope("dynamic", factor=4.0), max_position_embeddings=24),
    "llama yarn": lambda: llama(rope_parameters=rope("yarn", factor=4.0, original_max_position_embeddings=16)),
    "llama yarn of DeepSeek": lambda: llama(
        rope_parameters=rope(
            "yarn",
            factor=8.0,
            original_max_position_embeddings=64,
            beta_fast=16,
            beta_slow=2,
            mscale=1.0,
            mscale_all_dim=0.5,
            truncate=False,
        )
    ),
    "mistral": lambda: mistral(sliding_window=None),
    "mistral within its window": lambda: mistral(sliding_window=48),
    "mistral beyond its window": lambda: mistral(sliding_window=16),
    "qwen2": qwen2,
    "qwen2 tied": lambda: qwen2(tie_word_embeddings=True),
    "qwen2 with windows": lambda: qwen2(use_sliding_window=True, sliding_window=16, max_window_layers=1),
    "qwen3": qwen3,
    "qwen3 with biases": lambda: qwen3(attention_bias=True, tie_word_embeddings=True),
    "gemma3": gemma3,
    "gemma3 untied": lambda: gemma3(tie_word_embeddings=False, layer_types=None, sliding_window_pattern=2),
    "gemma3 stretched": lambda: gemma3(
        rope_parameters={"full_attention": rope("linear", factor=8.0), "sliding_attention": rope("default")}
    ),
    "opt": opt,
    "opt untied": lambda: opt(tie_word_embeddings=False),
    "opt without biases": lambda: opt(enable_bias=False),
}


@pytest.mark.parametrize("name", MODELS)
def test_logits_of_checkpoints(name: str, tmp_path: Path):
    model = MODELS[name]()
    ours = load_checkpoint(save(model, tmp_path), group_size=None)
    theirs = logits(model, TOKENS)
    assert np.abs(theirs).max() > 1
    np.testing.assert_allclose(ours.logits(TOKENS), theirs, atol=2e-4)
    np.testing.assert_allclose(TorchDecoder(ours).nll(TOKENS[None]), ours.nll(TOKENS[None]), atol=1e-4)


GGUF_MODELS = {
    "llama": llama,
    "llama with biases": lambda: llama(attention_bias=True, tie_word_embeddings=True),
    "mistral": lambda: mistral(sliding_window=16),
    "qwen2": lambda: qwen2(tie_word_embeddings=True),
    "qwen3": qwen3,
    "gemma3": lambda: gemma3(
        num_hidden_layers=7, layer_types=None, query_pre_attn_scalar=48, rope_parameters=GEMMA_ROPE
    ),
}
GEMMA_ROPE = {"full_attention": rope("linear", factor=8.0) | {"rope_theta": 1e6}, "sliding_attention": rope("default")}
GGUF_NAMES = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
    "model.layers.": "blk.",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "pre_feedforward_layernorm": "ffn_norm",
    "post_feedforward_layernorm": "post_ffw_norm",
}


def gguf_file(model: Any, path: Path, with_tokenizer: bool = False) -> Path:
    """A model as llama.cpp's converter writes it: rows of q and k interleaved (LLaMA), gains plus 1 (Gemma)."""
    import gguf

    config, kind = model.config, model.config.model_type
    name = {"gemma3_text": "gemma3", "mistral": "llama"}.get(kind, kind)
    writer = gguf.GGUFWriter(path, name)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    writer.add_key_length(head_dim)
    writer.add_value_length(head_dim)
    if kind == "gemma3_text":
        writer.add_rope_freq_base(1e6)
        writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(8.0)
    else:
        writer.add_rope_freq_base(10000.0)
    if kind in ("gemma3_text", "mistral"):
        writer.add_sliding_window(config.sliding_window)
    if with_tokenizer:
        own = json.loads(tokenizer().to_str())["model"]
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre("gpt-2")
        writer.add_token_list(sorted(own["vocab"], key=own["vocab"].__getitem__))
        writer.add_token_merges([" ".join(pair) for pair in own["merges"]])
    names = GGUF_NAMES | {"post_attention_layernorm": "post_attention_norm" if kind == "gemma3_text" else "ffn_norm"}
    for original, tensor in model.state_dict().items():
        if original == "lm_head.weight" and config.tie_word_embeddings:
            continue
        values, own = tensor.float().numpy(), original
        for theirs, ours in names.items():
            own = own.replace(theirs, ours)
        if kind == "gemma3_text" and "norm" in own:
            values = values + 1
        if name == "llama" and ("attn_q" in own or "attn_k" in own):
            halves = values.reshape(-1, 2, head_dim // 2, *values.shape[1:])
            values = halves.swapaxes(1, 2).reshape(values.shape)
        writer.add_tensor(own, np.ascontiguousarray(values))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.mark.parametrize("name", GGUF_MODELS)
def test_logits_of_gguf_files(name: str, tmp_path: Path):
    model = GGUF_MODELS[name]()
    ours = load_decoder(str(gguf_file(model, tmp_path / "model.gguf")), group_size=None)
    theirs = logits(model, TOKENS)
    assert np.abs(theirs).max() > 1
    np.testing.assert_allclose(ours.logits(TOKENS), theirs, atol=2e-4)


def test_bf16_checkpoints(tmp_path: Path):
    import torch

    stored, model = llama().to(torch.bfloat16), llama()
    model.load_state_dict(stored.state_dict())
    loaded = load_checkpoint(save(stored, tmp_path), group_size=None)
    np.testing.assert_allclose(loaded.logits(TOKENS), logits(model, TOKENS), atol=1e-4)
    assert open_checkpoint(tmp_path).stored_dtype == "BF16"


@pytest.mark.model
def test_logits_of_smollm2(smollm2: Decoder):
    """Both in float32; logits reach 39."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    shape = smollm2.shape
    config = LlamaConfig(
        vocab_size=shape.vocabulary,
        hidden_size=shape.hidden,
        intermediate_size=shape.ffn,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        max_position_embeddings=shape.max_length,
        rms_norm_eps=smollm2.weights.norm_epsilon,
        rope_parameters={"rope_type": "default", "rope_theta": smollm2.weights.rope_theta},
        tie_word_embeddings=True,
    )
    with torch.device("meta"):
        model = LlamaForCausalLM(config)
    model.to_empty(device="cpu")
    model.load_state_dict(state(smollm2), strict=False)
    model.tie_weights()
    model.model.rotary_emb = type(model.model.rotary_emb)(config)
    tokens = load_blocks(smollm2.tokenizer, tokens=64, blocks=1).tokens[0]
    ours, theirs = smollm2.logits(tokens), logits(model.eval(), tokens)
    np.testing.assert_allclose(ours, theirs, atol=1e-4)
    np.testing.assert_array_equal(ours.argmax(axis=1), theirs.argmax(axis=1))


def state(decoder: Decoder) -> dict[str, Any]:
    import torch

    weights = decoder.weights
    arrays = {"model.embed_tokens.weight": weights.embedding, "model.norm.weight": weights.final_norm.gain}
    for number, layer in enumerate(weights.layers):
        prefix = f"model.layers.{number}"
        arrays[f"{prefix}.input_layernorm.weight"] = layer.attention_norm.gain
        arrays[f"{prefix}.post_attention_layernorm.weight"] = layer.ffn_norm.gain
        for name, linear in layer.linears.items():
            block = "self_attn" if name in "qkvo" else "mlp"
            arrays[f"{prefix}.{block}.{name}_proj.weight"] = linear.weights.dequantize().T
    return {name: torch.tensor(values) for name, values in arrays.items()}


def tokenizer(vocabulary: int = 320) -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    own = Tokenizer(models.BPE())
    own.pre_tokenizer, own.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=vocabulary, initial_alphabet=alphabet, show_progress=False)
    own.train_from_iterator([TEXT], trainer)
    return own


def test_tokenizers_in_both_forms(tmp_path: Path):
    own = tokenizer()
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    own.save(str(tmp_path / "one" / "tokenizer.json"))
    own.model.save(str(tmp_path / "two"))
    expected = own.encode(TEXT).ids
    for folder in ("one", "two"):
        read = read_tokenizer(tmp_path / folder)
        assert read is not None
        assert read.encode(TEXT).tolist() == expected
        assert read.encode(TEXT).dtype == np.int32
        assert read.decode(read.encode(TEXT)) == TEXT
    assert max(expected) >= 256


LINEARS = {"llama": {"qkv": "q_proj", "o": "o_proj", "u": "gate_proj", "d": "down_proj"}}
LINEARS["opt"] = {"qkv": "q_proj", "o": "out_proj", "u": "fc1", "d": "fc2"}


@pytest.mark.parametrize(("family", "build"), [("llama", llama), ("opt", opt)])
def test_captures_are_what_transformers_computes(family: str, build: Any, tmp_path: Path):
    """transformers' own model with the INT4 weights of the capture, its linear layers' inputs rounded to FP16."""
    import torch

    model = build()
    folder = save(model, tmp_path / "model")
    tokenizer().save(str(folder / "tokenizer.json"))
    (tmp_path / "text.txt").write_text(TEXT)
    text = CaptureText(text=str(tmp_path / "text.txt"), tokens=32, blocks=1)
    trace = Trace.load(capture_checkpoint(folder, tmp_path / "out", text))
    seen: dict[tuple[int, str], np.ndarray] = {}
    names = {name: module for module, name in LINEARS[family].items()}
    ours = {"fc1": "up", "fc2": "down", "out_proj": "o"}
    for path, linear in model.named_modules():
        parts = path.split(".")
        if not isinstance(linear, torch.nn.Linear) or "layers" not in parts:
            continue
        layer, name = int(parts[parts.index("layers") + 1]), parts[-1]
        weights = trace.weights(layer, ours.get(name, name.removesuffix("_proj")))
        with torch.no_grad():
            linear.weight.copy_(torch.tensor(weights.dequantize().T))

        def round_input(_: Any, arguments: Any, layer: int = layer, name: str = name) -> Any:
            rounded = arguments[0].half()
            if name in names:
                seen[layer, names[name]] = rounded.reshape(-1, rounded.shape[-1]).numpy()
            return (rounded.float(),)

        linear.register_forward_pre_hook(round_input)
    ids = load_blocks(read_tokenizer(folder), text.text, tokens=32, blocks=1).tokens[0]  # type: ignore[arg-type]
    logits(model, ids)
    for layer, module in itertools.product(range(3), names.values()):
        own, theirs = trace.activation(layer, module).astype(float), seen[layer, module].astype(float)
        np.testing.assert_allclose(own, theirs, rtol=2e-3, atol=2e-3)
        assert np.median(np.abs(own - theirs)) == 0  # most values agree to the last bit
    assert trace.metadata["tokenizer_sha256"] == read_tokenizer(folder).sha256  # type: ignore[union-attr]
