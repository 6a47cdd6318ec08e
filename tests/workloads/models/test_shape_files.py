"""Models from a description: published configurations, YAML files, and what is refused."""

import json
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from anda_codesign.formats import InputError
from anda_codesign.workloads import ModelShape, gemms, load_shape, model_names, model_shape
from anda_codesign.workloads.models.counts import active_parameters, kv_values, parameters
from anda_codesign.workloads.models.hf_shapes import shape_of_config
from anda_codesign.workloads.models.shape_files import read_shape, shape_schema, shape_yaml
from hypothesis import given
from hypothesis import strategies as st

CONFIGS = Path(__file__).with_name("configs")
PUBLISHED: dict[str, dict[str, Any]] = yaml.safe_load(CONFIGS.with_name("published.yaml").read_text("utf-8"))


def config(name: str, **changes: Any) -> dict[str, Any]:
    return json.loads((CONFIGS / name / "config.json").read_text("utf-8")) | changes


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_counts(name: str) -> None:
    published, shape = PUBLISHED[name], load_shape(CONFIGS / name)
    assert parameters(shape) == published["parameters"]
    assert parameters(shape) / 1e9 == pytest.approx(published["published"], rel=0.035)
    assert active_parameters(shape) / 1e9 == pytest.approx(published.get("active", published["published"]), rel=0.035)
    assert 2 * kv_values(shape, 1) == published["kv_bytes_per_token"]


def test_every_configuration_is_published() -> None:
    assert {path.name for path in CONFIGS.iterdir()} == set(PUBLISHED)


def test_dense_macs_are_the_weights_of_the_linear_layers() -> None:
    shape = load_shape(CONFIGS / "Qwen2.5-7B")
    hidden, ffn = 3584, 18944
    assert sum(gemm.total_macs for gemm in gemms(shape, tokens=1)) == 28 * hidden * (hidden * 2 + 2 * 512 + 3 * ffn)


@pytest.mark.parametrize("name", [*model_names(), *PUBLISHED])
def test_yaml_comes_back(name: str, tmp_path: Path) -> None:
    shape = model_shape(name) if name in model_names() else load_shape(CONFIGS / name)
    file = tmp_path / "model.yaml"
    file.write_text(shape_yaml(shape), "utf-8")
    assert read_shape(file) == load_shape(str(file)) == shape


@pytest.mark.parametrize("name", model_names())
def test_names(name: str) -> None:
    assert load_shape(name) is load_shape(name.lower()) is model_shape(name)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("GPT-5.1", "'GPT-5.1' is unknown; choose one of OPT-125M, .*, or give a YAML file, a folder"),
        ("", "'' is unknown"),
        ("none/GPT", "there is no 'none/GPT'; give a YAML file, a folder with config.json or a GGUF file"),
    ],
)
def test_unknown_models(model: str, message: str) -> None:
    with pytest.raises(InputError, match=f"^model: {message}"):
        load_shape(model)


def test_windows_limit_the_cache() -> None:
    gemma = load_shape(CONFIGS / "Gemma-3-1B")
    assert [part.shape.layers for part in gemma.parts] == [22, 4]
    assert gemma.global_layers == (5, 11, 17, 23)
    assert kv_values(gemma, 32768) == 2 * 256 * (22 * 512 + 4 * 32768)
    mistral = load_shape(CONFIGS / "Mistral-7B")
    assert kv_values(mistral, 4096) == kv_values(mistral, 32768) == 2 * 32 * 1024 * 4096


@given(st.integers(1, 8), st.integers(1, 64), st.integers(1, 300), st.sampled_from(["prefill", "decode"]))
def test_experts_compute_every_token(per_token: int, batch: int, tokens: int, phase: str) -> None:
    """Each token passes its experts, on a whole number of distinct experts near the expected one."""
    shape = load_shape(CONFIGS / "Mixtral-8x7B")
    assert shape.experts is not None
    shape = replace(shape, experts=replace(shape.experts, per_token=per_token))
    steps, rows = (tokens, batch) if phase == "decode" else (1, tokens * batch)
    for gemm_module, ins, outs in (("u", 4096, 2 * 14336), ("d", 14336, 4096)):
        found = [g for g in gemms(shape, phase, tokens, batch=batch) if g.module == gemm_module]
        assert sum(g.total_macs for g in found) == 32 * tokens * batch * per_token * ins * outs
        expected = 32 * steps * 8 * (1 - (1 - per_token / 8) ** rows)
        assert abs(sum(g.repeat for g in found) - expected) <= 0.5
        assert max(g.tokens for g in found) - min(g.tokens for g in found) <= 1


def test_shared_experts_and_dense_layers() -> None:
    shape = load_shape(CONFIGS / "DeepSeekMoE-16B")
    ups = [(g.tokens, g.out_channels, g.repeat) for g in gemms(shape, "decode", 1) if g.module == "u"]
    assert ups == [(1, 2 * 10944, 1), (1, 2 * 2 * 1408, 27), (1, 2 * 1408, 27 * 6)]


def refusal(data: dict[str, Any]) -> str:
    with pytest.raises(InputError) as error:
        shape_of_config(data, "mine", "model config.json")
    text = str(error.value)
    assert text.startswith("model config.json: ")
    assert "\n" not in text
    return text.removeprefix("model config.json: ")


