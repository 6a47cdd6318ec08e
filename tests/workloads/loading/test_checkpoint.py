import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from anda_codesign.formats import InputError, Int4Weights
from anda_codesign.workloads import Decoder, load_checkpoint, load_shape
from anda_codesign.workloads.loading.safetensors_folder import SafetensorsFolder
from checkpoints import LLAMA, LLAMA_CONFIG, OPT, OPT_CONFIG, TOKENS, llama_tensors, opt_tensors, write
from safetensors.numpy import save_file


def expected(decoder: Decoder) -> np.ndarray:
    """Logits of the decoder with its weights quantised a second time, as a loaded checkpoint has them."""
    layers = [
        replace(
            layer,
            linears={
                name: replace(linear, weights=Int4Weights.quantize(linear.weights.dequantize()))
                for name, linear in layer.linears.items()
            },
        )
        for layer in decoder.weights.layers
    ]
    return decoder.with_weights(replace(decoder.weights, layers=layers), "").logits(TOKENS)


@pytest.mark.parametrize(
    ("decoder", "config", "tensors"), [(LLAMA, LLAMA_CONFIG, llama_tensors), (OPT, OPT_CONFIG, opt_tensors)]
)
def test_same_logits_as_the_model_that_was_saved(decoder: Decoder, config: Any, tensors: Any, tmp_path: Path):
    loaded = load_checkpoint(write(tmp_path / "model", config, tensors()))
    np.testing.assert_array_equal(loaded.logits(TOKENS), expected(decoder))
    assert replace(loaded.shape, source="") == replace(decoder.shape, name="model", source="")


def test_rope_parameters_of_newer_configurations(tmp_path: Path):
    config = {key: value for key, value in LLAMA_CONFIG.items() if key != "rope_theta"}
    config["rope_parameters"] = {"rope_type": "default", "rope_theta": 500.0}
    assert load_checkpoint(write(tmp_path, config, llama_tensors())).weights.rope_theta == 500.0


def test_untied_head(tmp_path: Path):
    tensors = llama_tensors() | {"lm_head.weight": 2 * LLAMA.weights.embedding}
    loaded = load_checkpoint(write(tmp_path, LLAMA_CONFIG | {"tie_word_embeddings": False}, tensors))
    np.testing.assert_array_equal(loaded.logits(TOKENS), 2 * expected(LLAMA))


def test_files_with_an_index(tmp_path: Path):
    folder = write(tmp_path, LLAMA_CONFIG, llama_tensors())
    tensors = llama_tensors()
    (folder / "model.safetensors").unlink()
    weight_map = {name: f"part-{'layers.0' in name}.safetensors" for name in tensors}
    for part in set(weight_map.values()):
        save_file({name: tensors[name] for name in tensors if weight_map[name] == part}, folder / part)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    np.testing.assert_array_equal(load_checkpoint(folder).logits(TOKENS), expected(LLAMA))


def test_bf16_and_fp16(tmp_path: Path):
    gain = np.array([1.0, -2.5, 3.140625, 2.0**-100], np.float32)
    save_file(
        {"bf16": gain.astype(ml_dtypes.bfloat16), "fp16": gain.astype(np.float16)}, tmp_path / "model.safetensors"
    )
    folder = SafetensorsFolder(tmp_path)
    np.testing.assert_array_equal(folder.floats("bf16", (4,)), gain)
    np.testing.assert_array_equal(folder.floats("bf16", (4,), np.array([2, 0, 2])), gain[[2, 0, 2]])
    np.testing.assert_array_equal(folder.floats("fp16", (4,)), gain.astype(np.float16).astype(np.float32))
    assert [folder.dtype(name) for name in ("bf16", "fp16")] == ["BF16", "F16"]


def rejects(folder: Path, message: str) -> None:
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        load_checkpoint(folder)


def test_missing_configuration(tmp_path: Path):
    rejects(tmp_path, f"checkpoint: {tmp_path}/config.json does not exist; give a Hugging Face checkpoint folder")


def test_missing_weights(tmp_path: Path):
    (tmp_path / "config.json").write_text(json.dumps(LLAMA_CONFIG))
    message = "model.safetensors does not exist; give a folder with safetensors weights"
    rejects(tmp_path, f"checkpoint: {tmp_path}/{message}")


