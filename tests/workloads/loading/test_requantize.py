"""Decoders with other weights: quantised, saved, loaded."""

import json
from pathlib import Path

import numpy as np
import pytest
from anda_codesign.formats import InputError
from anda_codesign.formats.weight_registry import weight_quantizer
from anda_codesign.workloads import TextBlocks, synthetic_decoder
from anda_codesign.workloads.gradients.calibration import fisher_information, hessians
from anda_codesign.workloads.loading.requantize import (
    MODEL_FILE,
    average_bits,
    load_linears,
    quantize_linears,
    save_linears,
    with_linears,
)
from anda_codesign.workloads.loading.synthetic import SYNTHETIC_OPT

DECODER = synthetic_decoder()
BLOCKS = TextBlocks(np.random.default_rng(0).integers(0, 256, (2, 20)).astype(np.int32))
HESSIANS = hessians(DECODER, BLOCKS)
FISHER = fisher_information(DECODER, BLOCKS)


@pytest.mark.parametrize("method", ["rtn", "gptq", "squeezellm", "spqr"])
def test_a_quantised_model_runs_and_survives_the_disk(method: str, tmp_path: Path) -> None:
    quantizer = weight_quantizer(method, bits=4)
    packed = quantize_linears(DECODER, quantizer, HESSIANS, FISHER)
    quantised = with_linears(DECODER, packed)
    for (layer, name), weights in packed.items():
        expected = DECODER.linear(layer, name).dequantize()
        error = quantised.weights.layers[layer].linears[name].weights.dequantize() - expected
        assert 0 < np.linalg.norm(error) < 0.2 * np.linalg.norm(expected)
        np.testing.assert_array_equal(weights.decode(), expected + error)
    save_linears(tmp_path / "model", DECODER, packed, {"method": method})
    again = load_linears(tmp_path / "model", DECODER)
    np.testing.assert_array_equal(again.nll(BLOCKS.tokens), quantised.nll(BLOCKS.tokens))
    assert again.sha256 == quantised.sha256 != DECODER.sha256
    about = json.loads((tmp_path / "model" / MODEL_FILE).read_text())
    assert (about["model"], about["about"]) == ("synthetic", {"method": method})


def test_eight_bits_keep_the_predictions() -> None:
    packed = quantize_linears(DECODER, weight_quantizer("rtn", bits=8))
    loss, expected = (decoder.nll(BLOCKS.tokens).mean() for decoder in (with_linears(DECODER, packed), DECODER))
    assert loss == pytest.approx(expected, rel=2e-3)


def test_average_bits_weigh_by_size() -> None:
    packed = quantize_linears(DECODER, weight_quantizer("rtn", bits=3, group_size=96))
    groups = {"down": 4 * 128, "gate": 2 * 384, "up": 2 * 384, "q": 2 * 128, "k": 2 * 64, "v": 2 * 64, "o": 2 * 128}
    weights = 128 * (128 + 64 + 64 + 128 + 3 * 384)
    expected = 3 + 19 * sum(groups.values()) / weights
    assert average_bits(packed, lambda w: w.bits_per_weight) == pytest.approx(expected)


def test_biases_stay() -> None:
    decoder = synthetic_decoder(SYNTHETIC_OPT)
    quantised = with_linears(decoder, quantize_linears(decoder, weight_quantizer("rtn", bits=8)))
    for before, after in zip(decoder.weights.layers, quantised.weights.layers, strict=True):
        for name, linear in before.linears.items():
            np.testing.assert_array_equal(after.linears[name].bias, linear.bias)


def test_progress_is_told() -> None:
    calls: list[tuple[int, int]] = []
    quantize_linears(DECODER, weight_quantizer("rtn"), progress=lambda *done: calls.append(done))
    assert calls == [(i, 14) for i in range(1, 15)]


def test_a_missing_statistic_names_the_layer() -> None:
    with pytest.raises(InputError) as error:
        quantize_linears(DECODER, weight_quantizer("gptq"))
    assert str(error.value).startswith("layer 0 q: hessian: is missing")


def test_bad_folders(tmp_path: Path) -> None:
    packed = quantize_linears(DECODER, weight_quantizer("rtn"))
    folder = tmp_path / "model"
    save_linears(folder, DECODER, packed, {})
    description = (folder / MODEL_FILE).read_text()

    def refuse(message: str) -> None:
        with pytest.raises(InputError) as error:
            load_linears(folder, DECODER)
        assert str(error.value) == message

    for text in ("{", "[]", "{}"):
        (folder / MODEL_FILE).write_text(text)
        refuse(f"model: {folder / MODEL_FILE} cannot be read; write the folder again")
    (folder / MODEL_FILE).write_text(description.replace('"version": 2', '"version": 3'))
    refuse(f"model: {folder} is version 3, this program reads 2; write the folder again")
    (folder / MODEL_FILE).write_text(description.replace(DECODER.sha256, "0" * 64))
    refuse(f"model: {folder} belongs to another file of synthetic; load that file")
    (folder / MODEL_FILE).write_text(description)
    file = folder / "1.up.safetensors"
    file.write_bytes(packed[0, "up"].to_bytes())
    refuse(f"model: {file} is damaged; write the folder again")
    file.unlink()
    refuse(f"model: {file} does not exist; write the folder again")
