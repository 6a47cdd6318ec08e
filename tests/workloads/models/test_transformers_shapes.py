"""Parameters, keys and values, and multiply-accumulates against transformers' own models on the meta device."""

import json
from pathlib import Path
from typing import Any

import pytest
from anda_codesign.workloads import gemms, load_shape
from anda_codesign.workloads.models.counts import active_parameters, kv_values, parameters, router_weights
from anda_codesign.workloads.models.hf_shapes import FAMILIES, shape_of_config

pytestmark = [pytest.mark.hf, pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")]

CONFIGS = Path(__file__).with_name("configs")
NAMES = sorted(path.name for path in CONFIGS.iterdir() if path.name != "DeepSeekMoE-16B")
"""DeepSeekMoE runs from code in its checkpoint; transformers itself does not have it."""


def built(data: dict[str, Any]) -> Any:
    """The model of a configuration, of a multi-media one the language model, without memory for its weights."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.for_model(**data).get_text_config()
    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()


def config(name: str, **changes: Any) -> dict[str, Any]:
    return json.loads((CONFIGS / name / "config.json").read_text("utf-8")) | changes


def count(model: Any) -> int:
    return sum(values.numel() for values in model.parameters())


@pytest.mark.parametrize("name", NAMES)
def test_parameters(name: str) -> None:
    assert parameters(load_shape(CONFIGS / name)) == count(built(config(name)))


@pytest.mark.parametrize("name", NAMES)
def test_keys_and_values(name: str) -> None:
    """The shapes of the cache that transformers prepares for 5000 tokens."""
    import torch
    from transformers import StaticCache

    data, shape = config(name), load_shape(CONFIGS / name)
    tokens = min(5000, shape.max_length)
    model = built(data)
    cache = StaticCache(config=model.config, max_cache_len=tokens)
    kept = 0
    for layer in cache.layers:
        heads = getattr(model.config, "num_kv_heads", None) or getattr(model.config, "num_key_value_heads", shape.heads)
        heads = (
            1 if getattr(model.config, "multi_query", False) and not model.config.new_decoder_architecture else heads
        )
        one = torch.empty(1, heads, 1, shape.head_dim, device="meta")
        layer.lazy_initialization(one, one)
        kept += layer.keys.numel() + layer.values.numel()
    assert kv_values(shape, tokens) == kept


CHANGES: list[tuple[str, dict[str, Any]]] = [
    ("LLaMA-2-7B", {"attention_bias": True, "mlp_bias": True, "tie_word_embeddings": True}),
    ("LLaMA-2-7B", {"head_dim": 96, "num_key_value_heads": 4}),
    ("Qwen2-0.5B", {"use_sliding_window": True, "sliding_window": 64, "max_window_layers": 9}),
    ("Qwen3-8B", {"attention_bias": True, "head_dim": 64}),
    ("Gemma-2B", {"attention_bias": True, "head_dim": 64}),
    ("GPT-NeoX-20B", {"attention_bias": False, "tie_word_embeddings": True}),
    ("Falcon-7B", {"parallel_attn": False, "bias": True, "tie_word_embeddings": False}),
    ("Falcon-7B", {"multi_query": False, "num_attention_heads": 71, "num_kv_heads": None}),
    ("Falcon-40B", {"num_ln_in_parallel_attn": 1, "ffn_hidden_size": 1000}),
    ("OPT-125M", {"enable_bias": False}),
    ("Mixtral-8x7B", {"num_local_experts": 5, "head_dim": 64}),
    ("Qwen1.5-MoE-A2.7B", {"qkv_bias": False, "decoder_sparse_step": 2, "mlp_only_layers": [3]}),
    ("Qwen3-30B-A3B", {"mlp_only_layers": [0, 5], "num_experts": 16}),
]


@pytest.mark.parametrize(("name", "changes"), CHANGES)
def test_options_of_a_family(name: str, changes: dict[str, Any]) -> None:
    data = config(name, **changes)
    shape = shape_of_config(dict(data), name, name)
    assert parameters(shape) == count(built(data))


@pytest.mark.parametrize("name", NAMES)
def test_layer_types(name: str) -> None:
    """Layers with a window are those of transformers."""
    from transformers import AutoConfig

    shape = load_shape(CONFIGS / name)
    found = AutoConfig.for_model(**config(name)).get_text_config()
    kinds = getattr(found, "layer_types", None)
    if kinds is not None:
        assert [kind == "full_attention" for kind in kinds] == [
            shape.window is None or layer in shape.global_layers for layer in range(shape.layers)
        ]
    if shape.window is not None:
        assert shape.window == found.sliding_window


WITH_EXPERTS = ("Mixtral-8x7B", "Qwen1.5-MoE-A2.7B", "Qwen3-30B-A3B")


@pytest.mark.parametrize("name", sorted({*NAMES} - {*WITH_EXPERTS}))
def test_macs(name: str) -> None:
    """Products of a pass over 40 tokens; transformers computes attention as dense rectangles and the head for all tokens."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    data = config(name)
    data.get("text_config", data)["num_hidden_layers"] = 6
    shape = shape_of_config(data, name, name).without_windows()
    model = built(data)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(torch.zeros(1, 40, dtype=torch.long, device="meta"))
    ours = sum(gemm.total_macs for gemm in gemms(shape, tokens=40, attention=True))
    assert counter.get_total_flops() == 2 * (ours + 40 * shape.hidden * shape.vocabulary)


@pytest.mark.parametrize("name", WITH_EXPERTS)
def test_macs_of_experts(name: str) -> None:
    """A token's multiply-accumulates are the weights that compute it: those of transformers, less experts left out."""
    shape = load_shape(CONFIGS / name)
    assert shape.experts is not None
    model = built(config(name))
    experts = sum(
        values.numel() for key, values in model.named_parameters() if ".experts." in key and "shared" not in key
    )
    other = sum(
        values.numel()
        for key, values in model.named_parameters()
        if values.ndim > 1 and ".experts." not in key and not any(part in key for part in ("embed", "lm_head"))
    )
    active = other + experts * shape.experts.per_token // shape.experts.count
    macs = sum(gemm.total_macs for gemm in gemms(shape, tokens=1)) + router_weights(shape)
    assert macs == active
    assert active_parameters(shape) == count(model) - experts + experts * shape.experts.per_token // shape.experts.count


def test_every_family_is_compared() -> None:
    kinds = {config(name)["model_type"] for name in NAMES}
    assert set(FAMILIES) - {"deepseek", "gemma3_text"} <= kinds
