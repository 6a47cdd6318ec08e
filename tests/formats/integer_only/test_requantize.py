import math
from fractions import Fraction

import numpy as np
import pytest
from anda_codesign.formats import InputError
from anda_codesign.formats.integer_only import DyadicTensor, di_requantize, requantize, requantize_figure
from hypothesis import assume, given
from hypothesis import strategies as st

ROW = [-34567, -20000, 0, 5, 12345, 41234]

rows = st.lists(st.integers(-(2**30), 2**30), min_size=1, max_size=8)
multipliers = st.integers(1, 255)
exponents = st.integers(-4, 40)
widths = st.integers(1, 16)


def round_away(value: Fraction) -> int:
    magnitude = math.floor(abs(value) + Fraction(1, 2))
    return magnitude if value >= 0 else -magnitude


def slow_requantize(p: list[int], m1: int, k1: int, m2: int, k2: int, bits: int) -> tuple[list[int], int, int, int]:
    """The closed form in exact fractions."""
    low, spread, top = min(p), max(max(p) - min(p), 1), 2**bits - 1
    s = Fraction(spread * m1 * m2) / Fraction(2) ** (k1 + k2)
    k_y = 0
    while Fraction(2) ** (k_y + 1) <= 256 * top / s:
        k_y += 1
    while Fraction(2) ** k_y > 256 * top / s:
        k_y -= 1
    m_y = round_away(s * Fraction(2) ** k_y / top)
    if m_y == 256:
        m_y, k_y = 128, k_y - 1
    y = [round_away(Fraction((value - low) * top, spread)) for value in p]
    return y, m_y, k_y, round_away(Fraction(-low * top, spread))


@pytest.mark.parametrize(
    ("p", "scales", "bits", "expected"),
    [
        (ROW, (200, 12, 150, 10), 8, ([0, 49, 116, 116, 158, 255], 136, 6, 116)),
        (ROW, (200, 12, 150, 10), 4, ([0, 3, 7, 7, 9, 15], 145, 2, 7)),
        ([-5, -4, -1], (128, 3, 128, 3), 8, ([0, 64, 255], 129, 5, 319)),
    ],
)
def test_reference_vectors(p: list[int], scales: tuple[int, int, int, int], bits: int, expected: tuple[object, ...]):
    y, m_y, k_y, zero_point = di_requantize(p, *scales, bits)
    assert (y.tolist(), m_y, k_y, zero_point) == expected
    y, m_y, k_y, zero_point = di_requantize(np.array([p, p]), *scales, bits)
    assert (y[1].tolist(), m_y[1], k_y[1], zero_point[1]) == expected


@given(rows, multipliers, exponents, multipliers, exponents, widths)
def test_equals_the_closed_form_in_fractions(p: list[int], m1: int, k1: int, m2: int, k2: int, bits: int):
    y, m_y, k_y, zero_point = di_requantize(p, m1, k1, m2, k2, bits)
    assert (y.tolist(), m_y, k_y, zero_point) == slow_requantize(p, m1, k1, m2, k2, bits)


@given(rows, multipliers, exponents, multipliers, exponents, widths)
def test_invariants(p: list[int], m1: int, k1: int, m2: int, k2: int, bits: int):
    assume(max(p) > min(p))
    y, m_y, k_y, zero_point = di_requantize(p, m1, k1, m2, k2, bits)
    top, step = 2**bits - 1, Fraction((max(p) - min(p)) * m1 * m2) / (2**bits - 1) / Fraction(2) ** (k1 + k2)
    assert 128 <= m_y <= 255
    assert abs(m_y / Fraction(2) ** k_y / step - 1) <= Fraction(1, 256)
    assert y.min() == 0 and y.max() == top
    for code, value in zip(y.tolist(), p, strict=True):
        exact = Fraction(value * m1 * m2) / Fraction(2) ** (k1 + k2)
        back = (code - zero_point) * m_y / Fraction(2) ** k_y
        assert abs(back - exact) <= step * (1 + Fraction(abs(code - zero_point), 256))


@given(rows, multipliers, exponents, widths)
def test_anchor_at_zero_halves_the_error(p: list[int], m: int, k: int, bits: int):
    """Within the codes, rounding is the only error but the scale's; it may clip by half a step at either end."""
    y, m_y, k_y, zero_point = di_requantize(p, m, k, 1, 0, bits, anchor="zero")
    expected = di_requantize(p, m, k, 1, 0, bits)
    assert (m_y, k_y, zero_point) == expected[1:]
    top, spread = 2**bits - 1, max(max(p) - min(p), 1)
    for code, value in zip(y.tolist(), p, strict=True):
        assert 0 <= code <= top
        error = abs(code - zero_point - Fraction(value * top, spread))
        assert error <= Fraction(1, 2) or (code == top and error <= 1)