def test_models_that_the_decoder_does_not_compute(tmp_path: Path):
    cases = [
        ({"model_type": "gemma"}, "has model type 'gemma'; use one of opt, llama, mistral, qwen2, qwen3, gemma3_text"),
        ({"hidden_act": "gelu"}, "has hidden_act 'gelu'; use a model with 'silu'"),
        (
            {"rope_scaling": {"type": "longrope"}},
            "has rope_type 'longrope'; use a model with default, linear, dynamic, llama3, yarn",
        ),
        ({"sliding_window": 16}, "has sliding_window 16; use a model with None"),
        ({"partial_rotary_factor": 0.5}, "has partial_rotary_factor 0.5; use a model with 1.0"),
        (
            {"rope_parameters": {"rope_theta": 10.0}, "rope_theta": 20.0},
            "states rope_theta twice, 10.0 and 20.0; remove the wrong one",
        ),
        (
            {"rope_scaling": {"rope_type": "linear", "type": "dynamic", "factor": 2.0}},
            "states rope_type twice, 'linear' and 'dynamic'; remove the wrong one",
        ),
        (
            {"rope_scaling": {"factor": 2.0}, "rope_parameters": {"factor": 4.0}},
            "states rope_parameters.factor twice, 4.0 and 2.0; remove the wrong one",
        ),
        ({"rope_scaling": {"rope_type": "llama3"}}, "lacks 'factor' of rope_type 'llama3'; copy it again"),
        ({"quantization_config": {"quant_method": "hqq"}}, "is quantised by 'hqq'; use gptq or awq, or floats"),
        (
            {"quantization_config": {"quant_method": "gptq", "bits": 3}},
            "has bits 3 of gptq; use a checkpoint with 4",
        ),
        (
            {"quantization_config": {"quant_method": "awq", "version": "gemv"}},
            "has version 'gemv' of awq; use a checkpoint with 'gemm'",
        ),
        (
            {"quantization_config": {"quant_method": "gptq", "checkpoint_format": "marlin"}},
            "has checkpoint_format 'marlin'; use gptq or gptq_v2",
        ),
        (
            {"quantization_config": {"quant_method": "gptq", "bits": 4, "w_bit": 3}},
            "has bits 4 and w_bit 3; remove the wrong one",
        ),
        (
            {"quantization_config": {"quant_method": "gptq"}},
            "states quantization_config, but no tensor is packed; remove that entry",
        ),
    ]
    for changes, message in cases:
        folder = write(tmp_path, LLAMA_CONFIG | changes, llama_tensors())
        rejects(folder, f"checkpoint: {folder}/config.json {message}")


def test_scaled_rotary_embedding(tmp_path: Path):
    """The published formula of LLaMA 3.1, one frequency at a time."""
    rope = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
    rope |= {"original_max_position_embeddings": 64, "rope_theta": 10000.0}
    weights = load_checkpoint(write(tmp_path, LLAMA_CONFIG | {"rope_parameters": rope}, llama_tensors())).weights
    plain = 10000.0 ** -(np.arange(0, 32, 2) / 32)
    expected = []
    for frequency in plain:
        wavelength = 2 * np.pi / frequency
        if wavelength < 64 / 4:
            expected.append(frequency)
        elif wavelength > 64 / 1:
            expected.append(frequency / 8)
        else:
            smooth = (64 / wavelength - 1) / (4 - 1)
            expected.append((1 - smooth) * frequency / 8 + smooth * frequency)
    assert weights.rope_scaling is not None
    np.testing.assert_allclose(weights.rope_scaling.frequencies(10000.0, 32, 1), expected, rtol=1e-6)
    assert len(set(np.array(expected) / plain)) > 2


def test_windows_of_layers(tmp_path: Path):
    """A token of layer 1 does not see what lies outside of its window; the whole model does, through layer 0."""
    qwen = {"model_type": "qwen2", "sliding_window": 4, "use_sliding_window": True, "max_window_layers": 1}
    zeros = {
        f"model.layers.{layer}.self_attn.{name}_proj.bias": np.zeros(channels, np.float32)
        for layer in range(2)
        for name, channels in (("q", 128), ("k", 64), ("v", 64))
    }
    loaded = load_checkpoint(write(tmp_path, LLAMA_CONFIG | qwen, llama_tensors() | zeros))
    assert [layer.window for layer in loaded.weights.layers] == [None, 4]
    x = np.random.default_rng(0).standard_normal((9, 128)).astype(np.float32)
    changed = x.copy()
    changed[3] += 1
    loaded.run(x, [1])
    loaded.run(changed, [1])
    np.testing.assert_array_equal((x != changed).any(axis=1), [False] * 3 + [True] * 4 + [False] * 2)


