"""Packing of codes into 32-bit words."""

import numpy as np
import pytest
from anda_codesign.formats import InputError
from anda_codesign.formats.weights.bit_packing import from_bits, pack_codes, to_bits, unpack_codes, word_count
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp


def test_published_vectors() -> None:
    three = pack_codes([i % 8 for i in range(32)], 3)
    np.testing.assert_array_equal(three, np.array([0x88FAC688, 0xC688FAC6, 0xFAC688FA], np.uint32))
    assert three.dtype == np.uint32
    np.testing.assert_array_equal(pack_codes(np.arange(8), 4), [0x76543210])


@settings(deadline=None)
@given(st.data(), st.integers(1, 16), st.integers(1, 70), st.integers(1, 3))
def test_round_trip_equals_a_big_integer(data: st.DataObject, bits: int, count: int, streams: int) -> None:
    codes = data.draw(hnp.arrays(np.uint16, (count, streams), elements=st.integers(0, 2**bits - 1)))
    words = pack_codes(codes, bits)
    assert words.shape == (word_count(count, bits), streams)
    for stream in range(streams):
        expected = sum(int(code) << (bits * i) for i, code in enumerate(codes[:, stream]))
        assert sum(int(word) << (32 * i) for i, word in enumerate(words[:, stream])) == expected
    np.testing.assert_array_equal(unpack_codes(words, bits, count), codes)


@settings(deadline=None)
@given(st.integers(1, 16), st.integers(0, 65535))
def test_bits_are_least_significant_first(bits: int, code: int) -> None:
    stream = to_bits(np.array(code), bits)
    assert stream.tolist() == [code >> i & 1 for i in range(bits)]
    assert from_bits(stream) == code % 2**bits


@pytest.mark.parametrize(
    ("codes", "bits", "message"),
    [
        ([8], 3, "codes: span 8..8"),
        ([-1, 2], 3, "codes: span -1..2"),
        ([0.5], 3, "codes: is float64 [1]"),
        ([], 3, "codes: is float64 [0]"),
        (3, 3, "codes: is int64 []"),
        ([1], 0, "bits: 0"),
        ([1], 17, "bits: 17"),
        ([1], True, "bits: True"),
    ],
)
def test_bad_codes(codes: object, bits: int, message: str) -> None:
    with pytest.raises(InputError) as error:
        pack_codes(codes, bits)
    assert str(error.value).startswith(message)


def test_wrong_word_count() -> None:
    with pytest.raises(InputError) as error:
        unpack_codes(np.zeros(3, np.uint32), 3, 12)
    assert str(error.value).startswith("words: shape (3,)")
