import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from anda_codesign.formats import InputError
from anda_codesign.workloads import ModelShape, load_decoder
from anda_codesign.workloads.loading.gguf_file import half_split_rows, read_gguf
from anda_codesign.workloads.models.parameters import linear_names

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
    rejects(path, f"model: {path} holds architecture 'gemma'; this loader needs a LLaMA model")


def test_other_shape(tmp_path: Path, values: dict[str, np.ndarray]):
    path = write(tmp_path / "a.gguf", values, hidden=128)
    rejects(path, f"model: {path} has llama.embedding_length 128, tiny has 64; give the name of the file's model")


def test_other_quantisation(tmp_path: Path, values: dict[str, np.ndarray]):
    path = write(tmp_path / "a.gguf", values, linear_type="Q8_0")
    rejects(path, f"model: {path}: blk.0.attn_q.weight is Q8_0; give a file with Q4_1 linear layers")


def test_missing_tensor(tmp_path: Path, values: dict[str, np.ndarray]):
    del values["blk.1.ffn_up.weight"]
    path = write(tmp_path / "a.gguf", values)
    rejects(path, f"model: {path} holds no tensor 'blk.1.ffn_up.weight'; give a complete GGUF file")


def test_tensor_that_the_decoder_would_ignore(tmp_path: Path, values: dict[str, np.ndarray]):
    values["rope_freqs.weight"] = np.ones(8, np.float32)
    path = write(tmp_path / "a.gguf", values)
    rejects(path, f"model: {path} holds 'rope_freqs.weight', which the decoder cannot use; give a plain LLaMA model")


def test_vocabulary_of_another_size(tmp_path: Path, values: dict[str, np.ndarray]):
    values["token_embd.weight"] = values["token_embd.weight"][:39]
    path = write(tmp_path / "a.gguf", values)
    rejects(path, f"model: {path}: token_embd.weight has shape (39, 64), not (40, 64); give a file of tiny")


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
    rejects(path, f"model: {path}: blk.0.ffn_up.weight has shape (64, 64), not (64, 96); give a file of tiny")


def test_epsilon_that_is_none(tmp_path: Path, values: dict[str, np.ndarray]):
    for epsilon in (-1.0, np.nan):
        path = write(tmp_path / "a.gguf", values, epsilon=epsilon)
        with pytest.raises(InputError, match=r"epsilon: is .*; input should be .*\); fetch it again$"):
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
