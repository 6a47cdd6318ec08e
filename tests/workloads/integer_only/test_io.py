import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from anda_codesign.formats import InputError
from anda_codesign.workloads import synthetic_decoder
from anda_codesign.workloads.integer_only.decoder import IntegerDecoder
from anda_codesign.workloads.integer_only.io import (
    MODEL_FILE,
    TENSOR_FILE,
    load_integer_weights,
    save_integer_weights,
)
from anda_codesign.workloads.integer_only.smoothed_blocks import float_blocks
from anda_codesign.workloads.integer_only.weights import IntegerConfig, IntegerDecoderWeights, quantize_factors

DECODER = synthetic_decoder()
TOKENS = np.arange(20, dtype=np.int32)


def integer_weights(bits: int = 4) -> IntegerDecoderWeights:
    config = IntegerConfig(weight_bits=bits, activation_bits=8, anchor="minimum", guard_bits=3)
    return IntegerDecoderWeights.quantize(DECODER.weights, float_blocks(DECODER.weights), config)


@pytest.mark.parametrize("bits", [8, 6, 4, 3])
def test_what_was_written_computes_the_same_logits(tmp_path: Path, bits: int):
    weights = integer_weights(bits)
    smooth = quantize_factors(np.linspace(0.5, 2, DECODER.shape.ffn))
    weights = replace(weights, blocks=[replace(weights.blocks[0], gate_smooth=smooth), *weights.blocks[1:]])
    by_bytes = save_integer_weights(tmp_path / "model", weights, {"method": "illm"})
    read = load_integer_weights(tmp_path / "model")
    assert read.config == weights.config and read.shape == weights.shape
    before, after = (IntegerDecoder(one).logits(TOKENS) for one in (weights, read))
    for name in ("codes", "m", "k"):
        assert np.array_equal(getattr(before, name), getattr(after, name))
    assert by_bytes == pytest.approx(weights.bits_per_weight, rel=1e-3)
    assert by_bytes > weights.bits_per_weight  # the exponents of the matrices
    assert json.loads((tmp_path / "model" / MODEL_FILE).read_text())["about"] == {"method": "illm"}


def test_bits_per_weight():
    """A 16-bit multiplier and an 8-bit zero point for each output: 128 inputs, and 384 for down."""
    outputs = 128 + 64 + 64 + 128 + 384 + 384 + 128
    weights = 128 * (outputs - 128) + 384 * 128
    assert integer_weights(4).bits_per_weight == pytest.approx(4 + 24 * outputs / weights)


def spoil(folder: Path, what: str) -> None:
    if what == "missing":
        (folder / TENSOR_FILE).unlink()
    elif what == "description":
        path = folder / MODEL_FILE
        path.write_text(path.read_text().replace('"heads": 4', '"heads": 2'))
    elif what == "damaged":
        data = bytearray((folder / TENSOR_FILE).read_bytes())
        data[-1] ^= 1
        (folder / TENSOR_FILE).write_bytes(data)
    elif what == "version":
        description = json.loads((folder / MODEL_FILE).read_text())
        (folder / MODEL_FILE).write_text(json.dumps(description | {"version": 9}))
    else:
        (folder / MODEL_FILE).write_text("[]")


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("missing", "model: {} holds no readable integer model; write the folder again"),
        ("garbage", "model: {} holds no readable integer model; write the folder again"),
        ("version", "model: {} is version 9, this program reads 1; write the folder again"),
        ("description", "model: {} holds no readable integer model; write the folder again"),
        ("damaged", "model: {}/integer.safetensors is damaged; write the folder again"),
    ],
)
def test_bad_folders_are_refused(tmp_path: Path, what: str, message: str):
    save_integer_weights(tmp_path, integer_weights(), {})
    spoil(tmp_path, what)
    with pytest.raises(InputError, match="^" + re.escape(message.format(tmp_path)) + "$"):
        load_integer_weights(tmp_path)


@pytest.mark.parametrize(
    ("part", "field", "value", "message"),
    [
        ("shape", "name", ["tiny"], "name: is ['tiny']"),
        ("shape", "heads", 0, "heads: is 0"),
        ("config", "anchor", "middle", "anchor: "),
        ("config", "guard_bits", -1, "guard_bits: "),
    ],
)
def test_bad_fields_are_named(tmp_path: Path, part: str, field: str, value: object, message: str):
    """Of descriptions without checksum, as earlier versions wrote them."""
    save_integer_weights(tmp_path, integer_weights(), {})
    description = json.loads((tmp_path / MODEL_FILE).read_text())
    del description["checksum"]
    description[part][field] = value
    (tmp_path / MODEL_FILE).write_text(json.dumps(description))
    with pytest.raises(InputError, match=re.escape(message)):
        load_integer_weights(tmp_path)
