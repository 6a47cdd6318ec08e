"""The file of packed weights: round trips, and a clear error for every kind of damage."""

import json
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from anda_codesign.formats import InputError
from anda_codesign.formats.weights import serialization as weight_file
from anda_codesign.formats.weights.grouped_int import IntegerWeights, RoundToNearest
from anda_codesign.formats.weights.squeezellm import SqueezeLLMWeights


@pytest.fixture(scope="module")
def data() -> bytes:
    return RoundToNearest(4, 8).quantize(np.random.default_rng(0).standard_normal((20, 3))).to_bytes()


def reseal(body: bytes) -> bytes:
    return body + struct.pack("<I", zlib.crc32(body))


def described(description: Any, arrays: bytes = b"") -> bytes:
    text = json.dumps(description).encode()
    return reseal(struct.pack("<4sHI", b"ANDW", 1, len(text)) + text + arrays)


def test_round_trip_of_all_dtypes() -> None:
    arrays = {name: np.arange(6).reshape(2, 3).astype(name) for name in ("uint8", "uint16", "uint32", "float16")}
    name, image = weight_file.read(weight_file.write("x", weight_file.Image({"bits": 4}, arrays)))
    assert name == "x"
    assert image.parameters == {"bits": 4}
    for name, array in image.arrays.items():
        assert array.dtype == name
        np.testing.assert_array_equal(array, arrays[name])


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


def test_messages(data: bytes) -> None:
    unreadable = "data: the description cannot be read; write the file again with to_bytes()"
    unfilled = "data: the arrays do not fill the file as described; write it again with to_bytes()"
    empty: dict[str, Any] = {"format": "integer", "parameters": {}, "arrays": []}
    cases = [
        (b"GGUF" + data[4:], "data: does not start as a weight file; give the bytes that to_bytes() wrote"),
        (b"ANDW", "data: does not start as a weight file; give the bytes that to_bytes() wrote"),
        (
            reseal(data[:4] + b"\x02\x00" + data[6:-4]),
            "data: is version 2 of the weight file, this program reads 1; write it again",
        ),
        (data[:-1] + b"\x00", "data: the checksum does not match, so the file is damaged or cut short; write it again"),
        (reseal(data[:10] + b"[" + data[11:-4]), unreadable),
        (described([]), unreadable),
        (described({**empty, "format": 3}), unreadable),
        (described({**empty, "arrays": [["codes", "float64", [1]]]}), unreadable),
        (described({**empty, "arrays": [["codes", "uint8", [-1]]]}), unreadable),
        (described({**empty, "arrays": [["codes", "uint8", [2]]]}, b"1"), unfilled),
        (described({**empty, "arrays": [["codes", "uint8", [2]]]}, b"123"), unfilled),
        (described(empty), "data: lacks the entry 'bits'; write it again with to_bytes()"),
    ]
    for damaged, message in cases:
        with pytest.raises(InputError) as error:
            IntegerWeights.from_bytes(damaged)
        assert str(error.value) == message


def test_another_format(data: bytes) -> None:
    with pytest.raises(InputError) as error:
        SqueezeLLMWeights.from_bytes(data)
    assert str(error.value) == "data: holds 'integer' weights, not 'squeezellm'; read it with that format"
