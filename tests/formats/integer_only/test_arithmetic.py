import math
from fractions import Fraction

import numpy as np
import pytest
from anda_codesign.formats import InputError
from anda_codesign.formats.integer_only import arithmetic, integer_sqrt
from hypothesis import given
from hypothesis import strategies as st

int60 = st.integers(-(2**60), 2**60)


def round_away(value: Fraction) -> int:
    magnitude = math.floor(abs(value) + Fraction(1, 2))
    return magnitude if value >= 0 else -magnitude


@pytest.mark.parametrize(
    ("a", "root"),
    [
        (0, 0),
        (1, 1),
        (3, 1),
        (15, 3),
        (16, 4),
        (17, 4),
        (255, 15),
        (65535, 255),
        (65536, 256),
        (2147483647, 46340),
        (2**62, 2**31),
    ],
)
def test_square_roots_of_the_reference_vectors(a: int, root: int):
    assert integer_sqrt(a) == root


def test_every_square_root_below_2_to_16():
    a = np.arange(1 << 16)
    root = integer_sqrt(a)
    assert (root**2 <= a).all() and (a < (root + 1) ** 2).all()


@given(st.lists(st.integers(0, 2**63 - 1), min_size=1))
def test_square_root_equals_isqrt(values: list[int]):
    assert integer_sqrt(np.array(values)).tolist() == [math.isqrt(value) for value in values]


@pytest.mark.parametrize("a", [2**63 - 1, (2**31 + 5) ** 2 - 1, (2**31 + 5) ** 2])
def test_square_root_near_the_top_of_int64(a: int):
    assert integer_sqrt(a) == math.isqrt(a)


def test_square_root_gives_an_int_for_an_int():
    assert type(integer_sqrt(17)) is int
    assert integer_sqrt(np.array([[17, 4]], np.uint8)).dtype == np.int64


@given(int60, st.integers(1, 2**60))
def test_divide_rounded(a: int, b: int):
    assert arithmetic.divide_rounded(np.asarray(a), np.asarray(b)) == round_away(Fraction(a, b))


@given(int60, st.integers(0, 70))
def test_shift_right_rounded(a: int, n: int):
    assert arithmetic.shift_right_rounded(np.asarray(a), n) == round_away(Fraction(a, 2**n))


@given(st.integers(-(2**30), 2**30), st.integers(-70, 30))
def test_shift_left(a: int, n: int):
    assert arithmetic.shift_left(np.asarray(a), n) == math.floor(a * Fraction(2) ** n)


@given(st.integers(0, 2**63 - 1))
def test_top_bit(a: int):
    assert arithmetic.top_bit(np.asarray(a)) == a.bit_length() - 1


@given(st.lists(st.integers(-(2**40), 2**40), min_size=1, max_size=5), st.integers(3, 30))
def test_normalize_rows(row: list[int], bit: int):
    shifted, left = arithmetic.normalize_rows(np.array(row), bit)
    assert shifted.tolist() == [round_away(Fraction(value) * Fraction(2) ** int(left[0])) for value in row]
    if any(row):
        assert 2**bit <= max(abs(value) for value in shifted.tolist()) <= 2 ** (bit + 1)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([1.0], "a: holds float64 values"),
        (np.array([True]), "a: holds bool values"),
        ([], "a: is empty"),
        (2**70, "a: holds integers beyond 64 bits"),
        (np.array([2**63], np.uint64), "a: holds values of 2**63 or more"),
        ([4, -1], "a: holds -1"),
    ],
)
def test_square_root_refuses(value: object, message: str):
    with pytest.raises(InputError) as caught:
        integer_sqrt(value)  # pyright: ignore[reportArgumentType]
    assert str(caught.value).startswith(message)


def test_width_and_scale_messages():
    with pytest.raises(InputError, match=r"^p: needs 41 bits, but int64 has 40 left"):
        arithmetic.check_width("p", np.array([3, -(2**40)]), 40)
    with pytest.raises(InputError, match=r"^s: m is 0, so the scale is not positive"):
        arithmetic.check_scale("s", np.array([1, 0]), np.array(3))
    with pytest.raises(InputError, match=r"^s: k is outside -1000..1000"):
        arithmetic.check_scale("s", np.array(1), np.array(-1001))
