"""Memory layouts of SpQR: the kernel's words, outliers, PTCSR, the paper's blocks."""

from typing import Any

import numpy as np
import pytest
from anda_codesign.formats import InputError
from anda_codesign.formats.weights.spqr.layout import (
    from_ptcsr,
    pack_blocks,
    pack_outliers,
    pack_words,
    second_order_words,
    to_ptcsr,
    unpack_blocks,
    unpack_outliers,
    unpack_words,
)
from anda_codesign.formats.weights.spqr.statistics import decode_affine
from hypothesis import given, settings
from hypothesis import strategies as st

ROW = [0, 1, 2, 3, 4, 5, 6, 7, 7, 6, 5, 4, 3, 2, 1, 0]
NUMBERS: dict[str, Any] = {
    "scale_of_scale": 0.01,
    "zero_of_scale": -1.5,
    "scale_of_zero": 0.25,
    "zero_of_zero": 2.0,
}


def test_words_of_one_tile() -> None:
    words = pack_words([ROW] * 16, [[5]] * 16, [[2]] * 16, **NUMBERS)[0, 0]
    assert second_order_words([0.01, -1.5, 0.25, 2.0]) == 0x4000BE003400211F
    assert words[0] == words[1] == 0x07C14E5DFEB1A215
    assert words[2] == words[3] == 0x08414E5DFEB1A215
    octets = (words >> np.uint64(54)).astype(np.uint8)
    assert octets[::2].tolist() == octets[1::2].tolist() == list((0x4000BE003400211F).to_bytes(8, "little"))


def test_dequantisation_of_that_tile() -> None:
    numbers = np.array([0.01, -1.5, 0.25, 2.0], np.float16)
    scale = decode_affine(np.array([5], np.uint8), numbers[:1], numbers[1:2])
    zero = decode_affine(np.array([2], np.uint8), numbers[2:3], numbers[3:])
    assert (scale[0], zero[0]) == (np.float16(0.065), 0)
    weights = decode_affine(np.arange(4, dtype=np.uint8), scale, zero)
    np.testing.assert_array_equal(weights, np.array([0, 0.065, 0.13, 0.1951], np.float16))


@given(st.integers(1, 4), st.integers(1, 4), st.integers(0, 2**32 - 1))
@settings(deadline=None)
def test_words_round_trip(rows: int, columns: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 8, (16 * rows, 16 * columns), np.uint8)
    scales, zeros = rng.integers(0, 8, (2, 16 * rows, columns), np.uint8)
    numbers = rng.standard_normal((rows, columns, 4)).astype(np.float16)
    words = pack_words(codes, scales, zeros, **{name: numbers[..., i] for i, name in enumerate(NUMBERS)})
    assert words.shape == (rows, columns, 16)
    assert (words >> np.uint64(62) == 0).all()
    tiles = unpack_words(words)
    for found, expected in zip(tiles, (codes, scales, zeros, numbers), strict=True):
        np.testing.assert_array_equal(found, expected)
    row, column, k = rows - 1, columns - 1, 5
    word = sum(int(code) << (6 + 3 * j) for j, code in enumerate(codes[16 * row + k, 16 * column :]))
    word |= int(scales[16 * row + k, column]) | int(zeros[16 * row + k, column]) << 3
    word |= (int(second_order_words(numbers[row, column])) >> 16 & 255) << 54
    assert int(words[row, column, k]) == word


def test_outlier_words() -> None:
    assert pack_outliers([4097], [-0.375]).tolist() == [0xB6001001]
    columns, values = np.array([0, 32767, 5]), np.array([1.5, -2, 6e-8], np.float16)
    found = unpack_outliers(pack_outliers(columns, values))
    np.testing.assert_array_equal(found[0], columns)
    np.testing.assert_array_equal(found[1], values)


@given(st.lists(st.integers(0, 5), min_size=16, max_size=48).filter(lambda counts: len(counts) % 16 == 0))
@settings(deadline=None, max_examples=50)
def test_ptcsr_round_trip(counts: list[int]) -> None:
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.uint32)
    words = (np.arange(sum(counts)) + 0x3C000000).astype(np.uint32)
    layout = to_ptcsr(offsets, words)
    longest = [max(counts[start : start + 16]) for start in range(0, len(counts), 16)]
    assert np.diff(layout.block_offsets).tolist() == [16 * count for count in longest]
    found = from_ptcsr(layout)
    np.testing.assert_array_equal(found[0], offsets)
    np.testing.assert_array_equal(found[1], words)
    for row, count in enumerate(counts):
        start = int(layout.block_offsets[row // 16]) + row % 16
        stop = int(layout.block_offsets[row // 16 + 1])
        own = layout.words[start:stop:16]
        assert own[:count].tolist() == words[offsets[row] : offsets[row + 1]].tolist()
        assert (own[count:] == 0).all()


@pytest.mark.parametrize(
    ("bits", "statistics_bits", "inputs", "outputs", "octets"),
    [(3, 3, 16, 16, 116), (3, 3, 8, 64, 248), (4, 3, 16, 16, 148), (3, 16, 48, 1, 22)],
)
def test_blocks(bits: int, statistics_bits: int, inputs: int, outputs: int, octets: int) -> None:
    rng = np.random.default_rng(bits)
    codes = rng.integers(0, 2**bits, (5, outputs, inputs), np.uint8)
    statistics = rng.integers(0, 2**statistics_bits, (5, outputs, 2), np.uint16)
    numbers = rng.standard_normal((5, 0 if statistics_bits == 16 else 4)).astype(np.float16)
    packed = pack_blocks(codes, bits, statistics, statistics_bits, numbers)
    assert packed.shape == (5, octets)
    stream = int.from_bytes(packed[2].tobytes(), "little")
    assert stream & (2**bits - 1) == codes[2, 0, 0]
    assert stream >> bits & (2**bits - 1) == codes[2, 0, 1]
    assert stream >> (bits * inputs * outputs) & (2**statistics_bits - 1) == statistics[2, 0, 0]
    found = unpack_blocks(packed, outputs, inputs, bits, statistics_bits, numbers.shape[1])
    for array, expected in zip(found, (codes, statistics, numbers), strict=True):
        np.testing.assert_array_equal(array, expected)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"codes": [[8] * 16] * 16}, "codes: span 8..8"),
        ({"codes": [ROW] * 15}, "codes: have shape [15, 16]"),
        ({"scale_codes": [[8]] * 16}, "scale_codes: span 8..8"),
        ({"zero_codes": [2] * 16}, "zero_codes: have shape [16]"),
    ],
)
def test_bad_words(changes: dict[str, Any], message: str) -> None:
    arguments: dict[str, Any] = {"codes": [ROW] * 16, "scale_codes": [[5]] * 16, "zero_codes": [[2]] * 16}
    with pytest.raises(InputError) as error:
        pack_words(**{**arguments, **changes}, **NUMBERS)
    assert str(error.value).startswith(message)


def test_bad_lists_and_blocks() -> None:
    with pytest.raises(InputError, match=r"^columns: reach 32768"):
        pack_outliers([32768], [1.0])
    with pytest.raises(InputError, match=r"^row_offsets: have 2 rows"):
        to_ptcsr(np.zeros(3, np.uint32), np.zeros(0, np.uint32))
    with pytest.raises(InputError, match=r"^blocks: have shape \[2, 3\]"):
        unpack_blocks(np.zeros((2, 3), np.uint8), 16, 16, 3, 3, 4)
