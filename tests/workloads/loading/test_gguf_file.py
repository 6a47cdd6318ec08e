import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from anda_codesign.formats import InputError, Int4Weights
from anda_codesign.workloads import ModelShape, load_decoder, load_shape
from anda_codesign.workloads.loading.gguf_file import half_split_rows, read_gguf
from anda_codesign.workloads.loading.gguf_tensors import GgufTensors
from anda_codesign.workloads.models.gguf_header import read_header
from anda_codesign.workloads.models.parameters import FloatWeights, linear_names
from anda_codesign.workloads.models.rope import LinearScaling, YarnScaling

SHAPE = ModelShape(
    name="tiny",
    family="llama",
    hidden=64,
    ffn=96,
    layers=2,
    heads=4,
    kv_heads=2,
    vocabulary=40,
    gated=True,
    max_length=128,
)
FILE_NAMES = {
    "q": "attn_q",
    "k": "attn_k",
    "v": "attn_v",
    "o": "attn_output",
    "gate": "ffn_gate",
    "up": "ffn_up",
    "down": "ffn_down",
}


def tensors(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """The tensors of a tiny model under their names in GGUF files, each ``[out, in]``."""
    outputs = {"k": 32, "v": 32, "gate": 96, "up": 96}
    result = {"token_embd.weight": rng.standard_normal((40, 64)), "output_norm.weight": rng.standard_normal(64)}
    for layer in range(2):
        result[f"blk.{layer}.attn_norm.weight"] = rng.standard_normal(64)
        result[f"blk.{layer}.ffn_norm.weight"] = rng.standard_normal(64)
        for name in linear_names(SHAPE):
            size = (outputs.get(name, 64), 96 if name == "down" else 64)
            result[f"blk.{layer}.{FILE_NAMES[name]}.weight"] = rng.standard_normal(size)
    return {name: values.astype(np.float32) for name, values in result.items()}


def write(path: Path, values: dict[str, np.ndarray], linear_type: str = "Q4_1", **fields: Any) -> Path:
    import gguf

    writer = gguf.GGUFWriter(path, fields.get("architecture", "llama"))
    writer.add_embedding_length(fields.get("hidden", 64))
    writer.add_feed_forward_length(96)
    writer.add_block_count(2)
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    writer.add_context_length(128)
    for key, value in fields.get("extra", {}).items():
        add = {int: writer.add_uint32, float: writer.add_float32, str: writer.add_string, bool: writer.add_bool}
        add[type(value)](key, value)
    writer.add_layer_norm_rms_eps(fields.get("epsilon", 1e-5))
    if "scores" in fields:
        writer.add_token_scores(fields["scores"])
    for name, tensor in values.items():
        linear = name.startswith("blk") and tensor.ndim == 2
        if linear:
            kind = gguf.GGMLQuantizationType[linear_type]
            writer.add_tensor(name, gguf.quants.quantize(tensor, kind), raw_dtype=kind)
        else:
            writer.add_tensor(name, tensor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.fixture
def values(rng: np.random.Generator) -> dict[str, np.ndarray]:
    return tensors(rng)


def test_weights_are_those_of_the_file(tmp_path: Path, values: dict[str, np.ndarray]):
    import gguf

    weights, tokenizer = read_gguf(write(tmp_path / "tiny.gguf", values), SHAPE)
    assert tokenizer is None
    assert (weights.rope_theta, weights.norm_epsilon) == (10000.0, pytest.approx(1e-5))
    np.testing.assert_array_equal(weights.embedding, values["token_embd.weight"])
    kind = gguf.GGMLQuantizationType.Q4_1
    for name in ("v", "o", "gate", "up", "down"):
        original = values[f"blk.1.{FILE_NAMES[name]}.weight"]
        expected = gguf.quants.dequantize(gguf.quants.quantize(original, kind), kind).T
        np.testing.assert_array_equal(weights.layers[1].linears[name].weights.dequantize(), expected)


@pytest.mark.parametrize(("name", "heads"), [("q", 4), ("k", 2)])
def test_rotary_pairs_are_brought_together(tmp_path: Path, values: dict[str, np.ndarray], name: str, heads: int):
    """The file holds channel i of the first half at row 2 i and of the second at 2 i + 1, per head of 16."""
    weights, _ = read_gguf(write(tmp_path / "tiny.gguf", values), SHAPE)
    ours = weights.layers[0].linears[name].weights.dequantize().T
    theirs = values[f"blk.0.{FILE_NAMES[name]}.weight"]
    for head in range(heads):
        for i in range(8):
            np.testing.assert_allclose(ours[16 * head + i], theirs[16 * head + 2 * i], atol=0.25)
            np.testing.assert_allclose(ours[16 * head + 8 + i], theirs[16 * head + 2 * i + 1], atol=0.25)


def test_untied_head(tmp_path: Path, values: dict[str, np.ndarray]):
    values["output.weight"] = values["token_embd.weight"] * 2
    weights, _ = read_gguf(write(tmp_path / "tiny.gguf", values), SHAPE)
    assert weights.head is not None
    np.testing.assert_array_equal(weights.head, values["output.weight"])


def test_half_split_rows_of_two_heads_of_four():
    assert half_split_rows(2, 4).tolist() == [0, 2, 1, 3, 4, 6, 5, 7]


def rejects(path: Path, message: str) -> None:
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        read_gguf(path, SHAPE)


def test_other_architecture(tmp_path: Path, values: dict[str, np.ndarray]):
    path = write(tmp_path / "a.gguf", values, architecture="gemma")
    rejects(path, f"model: {path} holds architecture 'gemma'; use one of llama, mistral, qwen2, qwen3, gemma3")


def test_other_shape(tmp_path: Path, values: dict[str, np.ndarray]):
    path = write(tmp_path / "a.gguf", values, hidden=128)
    rejects(path, f"model: {path} has hidden 128, tiny has 64; give the name of the file's model")


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ({"llama.attn_logit_softcapping": 50.0}, "attn_logit_softcapping 50.0"),
        ({"llama.rope.scaling.type": "longrope"}, "'longrope'"),
        ({"llama.rope.scaling.factor": 4.0}, "has a factor of rope.scaling without its type"),
        ({"llama.rope.dimension_count": 8}, r"has heads of 16 channels and rotates 8"),
        ({"llama.attention.key_length": 16, "llama.attention.value_length": 32}, r"heads of \[16, 32\] channels"),
        ({"llama.attention.scale": 0.5}, "has attention.scale 0.5"),
        ({"llama.expert_count": 8}, "has llama.expert_count 8, which the decoder does not compute"),
        ({"llama.attention.causal": False}, "has llama.attention.causal False"),
        ({"llama.logit_scale": 0.5}, "has llama.logit_scale 0.5, which the decoder does not compute"),
        ({"llama.attention.key_length": "16"}, "'16'"),
        ({"llama.rope.freq_base": -1.0}, "rope_theta: is -1.0; input should be greater than 0"),
    ],
)
def test_metadata_that_change_the_computation(
    tmp_path: Path, values: dict[str, np.ndarray], extra: dict[str, Any], message: str
):
    path = write(tmp_path / "a.gguf", values, extra=extra)
    with pytest.raises(InputError, match=rf"{re.escape(str(path))}.*{message}"):
        read_gguf(path)


