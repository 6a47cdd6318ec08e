"""Packing of payloads."""

import numpy as np
import pytest
from anda_codesign.rtl.simulation.packing import pack, pack_words, to_integers, to_words, unpack


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
    np.testing.assert_array_equal(unpack(to_words(shifted, 7 * bits + 3), bits, 7, start=3, signed=True), fields)


@pytest.mark.parametrize(("bits", "count"), [(1, 31), (4, 8), (16, 3), (33, 2), (62, 5)])
def test_words_and_integers_are_the_same_payloads(bits: int, count: int) -> None:
    fields = np.random.default_rng(bits).integers(-(2 ** (bits - 1)), 2 ** (bits - 1), (10, count))
    words = pack_words(fields, bits)
    assert words.dtype == np.uint32
    assert to_integers(words) == pack(fields, bits)
    np.testing.assert_array_equal(to_words(pack(fields, bits), bits * count), words)
    np.testing.assert_array_equal(to_words(words, bits * count), words)


def test_negative_integers_keep_to_their_bits() -> None:
    assert to_words([-1, -2], 33).tolist() == [[0xFFFFFFFF, 1], [0xFFFFFFFE, 1]]
    assert to_words([], 33).shape == (0, 2)


@pytest.mark.parametrize("words", [[[1]], [[1, 2, 3]], [[0, 2]]])
def test_words_that_do_not_fit_their_port(words: list[list[int]]) -> None:
    with pytest.raises(ValueError, match=r"^payloads: .* \[n, 2\] words with 33 bits"):
        to_words(np.array(words, np.uint32), 33)
