"""Packing of payloads."""

import numpy as np
import pytest
from anda_codesign.rtl.packing import pack, unpack


def test_the_first_field_is_lowest() -> None:
    assert pack(np.array([[1, 2, 3]]), 4) == [0x321]
    assert pack(np.array([[-8, 7]]), 4) == [0x78]


@pytest.mark.parametrize("bits", [1, 4, 5, 16, 26, 62])
def test_there_and_back(bits: int) -> None:
    fields = np.random.default_rng(bits).integers(-(2 ** (bits - 1)), 2 ** (bits - 1), (10, 7))
    np.testing.assert_array_equal(unpack(pack(fields, bits), bits, 7, signed=True), fields)
    np.testing.assert_array_equal(unpack(pack(fields, bits), bits, 7), fields % 2**bits)
    shifted = [word << 3 for word in pack(fields, bits)]
    np.testing.assert_array_equal(unpack(shifted, bits, 7, start=3, signed=True), fields)