def test_stretched_rotary_embeddings(tmp_path: Path, values: dict[str, np.ndarray]):
    linear = {"llama.rope.scaling.type": "linear", "llama.rope.scaling.factor": 4.0}
    weights, _ = read_gguf(write(tmp_path / "a.gguf", values, extra=linear))
    assert weights.rope_scaling == LinearScaling(factor=4.0)
    weights, _ = read_gguf(write(tmp_path / "b.gguf", values, extra={"llama.rope.scale_linear": 4.0}))
    assert weights.rope_scaling == LinearScaling(factor=4.0)
    yarn = {"type": "yarn", "factor": 4.0, "original_context_length": 32}
    extra = {f"llama.rope.scaling.{name}": value for name, value in yarn.items()}
    weights, _ = read_gguf(write(tmp_path / "c.gguf", values, extra=extra))
    assert weights.rope_scaling == YarnScaling(factor=4.0, original_length=32, magnitude=0.1 * np.log(4) + 1)
    values["rope_freqs.weight"] = np.linspace(1, 8, 8).astype(np.float32)
    path = write(tmp_path / "d.gguf", values)
    weights, _ = read_gguf(path)
    assert weights.rope_scaling is not None
    plain = 10000.0 ** -(np.arange(0, 16, 2) / 16)
    np.testing.assert_allclose(weights.rope_scaling.frequencies(1e4, 16, 1), plain / np.linspace(1, 8, 8), rtol=1e-6)
    path = write(tmp_path / "e.gguf", values, extra=linear)
    rejects(path, f"model: {path}: rope_freqs.weight contradicts rope.scaling.type; remove one of them")


