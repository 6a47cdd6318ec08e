import math
from typing import Any

import numpy as np
import pytest
from anda_codesign.formats import InputError
from anda_codesign.formats.integer_only import di_exp, exp_guard_bits
from cases import each
from hypothesis import given
from hypothesis import strategies as st

VECTORS = {
    (241, 12): (12, {0: 12, -1: 11, -5: 9, -12: 6, -17: 4, -34: 1, -100: 0, -255: 0}),
    (129, 12): (22, {0: 22, -1: 21, -5: 19, -12: 16, -17: 13, -34: 8, -100: 1}),
    (1, 4): (16, {0: 16, -1: 15, -5: 13, -12: 10, -17: 7, -34: 3}),
    (255, 8): (1, {0: 1}),
}


def slow_di_exp(x: int, m: int, k: int, guard_bits: int) -> tuple[int, int]:
    """Algorithm 1 in Python integers, line by line."""
    x, k = x << guard_bits, k + guard_bits
    m_f = m + (m >> 1) - (m >> 4)
    t = ((1 << (k + 1)) + m_f) // (2 * m_f)
    q = -x // t
    r = x + q * t
    return ((r >> 1) + t) >> q, t


@pytest.mark.parametrize("scale", VECTORS)
def test_reference_vectors(scale: tuple[int, int]):
    t, values = VECTORS[scale]
    for x, e in values.items():
        assert di_exp(x, *scale) == (e, t)
    e, t_of_array = di_exp(np.array(list(values)), *scale)
    assert e.tolist() == list(values.values())
    assert t_of_array == t


@given(st.integers(-70_000, 0), st.integers(1, 255), st.integers(4, 20), st.integers(5, 12))
def test_equals_the_algorithm_in_python_integers(x: int, m: int, k: int, guard_bits: int):
    assert di_exp(x, m, k, guard_bits) == slow_di_exp(x, m, k, guard_bits)


@each("scale", [(241, 12), (129, 12), (160, 9), (255, 10), (200, 14), (128, 16)])
@each("guard_bits", range(9))
def test_shape_and_accuracy(scale: tuple[int, int], guard_bits: int):
    m, k = scale
    x = -np.arange(15 * 2**k // m + 1)
    e, t = di_exp(x, m, k, guard_bits)
    assert e[0] == t
    assert (np.diff(e) <= 0).all()
    assert e.min() >= 0 and e.max() <= t
    assert np.abs(e / t - np.exp(x * m / 2**k)).max() <= 0.0445 + 1 / t


def test_relative_error_is_the_chord_and_the_constant():
    x = -np.arange(15 * 2**12 // 241 + 1)
    e, t = di_exp(x, 241, 12, 40)
    relative = e / t / np.exp(x * 241 / 2**12) - 1
    drift = 241 * math.log2(math.e) / (241 + 120 - 15) - 1  # per nat, by which 1.4375 and its floors fall short
    assert relative.max() <= 1.0615 * math.exp(15 * drift) - 1
    assert relative.max() > 0.1
    assert relative.min() > -1e-9


def test_scales_may_differ_by_row():
    x = np.array([[0, -17], [0, -17]])
    e, t = di_exp(x, np.array([[241], [129]]), 12)
    assert e.tolist() == [[12, 4], [22, 13]]
    assert t.tolist() == [[12], [22]]


@given(st.integers(1, 2**20), st.integers(-8, 200))
def test_recommended_guard_bits_bring_t_into_its_range(m: int, k: int):
    guard_bits = exp_guard_bits(m, k)
    _, t = di_exp(0, m, k, guard_bits)
    assert 2**12 <= t <= 2**31
    if guard_bits > 0:
        assert t <= 2**13
    if guard_bits < 0:
        assert t >= 2**30


def test_a_negative_guard_keeps_the_value():
    x, m, k = -(2**50), 3, 52
    e, t = di_exp(x, m, k, exp_guard_bits(m, k))
    assert abs(e / t - math.exp(x * m / 2**k)) < 0.045


def test_far_below_zero_is_zero():
    assert di_exp(-(2**50), 255, 8) == (0, 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((3, 1, 4), "x: holds 3"),
        ((-1, 0, 4), "m, k: m is 0, so the scale is not positive"),
        ((-1, 255, 7), "m, k: a step of the scale is above 1.39, so t is 0"),
        ((-1, 1, -2), "m, k: a step of the scale is above 1.39, so t is 0"),
        ((-1, [1, 2], 4), "m: has shape [2]"),
        (([-1, -2], 1, [4, 4, 4]), "k: has shape [3]"),
        ((-1, 1, 60, 2), "k: k + guard_bits reaches 62 but 61 fit int64; pass guard_bits=exp_guard_bits(m, k)"),
        (
            (-(2**60), 1, 4, 3),
            "x with its guard bits: needs 61 bits, but int64 has 59 left",
        ),
        ((-1.5, 1, 4), "x: holds float64 values"),
    ],
)
def test_refuses(arguments: tuple[Any, ...], message: str):
    with pytest.raises(InputError) as caught:
        di_exp(*arguments)
    assert str(caught.value).startswith(message)


def test_step_limit_is_where_the_message_says():
    """t rounds to 0 where 2**k / (1.4375 m) < 1/2, that is for steps above 1 / 0.71875 = 1.391."""
    assert math.isclose(2 / 1.4375, 1.391, abs_tol=1e-3)
    assert di_exp(0, 177, 7)[1] == 1  # a step of 1.383
    with pytest.raises(InputError):
        di_exp(0, 179, 7)  # a step of 1.398
