"""Packed checkpoints against a packer that is written here, a nibble at a time."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from anda_codesign.formats import InputError
from anda_codesign.workloads import load_checkpoint
from anda_codesign.workloads.loading.packed_int4 import PackedLayout
from anda_codesign.workloads.loading.safetensors_folder import SafetensorsFolder
from checkpoints import LLAMA_CONFIG, LLAMA_NAMES, TOKENS, llama_tensors
from safetensors.numpy import save_file

IN, OUT, GROUP = 96, 24, 32
AWQ_NIBBLE_OF_CHANNEL = [0, 4, 1, 5, 2, 6, 3, 7]
"""Where AWQ puts output channel 0 .. 7 of eight: even channels in the low half of the word."""


def pack_rows(codes: np.ndarray) -> np.ndarray:
    """Eight input channels in a word, the first in its lowest bits."""
    words = np.zeros((codes.shape[0] // 8, codes.shape[1]), np.int64)
    for row, column in np.ndindex(*codes.shape):
        words[row // 8, column] += int(codes[row, column]) << 4 * (row % 8)
    return words.astype(np.uint32).view(np.int32)


def pack_awq(codes: np.ndarray) -> np.ndarray:
    words = np.zeros((codes.shape[0], codes.shape[1] // 8), np.int64)
    for row, column in np.ndindex(*codes.shape):
        words[row, column // 8] += int(codes[row, column]) << 4 * AWQ_NIBBLE_OF_CHANNEL[column % 8]
    return words.astype(np.uint32).view(np.int32)


def pack(method: str, codes: np.ndarray, zeros: np.ndarray, scales: np.ndarray, shift: int) -> dict[str, np.ndarray]:
    if method == "awq":
        return {"qweight": pack_awq(codes), "qzeros": pack_awq(zeros), "scales": scales}
    index = np.arange(len(codes), dtype=np.int32) // (len(codes) // len(scales))
    stored = np.ascontiguousarray(pack_rows((zeros - shift).T).T)
    return {"qweight": pack_rows(codes), "qzeros": stored, "scales": scales, "g_idx": index}


LAYOUTS = {
    "gptq": ({"quant_method": "gptq", "bits": 4, "group_size": GROUP}, 1),
    "gptq_v2": ({"quant_method": "gptq", "bits": 4, "group_size": GROUP, "checkpoint_format": "gptq_v2"}, 0),
    "awq": ({"quant_method": "awq", "bits": 4, "group_size": GROUP, "version": "gemm"}, 0),
}


def read(folder: Path, config: dict[str, Any], tensors: dict[str, np.ndarray]) -> Any:
    save_file({f"w.{name}": values for name, values in tensors.items()}, folder / "model.safetensors")
    return PackedLayout.from_config(config, folder / "config.json").read(SafetensorsFolder(folder), "w", (IN, OUT))


def test_symmetric_weights_are_exact(tmp_path: Path, rng: np.random.Generator):
    for layout in LAYOUTS:
        config, shift = LAYOUTS[layout]
        codes = rng.integers(0, 16, (IN, OUT))
        scales = rng.uniform(0.001, 0.1, (IN // GROUP, OUT)).astype(np.float16)
        zeros = np.full(scales.shape, 8)
        weights = read(tmp_path, config, pack(config["quant_method"], codes, zeros, scales, shift))
        assert weights.offsets is None
        np.testing.assert_array_equal(weights.codes, codes - 8)
        np.testing.assert_array_equal(weights.scales, scales)
        assert weights.group_size == GROUP


def test_zero_points_become_offsets(tmp_path: Path, rng: np.random.Generator):
    for layout in LAYOUTS:
        config, shift = LAYOUTS[layout]
        codes = rng.integers(0, 16, (IN, OUT))
        scales = rng.uniform(0.001, 0.1, (IN // GROUP, OUT)).astype(np.float16)
        zeros = rng.integers(1, 16, scales.shape)
        weights = read(tmp_path, config, pack(config["quant_method"], codes, zeros, scales, shift))
        np.testing.assert_array_equal(weights.codes, codes - 8)
        exact = np.repeat(scales.astype(float), GROUP, axis=0) * (codes - np.repeat(zeros, GROUP, axis=0))
        largest_offset = 7 * np.repeat(scales.astype(float), GROUP, axis=0)
        assert (np.abs(weights.dequantize() - exact) <= 2.0**-11 * largest_offset).all()


def test_one_group_for_all_channels(tmp_path: Path, rng: np.random.Generator):
    config = {"quant_method": "gptq", "bits": 4, "group_size": -1}
    codes, scales = rng.integers(0, 16, (IN, OUT)), rng.uniform(0.01, 0.1, (1, OUT)).astype(np.float16)
    weights = read(tmp_path, config, pack("gptq", codes, np.full((1, OUT), 8), scales, 1))
    np.testing.assert_array_equal(weights.dequantize(), (codes - 8) * scales.astype(np.float32))


def test_groups_by_activation_order_are_floats(tmp_path: Path, rng: np.random.Generator):
    config, shift = LAYOUTS["gptq"]
    codes = rng.integers(0, 16, (IN, OUT))
    scales, zeros = rng.uniform(0.01, 0.1, (3, OUT)).astype(np.float16), rng.integers(1, 16, (3, OUT))
    tensors = pack("gptq", codes, zeros, scales, shift)
    tensors["g_idx"] = tensors["g_idx"][rng.permutation(IN)]
    weights = read(tmp_path, config, tensors)
    for channel, group in enumerate(tensors["g_idx"]):
        expected = (codes[channel] - zeros[group]) * scales[group].astype(np.float32)
        np.testing.assert_array_equal(weights.dequantize()[channel], expected)
    assert weights.name == "GPTQ's groups by activation order"


def test_a_group_that_does_not_exist(tmp_path: Path, rng: np.random.Generator):
    config, shift = LAYOUTS["gptq"]
    scales = np.ones((3, OUT), np.float16)
    tensors = pack("gptq", rng.integers(0, 16, (IN, OUT)), np.full(scales.shape, 8), scales, shift)
    tensors["g_idx"] = tensors["g_idx"] + 1
    with pytest.raises(InputError, match=r"^checkpoint: w\.g_idx names group 3 of 3; copy the file again$"):
        read(tmp_path, config, tensors)


def symmetric(rng: np.random.Generator, stored: int) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """Codes, scales, and GPTQ tensors whose zeros hold `stored`."""
    codes, scales = rng.integers(0, 16, (IN, OUT)), rng.uniform(0.01, 0.1, (3, OUT)).astype(np.float16)
    return codes, scales, pack("gptq", codes, np.full(scales.shape, stored), scales, 0)


@pytest.mark.parametrize("stated", ["gptq", "gptq_v2"])
@pytest.mark.parametrize("stored", [7, 8])
def test_zeros_of_symmetric_files_show_their_convention(
    tmp_path: Path, rng: np.random.Generator, stated: str, stored: int
):
    codes, scales, tensors = symmetric(rng, stored)
    config = LAYOUTS["gptq"][0] | {"sym": True, "checkpoint_format": stated}
    expected = (codes - 8) * np.repeat(scales.astype(np.float32), GROUP, axis=0)
    np.testing.assert_array_equal(read(tmp_path, config, tensors).dequantize(), expected)


def test_symmetric_files_with_other_zeros(tmp_path: Path, rng: np.random.Generator):
    tensors = symmetric(rng, 7)[2]
    config = LAYOUTS["gptq"][0] | {"sym": True}
    tensors["qzeros"] = tensors["qzeros"] + 1
    with pytest.raises(
        InputError, match=r"^checkpoint: w.qzeros holds 7 to 8, but sym is true in quantization_config;"
    ):
        read(tmp_path, config, tensors)


def test_a_stored_zero_of_15_means_0(tmp_path: Path, rng: np.random.Generator):
    codes, scales, tensors = symmetric(rng, 15)
    weights = read(tmp_path, LAYOUTS["gptq"][0] | {"sym": False}, tensors)
    expected = codes * np.repeat(scales.astype(np.float32), GROUP, axis=0)
    np.testing.assert_allclose(weights.dequantize(), expected, rtol=1e-3, atol=1e-3)


def test_names_that_entries_have_had(tmp_path: Path):
    path = tmp_path / "config.json"
    old = {"quant_method": "awq", "w_bit": 4, "q_group_size": 64, "zero_point": True, "version": "GEMM"}
    new = {"quant_method": "awq", "bits": 4, "group_size": 64, "version": "gemm"}
    assert PackedLayout.from_config(old, path) == PackedLayout.from_config(new, path)
    assert PackedLayout.from_config(new, path).group_size == 64
    gptq = {"method": "gptq", "bits": 4, "group_size": 64, "format": "gptq_v2"}
    assert PackedLayout.from_config(gptq, path).zero_shift == 0
    for config, message in [
        (old | {"bits": 3}, "has bits 3 and w_bit 4; remove the wrong one"),
        (old | {"w_bit": 3}, "has bits 3 of awq; use a checkpoint with 4"),
        (new | {"version": "GEMV"}, "has version 'gemv' of awq; use a checkpoint with 'gemm'"),
        (
            gptq | {"checkpoint_format": "gptq"},
            "has checkpoint_format 'gptq' and format 'gptq_v2'; remove the wrong one",
        ),
        (gptq | {"is_marlin_format": True}, "has checkpoint_format 'marlin'; use gptq or gptq_v2"),
    ]:
        with pytest.raises(InputError, match=f"^checkpoint: {re.escape(f'{path} {message}')}$"):
            PackedLayout.from_config(config, path)


def test_options_in_a_file_of_their_own(tmp_path: Path):
    own = {"bits": 4, "group_size": 64, "sym": True, "desc_act": False}
    assert PackedLayout.from_folder(tmp_path, None) is None
    (tmp_path / "quantize_config.json").write_text(json.dumps(own))
    expected = PackedLayout("gptq", 64, 1, symmetric=True)
    assert PackedLayout.from_folder(tmp_path, None) == expected
    assert PackedLayout.from_folder(tmp_path, {"quant_method": "gptq", "bits": 4, "group_size": 64}) == expected
    with pytest.raises(
        InputError, match=r"quantize_config.json has group_size 64, config.json 32; remove the wrong one$"
    ):
        PackedLayout.from_folder(tmp_path, {"quant_method": "gptq", "group_size": 32})


@pytest.mark.parametrize("method", ["gptq", "awq"])
def test_a_packed_model_runs_as_the_model_of_its_weights(method: str, tmp_path: Path, rng: np.random.Generator):
    tensors = llama_tensors()
    packed = dict(tensors)
    for name in [name for name in tensors if any(f".{part}." in name for part in LLAMA_NAMES.values())]:
        outputs, inputs = tensors[name].shape
        codes = rng.integers(0, 16, (inputs, outputs))
        scales = rng.uniform(0.002, 0.02, (inputs // 64, outputs)).astype(np.float16)
        stem = name.removesuffix(".weight")
        del packed[name]
        parts = pack(method, codes, np.full(scales.shape, 8), scales, 1)
        packed |= {f"{stem}.{part}": values for part, values in parts.items()}
        tensors[name] = np.ascontiguousarray(
            (np.repeat(scales.astype(np.float32), 64, axis=0) * (codes - 8).astype(np.float32)).T
        )
    quantization = {"quant_method": method, "bits": 4, "group_size": 64}
    for folder, config, own in (("plain", {}, tensors), ("packed", {"quantization_config": quantization}, packed)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "config.json").write_text(json.dumps(LLAMA_CONFIG | config))
        save_file(own, tmp_path / folder / "model.safetensors")
    loaded = load_checkpoint(tmp_path / "packed")
    np.testing.assert_array_equal(
        loaded.logits(TOKENS), load_checkpoint(tmp_path / "plain", group_size=None).logits(TOKENS)
    )
    assert loaded.linear(0, "q").group_size == 64