@pytest.mark.parametrize(
    ("base", "changes", "message"),
    [
        ("LLaMA-2-7B", {"model_type": "mamba"}, "model_type: 'mamba' is unknown; use one of llama, mistral"),
        ("LLaMA-2-7B", {"model_type": None}, "model_type: None is unknown"),
        ("LLaMA-2-7B", {"hidden_size": None}, "hidden_size: is missing; add it"),
        ("LLaMA-2-7B", {"hidden_size": 4095}, "heads: 32 do not divide 4095 hidden channels"),
        ("LLaMA-2-7B", {"num_key_value_heads": 5}, "kv_heads: 5 do not divide 32 heads"),
        ("LLaMA-2-7B", {"num_hidden_layers": 10**9}, "num_hidden_layers: 1000000000 is not valid"),
        ("LLaMA-2-7B", {"vocab_size": "32000"}, "vocab_size: '32000' is not valid"),
        ("LLaMA-2-7B", {"hidden_act": "relu2"}, "hidden_act: 'relu2' is not valid; choose one of silu"),
        ("LLaMA-2-7B", {"rope_scaling": {"rope_type": "mrope"}}, "rope_scaling.rope_type: 'mrope' is not valid"),
        ("LLaMA-2-7B", {"num_local_experts": 8}, "asks for num_local_experts 8, which a shape of model_type llama"),
        ("LLaMA-2-7B", {"kv_lora_rank": 512}, "asks for kv_lora_rank 512 (multi-head latent attention)"),
        ("LLaMA-2-7B", {"sliding_window": 512}, "asks for sliding_window 512, which a shape of model_type llama"),
        ("LLaMA-2-7B", {"tie_word_embeddings": "no"}, "tie_word_embeddings: is 'no'; write true or false"),
        ("Falcon-7B", {"alibi": True}, "asks for alibi True (attention biases of ALiBi)"),
        ("GPT-NeoX-20B", {"head_dim": 64}, "asks for head_dim 64, which a shape of model_type gpt_neox"),
        ("OPT-125M", {"num_key_value_heads": 4}, "asks for num_key_value_heads 4"),
        ("OPT-125M", {"do_layer_norm_before": False}, "asks for do_layer_norm_before false"),
        ("OPT-125M", {"word_embed_proj_dim": 512}, "asks for word_embed_proj_dim 512, an embedding of another width"),
        ("Gemma-3-4B", {"text_config": None}, "text_config: is missing"),
        (
            "Gemma-3-1B",
            {"layer_types": ["sliding_attention"]},
            "layer_types: is ['sliding_attention']; give one for each",
        ),
        ("Gemma-3-1B", {"layer_types": ["linear_attention"] * 26}, "layer_types: 'linear_attention' is not valid"),
        ("Mixtral-8x7B", {"num_experts_per_tok": 9}, "experts.per_token: 9 is more than there are; use 8 at most"),
        ("Qwen1.5-MoE-A2.7B", {"mlp_only_layers": [99]}, ""),
    ],
)
def test_refused(base: str, changes: dict[str, Any], message: str) -> None:
    if message:
        assert refusal(config(base, **changes)).startswith(message)
    else:  # a layer that does not exist is no layer without experts
        assert shape_of_config(config(base, **changes), "mine", "model x").dense_layers == ()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hiden": 3}, "hiden: is not a field here; the fields are activation, "),
        ({"hidden": None}, "hidden: is None; input should be a valid integer"),
        ({"layers": 1 << 40}, "layers: is 1099511627776; input should be less than or equal to 4096"),
        ({"global_layers": [1]}, "global_layers: has no effect without window; leave it out"),
        ({"window": 8, "global_layers": [40]}, "global_layers: 40 is not valid; choose an integer from 0 to 31"),
        ({"window": 8, "global_layers": [1, 1]}, "global_layers: names a layer twice"),
        ({"experts": {"count": 4, "per_token": 5, "ffn": 8}}, "experts.per_token: 5 is more than there are"),
        ({"experts": {"count": 4}}, "experts.per_token: is missing; add it"),
        ({"block_norms": 1}, "block_norms: 1 serves attention and FFN of parallel blocks"),
        ({"activation": "tanh"}, "activation: is 'tanh'; input should be"),
    ],
)
def test_refused_files(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(yaml.safe_dump(yaml.safe_load(shape_yaml(model_shape("LLaMA-7B"))) | changes), "utf-8")
    with pytest.raises(InputError) as error:
        read_shape(file)
    assert str(error.value).startswith(f"model mine.yaml: {message}")
    assert "\n" not in str(error.value)


def test_schema_describes_every_field() -> None:
    properties = json.loads(shape_schema())["properties"]
    assert set(properties) == {field.name for field in fields(ModelShape)}
    assert all(entry["description"].endswith(".") for entry in properties.values())
    assert properties["kv_heads"]["description"].startswith("Key/value heads")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("block_norms: true", "block_norms: is True; input should be a valid integer"),
        ("block_norms: 4.0", "block_norms: is 4.0; input should be a valid integer"),
        ('name: "a\\nb"', "name: is 'a\\nb'; string should match pattern"),
    ],
)
def test_strict_types_of_files(line: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "model.yaml"
    lines = shape_yaml(replace(load_shape(CONFIGS / "Falcon-7B"), block_norms=2)).splitlines()
    field = line.partition(":")[0]
    file.write_text("\n".join([line, *(each for each in lines if not each.startswith(f"{field}:"))]), "utf-8")
    with pytest.raises(InputError) as error:
        read_shape(file)
    assert str(error.value).startswith(f"model model.yaml: {message}")