def test_rows_are_independent():
    p = np.random.default_rng(0).integers(-(2**20), 2**20, (3, 4, 16))
    m = np.arange(1, 13).reshape(3, 4) * 20
    together = di_requantize(p, m, 9, 77, 3, 6)
    for index in np.ndindex(3, 4):
        alone = di_requantize(p[index], int(m[index]), 9, 77, 3, 6)
        for one, all_of_them in zip(alone, together, strict=True):
            assert np.array_equal(one, all_of_them[index])


def test_zero_point_may_lie_outside_the_codes():
    """All values negative: the range does not contain 0, and no code stands for it."""
    y, _, _, zero_point = di_requantize([-5, -4, -1], 128, 3, 128, 3, 8)
    assert zero_point > y.max()


@pytest.mark.parametrize("value", [-7, 0, 12345])
def test_constant_row(value: int):
    y, m_y, k_y, zero_point = di_requantize([value] * 4, 100, 10, 1, 0, 8)
    assert y.tolist() == [0] * 4
    assert zero_point == -value * 255
    assert (0 - zero_point) * m_y / 2**k_y == pytest.approx(value * 100 / 2**10, rel=2**-8)


def test_coarse_scale_gives_a_negative_exponent():
    _, m_y, k_y, _ = di_requantize([0, 2**20], 255, 0, 255, 0, 4)
    assert k_y < 0
    assert m_y * 2.0**-k_y == pytest.approx(2**20 * 255 * 255 / 15, rel=2**-8)


def test_tensor_keeps_one_scale_per_row():
    tensor = DyadicTensor(np.array([ROW, ROW[::-1]]), np.array([[200], [100]]), np.array([[22], [21]]), np.array(0))
    once = requantize(tensor, 8)
    assert once.m.shape == once.k.shape == once.zero_point.shape == (2, 1)
    assert np.abs(once.dequantize() - tensor.dequantize()).max() < 0.02 * np.abs(tensor.dequantize()).max()


def test_figure_form_has_the_range_as_its_scale():
    y, m_y, k_y, zero_point = requantize_figure(ROW, 200, 12, 150, 10, 8)
    expected, _, _, expected_zero = di_requantize(ROW, 200, 12, 150, 10, 8)
    assert np.array_equal(y, expected) and zero_point == expected_zero
    assert m_y / 2**k_y == pytest.approx((41234 + 34567) * 200 * 150 / 2**22, rel=1e-6)
    assert m_y > 255  # why the closed form replaces it


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([1, 2], 0, 0, 1, 0, 8), "m1, k1: m is 0, so the scale is not positive"),
        (([1, 2], 1, 0, -3, 0, 8), "m2, k2: m is -3, so the scale is not positive"),
        (([1, 2], 1, 0, 1, 0, 17), "bits: 17 "),
        (([1, 2], 1, 0, 1, 0, 0), "bits: 0 "),
        ((7, 1, 0, 1, 0, 8), "p: is a single number"),
        (([1.5, 2], 1, 0, 1, 0, 8), "p: holds float64 values"),
        (([1, 2**60], 1, 0, 1, 0, 8), "p: needs 61 bits, but int64 has 53 left"),
        (([1, 2], [1, 2], 0, 1, 0, 8), "m1: has shape [2]"),
        (([[1, 2]], 1, [1, 2, 3], 1, 0, 8), "k1: has shape [3]"),
        (([1, 2], 1, 0, 1, 0, 8, "mean"), "anchor: 'mean' "),
        (
            ([0, 2**50], 255, 0, 255, 0, 8),
            "p: the range of p, m1 and m2 need 67 bits",
        ),
    ],
)
def test_refuses(arguments: tuple[object, ...], message: str):
    with pytest.raises(InputError) as caught:
        di_requantize(*arguments)  # pyright: ignore[reportArgumentType]
    assert str(caught.value).startswith(message)


def test_tensor_refuses_a_scale_per_channel():
    tensor = DyadicTensor(np.array([ROW]), np.arange(1, 7), np.array(3), np.array(0))
    with pytest.raises(InputError, match=r"^m: has 6 values along the channels"):
        requantize(tensor, 8)


def test_figure_form_refuses_a_constant_below_one():
    with pytest.raises(InputError, match=r"^constant: 0"):
        requantize_figure(ROW, 200, 12, 150, 10, 8, constant=0)