def test_the_hash_is_that_of_configuration_weights_and_rounding(tmp_path: Path):
    folders = [write(tmp_path / name, LLAMA_CONFIG, llama_tensors()) for name in ("one", "same", "epsilon", "gain")]
    write(folders[2], LLAMA_CONFIG | {"rms_norm_eps": 1e-6}, llama_tensors())
    write(folders[3], LLAMA_CONFIG, llama_tensors() | {"model.norm.weight": np.ones(128, np.float32)})
    hashes = [load_checkpoint(folder).sha256 for folder in folders]
    hashes += [load_checkpoint(folders[0], group_size).sha256 for group_size in (64, None)]
    assert hashes[0] == hashes[1]
    assert len(set(hashes)) == 5


def test_weights_as_they_are(tmp_path: Path):
    loaded = load_checkpoint(write(tmp_path, LLAMA_CONFIG, llama_tensors()), group_size=None)
    np.testing.assert_array_equal(loaded.logits(TOKENS), LLAMA.logits(TOKENS))
    with pytest.raises(InputError, match=r"^weights: q of layer 0 is in floating point; .*INT4"):
        loaded.linear(0, "q")


def test_damaged_configuration(tmp_path: Path):
    for text, message in [("{", "is not a model configuration"), ("[]", "is not a model configuration")]:
        (tmp_path / "config.json").write_text(text)
        rejects(tmp_path, f"checkpoint: {tmp_path}/config.json {message}; copy it again")


def test_incomplete_configuration(tmp_path: Path):
    config = {key: value for key, value in LLAMA_CONFIG.items() if key != "hidden_size"}
    folder = write(tmp_path, config, llama_tensors())
    rejects(folder, f"checkpoint: {folder}/config.json lacks 'hidden_size'; copy it again")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hidden_size": "128"}, "hidden_size: is '128'; input should be a valid integer"),
        ({"hidden_size": True}, "hidden_size: is True; input should be a valid integer"),
        ({"hidden_size": 1 << 60}, "hidden_size: is 1152921504606846976; input should be less than"),
        ({"num_hidden_layers": -1}, "num_hidden_layers: is -1; input should be greater than or equal to 1"),
        ({"num_hidden_layers": 2.0}, "num_hidden_layers: is 2.0; input should be a valid integer"),
        ({"num_attention_heads": 3}, "num_attention_heads: is 3; give a divisor of 128"),
        ({"num_key_value_heads": 3}, "num_key_value_heads: is 3; give a divisor of 4"),
        ({"num_key_value_heads": 0}, "num_key_value_heads: is 0; input should be greater than or equal to 1"),
        ({"rms_norm_eps": float("nan")}, "rms_norm_eps: is nan; input should be a finite number"),
        ({"rope_theta": -1.0}, "rope_theta: is -1.0; input should be greater than 0"),
        ({"rope_parameters": {"full_attention": 3}}, "rope_parameters.full_attention: is 3; input should be a valid"),
        (
            {"rope_theta": 1.0, "rope_scaling": {"type": "yarn", "factor": 2.0}},
            "rope_theta: is 1.0; give more than 1 with rope_type 'yarn'",
        ),
        ({"rope_scaling": 3}, "rope_scaling: is 3; input should be a valid dictionary"),
        ({"tie_word_embeddings": "no"}, "tie_word_embeddings: is 'no'; input should be a valid boolean"),
        ({"quantization_config": {"quant_method": "gptq", "group_size": 0}}, "group_size: is 0; give"),
        ({"quantization_config": {"quant_method": "gptq", "group_size": "x"}}, "group_size: 'x' is not valid"),
    ],
)
def test_values_of_the_configuration(tmp_path: Path, changes: dict[str, Any], message: str):
    folder = write(tmp_path, LLAMA_CONFIG | changes, llama_tensors())
    with pytest.raises(InputError, match=f"^{re.escape(f'checkpoint: {folder}/config.json: {message}')}"):
        load_checkpoint(folder)