def test_the_header_suffices_for_the_shape(tmp_path: Path, values: dict[str, np.ndarray]):
    path = write(tmp_path / "tiny.gguf", values, extra={"llama.attention.key_length": 16})
    path.write_bytes(path.read_bytes()[:-10_000])
    assert replace(load_shape(str(path)), source="") == replace(SHAPE, tied=True)
    with pytest.raises(InputError, match=r"is truncated or no GGUF file \(.* reaches past its end\); fetch it again"):
        load_decoder(str(path))


def block_types() -> list[str]:
    import gguf

    return [*sorted(kind.name for kind in gguf.quants._type_traits), "F16", "F32"]


@pytest.mark.parametrize("name", block_types())
def test_every_block_type(tmp_path: Path, rng: np.random.Generator, name: str):
    """Random bytes of finite blocks against the package's own values: kept exactly, or rounded to INT4."""
    import gguf

    kind = gguf.GGMLQuantizationType[name]
    weights, size = gguf.constants.GGML_QUANT_SIZES[kind]
    rows = np.empty((8, 256 // weights * size), np.uint8)
    for row in rows:
        for start in range(0, row.size, size):
            expected = np.array([np.inf])
            while not np.isfinite(expected).all() or np.abs(expected).max() > 100:
                block = rng.integers(0, 256, size, np.uint8)
                with np.errstate(all="ignore"):
                    expected = gguf.quants.dequantize(block[None], kind)
            row[start : start + size] = block
    writer = gguf.GGUFWriter(tmp_path / "w.gguf", "llama")
    writer.add_tensor("w", rows, raw_shape=rows.shape, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    exact = gguf.quants.dequantize(rows, kind).T
    header = read_header(tmp_path / "w.gguf")
    kept = GgufTensors(header).linear("w", (256, 8), None)
    np.testing.assert_array_equal(kept.dequantize(), exact)
    assert isinstance(kept, FloatWeights) == (name not in ("Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0"))
    rounded = GgufTensors(header).linear("w", (256, 8), 64)
    assert isinstance(rounded, Int4Weights)
    if name in ("Q4_0", "Q4_1"):
        np.testing.assert_array_equal(rounded.dequantize(), exact)
    elif name == "Q4_K":
        assert rounded.group_size == 32
        scale = np.abs(exact).reshape(8, 32, 8).max(axis=1)
        steps = rounded.scales.astype(float) * 15 + np.abs(rounded.offsets.astype(float))  # type: ignore[union-attr]
        error = np.abs(rounded.dequantize() - exact).reshape(8, 32, 8).max(axis=1)
        assert (error <= 2.0**-10 * np.maximum(steps, scale) + 2.0**-20).all()
    else:
        expected_weights = Int4Weights.quantize(exact.astype(np.float32), 64)
        np.testing.assert_array_equal(rounded.dequantize(), expected_weights.dequantize())


def test_missing_tensor(tmp_path: Path, values: dict[str, np.ndarray]):
    del values["blk.1.ffn_up.weight"]
    path = write(tmp_path / "a.gguf", values)
    rejects(path, f"model: {path} holds no tensor 'blk.1.ffn_up.weight'; give a complete GGUF file")


def test_tensor_that_the_decoder_would_ignore(tmp_path: Path, values: dict[str, np.ndarray]):
    values["blk.0.attn_rot_embd.weight"] = np.ones(8, np.float32)
    path = write(tmp_path / "a.gguf", values)
    name = "blk.0.attn_rot_embd.weight"
    rejects(path, f"model: {path} holds {name!r}, which the decoder cannot use; give a plain llama model")


def test_some_biases_are_missing(tmp_path: Path, values: dict[str, np.ndarray]):
    values["blk.0.attn_q.bias"] = np.ones(64, np.float32)
    path = write(tmp_path / "a.gguf", values)
    rejects(path, f"model: {path}: some of the biases of q, k, v in layer 0 are missing")


def test_vocabulary_of_another_size(tmp_path: Path, values: dict[str, np.ndarray]):
    values["token_embd.weight"] = values["token_embd.weight"][:39]
    path = write(tmp_path / "a.gguf", values)
    rejects(path, f"model: {path} has vocabulary 39, tiny has 40; give the name of the file's model")


@pytest.mark.parametrize("name", ["token_embd.weight", "output_norm.weight", "blk.1.ffn_norm.weight"])
@pytest.mark.parametrize("value", [np.nan, -np.inf])
def test_norms_and_embeddings_are_finite(tmp_path: Path, values: dict[str, np.ndarray], name: str, value: float):
    values[name].flat[3] = value
    path = write(tmp_path / "a.gguf", values)
    with pytest.raises(
        InputError, match=rf"^model: {re.escape(str(path))}: {name}: element .* is {value}; give finite"
    ):
        read_gguf(path, SHAPE)


def test_scales_are_finite(tmp_path: Path, values: dict[str, np.ndarray]):
    values["blk.0.attn_o.weight"] = values.pop("blk.0.attn_output.weight") * 1e30
    values = {name.replace("attn_o.", "attn_output."): tensor for name, tensor in values.items()}
    with np.errstate(over="ignore"):
        path = write(tmp_path / "a.gguf", values)
    with pytest.raises(InputError, match=rf"^model: {re.escape(str(path))}: blk.0.attn_output.weight: .* give finite"):
        read_gguf(path, SHAPE)


def test_linear_layer_of_another_shape(tmp_path: Path, values: dict[str, np.ndarray]):
    values["blk.0.ffn_up.weight"] = values["blk.0.ffn_up.weight"][:64]
    path = write(tmp_path / "a.gguf", values)
    rejects(
        path,
        f"model: {path}: blk.0.ffn_up.weight has shape (64, 64), not (96, 64); correct the metadata, or give another file",
    )


def test_epsilon_that_is_none(tmp_path: Path, values: dict[str, np.ndarray]):
    for epsilon in (-1.0, np.nan):
        path = write(tmp_path / "a.gguf", values, epsilon=epsilon)
        with pytest.raises(InputError, match=r"rms_norm_eps: is .*; input should be "):
            read_gguf(path, SHAPE)


def test_truncated(tmp_path: Path, values: dict[str, np.ndarray]):
    for kept in [0.0, 0.01, 0.5, 0.99]:
        path = write(tmp_path / "a.gguf", values)
        data = path.read_bytes()
        path.write_bytes(data[: int(len(data) * kept)])
        with pytest.raises(
            InputError, match=rf"^model: {re.escape(str(path))} is truncated or no GGUF file \(.*\); fetch it"
        ):
            read_gguf(path, SHAPE)


@pytest.mark.parametrize("moved", ["exchanged", "overlapping", "shifted"])
def test_tensors_follow_each_other(moved: str, tmp_path: Path, values: dict[str, np.ndarray]):
    """Places of tensors of one shape that are exchanged, the same, or off by a block would be other weights."""
    path = write(tmp_path / "a.gguf", values)
    data, tensors = bytearray(path.read_bytes()), read_header(path).tensors
    first, second = "blk.0.ffn_gate.weight", "blk.0.ffn_up.weight"
    places = {first: tensors[first].offset, second: tensors[second].offset}
    if moved == "exchanged":
        places = {first: places[second], second: places[first]}
    else:
        places[second] = places[first] if moved == "overlapping" else places[second] + 32
    for name, offset in places.items():
        at = data.index(name.encode()) + len(name) + 4 + 2 * 8 + 4
        assert int.from_bytes(data[at : at + 8], "little") == tensors[name].offset
        data[at : at + 8] = offset.to_bytes(8, "little")
    path.write_bytes(data)
    with pytest.raises(
        InputError, match=rf"^model: {re.escape(str(path))}: blk\.0\.ffn_.* begins at byte \d+ .*; fetch it"
    ):
        read_gguf(path, SHAPE)


def test_a_length_past_the_end(tmp_path: Path, values: dict[str, np.ndarray]):
    """An array that claims 2^60 elements is refused, not read for ever."""
    path = write(tmp_path / "a.gguf", values, scores=[1.0, 2.0])
    data = path.read_bytes()
    at = data.index(b"tokenizer.ggml.scores") + len("tokenizer.ggml.scores") + 8
    path.write_bytes(data[:at] + (1 << 60).to_bytes(8, "little") + data[at + 8 :])
    with pytest.raises(InputError, match=r"is truncated or no GGUF file \(.*\); fetch it again$"):
        read_gguf(path, SHAPE)


def test_not_a_gguf_file(tmp_path: Path):
    path = tmp_path / "a.gguf"
    path.write_bytes(b"PK\x03\x04" * 100)
    with pytest.raises(InputError, match=rf"^model: {re.escape(str(path))} is truncated or no GGUF file"):
        read_gguf(path, SHAPE)


def test_missing_file(tmp_path: Path):
    path = tmp_path / "none.gguf"
    message = f"model: {path} does not exist; run `anda fetch` or give the path of a GGUF file"
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        load_decoder(path=path)


def test_damaged_fetched_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ANDA_CACHE", str(tmp_path))
    path = tmp_path / "SmolLM2-135M-Instruct.Q4_1.gguf"
    path.write_bytes(b"GGUF")
    with pytest.raises(
        InputError, match=rf"^model: {re.escape(str(path))} is damaged \(its sha256 is .{{64}}\); run `anda fetch`"
    ):
        load_decoder()
