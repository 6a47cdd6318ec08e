"""The file of packed weights: round trips, and a clear error for every kind of damage."""

import json
from typing import Any

import numpy as np
import pytest
from anda_codesign.formats import InputError
from anda_codesign.formats.weight_registry import read_weights
from anda_codesign.formats.weights import serialization as weight_file
from anda_codesign.formats.weights.grouped_int import IntegerWeights, RoundToNearest
from anda_codesign.formats.weights.squeezellm import SqueezeLLMWeights
from safetensors.numpy import load, save


@pytest.fixture(scope="module")
def data() -> bytes:
    return RoundToNearest(4, 8).quantize(np.random.default_rng(0).standard_normal((20, 3))).to_bytes()


def test_round_trip_of_all_dtypes() -> None:
    names = ("uint8", "uint16", "uint32", "float16", "float32")
    arrays = {name: np.arange(6).reshape(2, 3).astype(name).T for name in names}
    name, image = weight_file.read(weight_file.write("x", weight_file.Image({"bits": 4}, arrays)))
    assert name == "x"
    assert image.parameters == {"bits": 4}
    for name, array in image.arrays.items():
        assert array.dtype == name
        np.testing.assert_array_equal(array, arrays[name])


def test_any_safetensors_reader_reads_it(data: bytes) -> None:
    weights = IntegerWeights.from_bytes(data)
    np.testing.assert_array_equal(load(data)["scales"], weights.scales)


def test_equal_weights_give_equal_bytes(data: bytes) -> None:
    assert IntegerWeights.from_bytes(data).to_bytes() == data


def test_every_damaged_byte_is_refused(data: bytes) -> None:
    for position in range(len(data)):
        damaged = bytearray(data)
        damaged[position] ^= 1
        with pytest.raises(InputError, match=r"^data: "):
            IntegerWeights.from_bytes(bytes(damaged))


def test_every_cut_is_refused(data: bytes) -> None:
    for length in range(len(data)):
        with pytest.raises(InputError, match=r"^data: "):
            IntegerWeights.from_bytes(data[:length])


def described(data: bytes, **changes: Any) -> bytes:
    """The same arrays under a changed description, without a new checksum."""
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    description = json.loads(header["__metadata__"]["anda_weights"])
    return save(load(data), {"anda_weights": json.dumps(description | changes)})


def sealed(data: bytes, parameters: dict[str, Any], **arrays: Any) -> bytes:
    """The file with other parameters or arrays, and the checksum of those."""
    name, image = weight_file.read(data)
    return weight_file.write(name, weight_file.Image(dict(image.parameters) | parameters, dict(image.arrays) | arrays))


def test_messages(data: bytes) -> None:
    _, image = weight_file.read(data)
    cases = [
        (b"GGUF" + data[4:], "not a weight file"),
        (save(load(data)), "not a weight file"),
        (save(load(data), {"anda_weights": "[]"}), "not a weight file"),
        (weight_file.write(3, image), "not a weight file"),  # type: ignore[arg-type]
        (weight_file.write([], image), "not a weight file"),  # type: ignore[arg-type]
        (described(data, version=3), "version 3 .* reads 2"),
        (described(data, parameters={"bits": 3}), "checksum"),
        (described(data, sha256="0"), "checksum"),
        (weight_file.write("integer", weight_file.Image({}, image.arrays)), "lacks the entry 'bits'"),
        (sealed(data, {}, scales=np.ones((3, 3))), "'scales' is float64"),
        (sealed(data, {"bits": "4"}), "bits: '4'"),
        (sealed(data, {"bits": True}), "parameters.bits.*is True"),
        (sealed(data, {"group_size": 1 << 70}), "parameters.group_size.*is 1180591620717411303424"),
        (sealed(data, {"channels": (1 << 32) - 1}), r"words: shape \(3, 3\); 4294967295 codes"),
        (sealed(data, {"group_size": []}), "group_size: "),
        (sealed(data, {}, codes=image.arrays["codes"].reshape(-1)), r"words: shape \(9,\)"),
        (sealed(data, {"channels": "20"}), "holds no integer weights"),
        (sealed(data, {"channels": 99}), r"words: shape \(3, 3\); 99 codes"),
        (sealed(data, {"group_size": 2}), "scales: is float16"),
        (sealed(data, {}, codes=image.arrays["codes"].astype(np.float32)), "words: are float32"),
        (sealed(data, {}, scales=image.arrays["scales"].astype(np.float32)), "scales: is float32"),
        (sealed(data, {}, scales=image.arrays["scales"][:, 0]), "holds no integer weights"),
    ]
    for damaged, message in cases:
        with pytest.raises(InputError, match=message):
            IntegerWeights.from_bytes(damaged)
        with pytest.raises(InputError, match=message):
            read_weights(damaged)


def test_another_format(data: bytes) -> None:
    with pytest.raises(InputError, match="'integer' weights, not 'squeezellm'"):
        SqueezeLLMWeights.from_bytes(data)
    _, image = weight_file.read(data)
    with pytest.raises(InputError, match="'mine' weights"):
        read_weights(weight_file.write("mine", image))