@pytest.mark.parametrize("name", ["../x.safetensors", "/tmp/x.safetensors", "a/b.safetensors", "..", "", "a\\b"])
def test_files_outside_of_the_folder(tmp_path: Path, name: str):
    """An index names files of its own folder only, whether or not another file exists."""
    folder = write(tmp_path / "model", LLAMA_CONFIG, llama_tensors())
    (folder / "model.safetensors").rename(tmp_path / "x.safetensors")
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"model.norm.weight": name}}))
    rejects(folder, f"checkpoint: {index} names {name!r}, which is no safetensors file of its folder; copy it again")


def test_a_tensor_in_two_files(tmp_path: Path):
    """The index decides which file holds a tensor."""
    folder = write(tmp_path, LLAMA_CONFIG, llama_tensors())
    save_file({"model.norm.weight": np.zeros(128, np.float32)}, folder / "other.safetensors")
    files = dict.fromkeys(llama_tensors(), "model.safetensors") | {"x": "other.safetensors"}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": files}))
    np.testing.assert_array_equal(load_checkpoint(folder).weights.final_norm.gain, LLAMA.weights.final_norm.gain)


@pytest.mark.parametrize(
    "name", ["model.norm.weight", "model.embed_tokens.weight", "model.layers.1.mlp.up_proj.weight"]
)
def test_weights_that_are_not_finite(tmp_path: Path, name: str):
    tensors = llama_tensors()
    tensors[name] = tensors[name].copy()
    tensors[name].flat[5] = np.inf
    folder = write(tmp_path, LLAMA_CONFIG, tensors)
    with pytest.raises(
        InputError, match=rf"^checkpoint: {re.escape(str(folder))}: {name}: element .* is inf; give finite"
    ):
        load_checkpoint(folder)


def test_damaged_index(tmp_path: Path):
    for text in ["{", "[]", "{}", '{"weight_map": 3}', '{"weight_map": {"a": 3}}', "[" * 100_000]:
        index = write(tmp_path, LLAMA_CONFIG, llama_tensors()) / "model.safetensors.index.json"
        index.write_text(text)
        rejects(tmp_path, f"checkpoint: {index} is damaged; copy it again")


def test_missing_tensor(tmp_path: Path):
    tensors = llama_tensors()
    del tensors["model.layers.1.mlp.up_proj.weight"]
    folder = write(tmp_path, LLAMA_CONFIG, tensors)
    name = "model.layers.1.mlp.up_proj.weight"
    rejects(folder, f"checkpoint: {folder} holds no tensor '{name}'; give a complete checkpoint")


def test_tensor_of_another_shape(tmp_path: Path):
    tensors = llama_tensors() | {"model.norm.weight": np.ones(64, np.float32)}
    folder = write(tmp_path, LLAMA_CONFIG, tensors)
    rejects(folder, f"checkpoint: {folder}: model.norm.weight is F32 [64], not floats [128]; copy the folder again")


def test_damaged_weights(tmp_path: Path):
    folder = write(tmp_path, LLAMA_CONFIG, llama_tensors())
    path = folder / "model.safetensors"
    data = path.read_bytes()
    contradiction = data.replace(b'"shape":[128]', b'"shape":[127]', 1)  # no longer the length that the offsets give
    assert contradiction != data
    for damaged in (b"", data[:8], data[: len(data) // 2], data[:-1], contradiction):
        path.write_bytes(damaged)
        with pytest.raises(InputError, match=f"^checkpoint: {re.escape(str(path))} is damaged .*; copy it again$"):
            load_checkpoint(folder)


def test_exchanged_tensors(tmp_path: Path):
    """Two tensors of one shape, with each other's place in the file."""
    folder = write(tmp_path, LLAMA_CONFIG, llama_tensors())
    path = folder / "model.safetensors"
    data = path.read_bytes()
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    gate, up = (header[f"model.layers.0.mlp.{name}_proj.weight"] for name in ("gate", "up"))
    gate["data_offsets"], up["data_offsets"] = up["data_offsets"], gate["data_offsets"]
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data[8 + size :])
    with pytest.raises(InputError, match=r"is damaged .*not in the order of its header\); copy it again$"):
        load_checkpoint(folder)


def test_the_shape_of_a_checkpoint_needs_no_weights_in_memory(tmp_path: Path):
    shape = load_shape(str(write(tmp_path / "small", OPT_CONFIG, opt_tensors())))
    assert shape == replace(OPT.shape, name="small", source=shape.source)
    assert load_shape(shape) is shape
    assert load_shape("opt-125m").name == "OPT-125M"


def test_heads_that_the_flag_contradicts(tmp_path: Path):
    """A file with a head of its own under a tied flag is refused; a copy of the embedding is not."""
    for config, tensors in ((LLAMA_CONFIG, llama_tensors()), (OPT_CONFIG, opt_tensors())):
        name = next(name for name in tensors if name.endswith("embed_tokens.weight"))
        folder = write(tmp_path, config, tensors | {"lm_head.weight": tensors[name].copy()})
        assert load_checkpoint(folder).weights.head is None
        folder = write(tmp_path, config, tensors | {"lm_head.weight": 2 * tensors[name]})
        rejects(
            folder,
            f"checkpoint: {folder}/config.json has tie_word_embeddings true, but lm_head.weight is not the embedding; "
            "set it to false to use that head",
        )
        untied = config | {"tie_word_embeddings": False}
        loaded = load_checkpoint(write(tmp_path, untied, tensors | {"lm_head.weight": 2 * tensors[name]}))
        np.testing.assert_array_equal(loaded.weights.head, 2 * tensors[name])
        rejects(
            write(tmp_path, untied, tensors),
            f"checkpoint: {folder} holds no tensor 'lm_head.weight'; give a complete checkpoint",
        )


def test_biases_that_the_flag_contradicts(tmp_path: Path):
    bias = "model.layers.1.self_attn.q_proj.bias"
    folder = write(tmp_path, LLAMA_CONFIG, llama_tensors() | {bias: np.ones(128, np.float32)})
    with pytest.raises(InputError, match=rf"holds {re.escape(bias)}, but config.json states no such bias; correct"):
        load_checkpoint(folder)
    zeros = write(tmp_path, LLAMA_CONFIG, llama_tensors() | {bias: np.zeros(128, np.float32)})
    assert load_checkpoint(zeros).weights.layers[1].linears["q"].bias is None
    for config in (LLAMA_CONFIG | {"attention_bias": True}, LLAMA_CONFIG | {"mlp_bias": True}):
        with pytest.raises(
            InputError, match=r"holds no model.layers.0.*bias, which config.json states; give a complete"
        ):
            load_checkpoint(write(tmp_path, config, llama_tensors()))
    opt = opt_tensors()
    with pytest.raises(InputError, match=r"q_proj.bias, but config.json states no such bias; correct .* enable_bias"):
        load_checkpoint(write(tmp_path, OPT_CONFIG | {"enable_bias": False}, opt))
    del opt["model.decoder.layers.0.self_attn.k_proj.bias"]
    with pytest.raises(InputError, match=r"holds no model.decoder.layers.0.self_attn.k_proj.bias, which config.json"):
        load_checkpoint(write(tmp_path, OPT_CONFIG, opt))


@pytest.mark.parametrize(
    "name", ["model.layers.0.input_layernorm.bias", "model.layers.0.self_attn.q_norm.weight", "model.layers.2.x", "y"]
)
def test_tensors_that_the_decoder_would_leave_out(tmp_path: Path, name: str):
    folder = write(tmp_path, LLAMA_CONFIG, llama_tensors() | {name: np.ones(128, np.float32)})
    rejects(
        folder,
        f"checkpoint: {folder} holds {name!r}, which the decoder does not use; give a model that config.json describes",
    )


def test_saves_of_the_bare_model(tmp_path: Path):
    for config, tensors, decoder in ((LLAMA_CONFIG, llama_tensors(), LLAMA), (OPT_CONFIG, opt_tensors(), OPT)):
        bare = {name.removeprefix("model."): values for name, values in tensors.items()}
        np.testing.assert_array_equal(load_checkpoint(write(tmp_path, config, bare)).logits(TOKENS), expected(decoder))


@pytest.mark.parametrize("name", ["pytorch_model.bin", "pytorch_model-00001-of-00002.bin", "consolidated.00.pth"])
def test_weights_in_other_formats(tmp_path: Path, name: str):
    (tmp_path / "config.json").write_text(json.dumps(LLAMA_CONFIG))
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(
        InputError, match=rf"; {name} is in another format, .*convert it with transformers: .*save_pretr"
    ):
        load_checkpoint(tmp_path)


def test_ids_without_a_row_in_the_embedding():
    with pytest.raises(InputError, match=r"^tokens: id 256 has no row in the embedding of synthetic.*, which has 256;"):
        LLAMA.logits(np.array([3, 256], np.int32))
    with pytest.raises(InputError, match=r"^tokens: id -1 has no row"):
        LLAMA.logits(np.array([-1], np.int32))
