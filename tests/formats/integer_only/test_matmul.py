import numpy as np
import pytest
from anda_codesign.formats import InputError
from anda_codesign.formats.integer_only import (
    DyadicTensor,
    add_residual,
    common_exponent,
    di_matmul,
    exact_matmul,
    integer_matmul,
    power_of_two_rows,
    requantize,
)
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst


def tensor(codes: object, m: object = 1, k: object = 0, zero_point: object = 0) -> DyadicTensor:
    return DyadicTensor(*(np.asarray(part, np.int64) for part in (codes, m, k, zero_point)))


@st.composite
def operands(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    rows, channels, columns = (draw(st.integers(1, 6)) for _ in range(3))
    bits = draw(st.integers(1, 58))
    bits = bits, draw(st.integers(1, 59 - bits))
    codes = [
        draw(npst.arrays(np.int64, shape, elements=st.integers(-(2**width), 2**width)))
        for shape, width in zip([(rows, channels), (channels, columns)], bits, strict=True)
    ]
    return codes[0], codes[1]


@given(operands())
def test_engines_are_equal_bit_for_bit(pair: tuple[np.ndarray, np.ndarray]):
    """Widths reach the float32 path, the float64 path and the split."""
    a, b = pair
    assert np.array_equal(integer_matmul(a, b, "blas"), integer_matmul(a, b, "integer"))


@pytest.mark.parametrize("bits", [(4, 4), (8, 8), (16, 27), (30, 20), (0, 50), (50, 0)])
def test_engines_are_equal_on_long_rows_of_extremes(bits: tuple[int, int]):
    rng = np.random.default_rng(1)
    a = rng.choice([-(2 ** bits[0]), 2 ** bits[0] - 1], (5, 1536))
    b = rng.choice([-(2 ** bits[1]), 2 ** bits[1] - 1], (1536, 7))
    a[0], b[:, 0] = 2 ** bits[0] - 1, 2 ** bits[1] - 1
    assert np.array_equal(integer_matmul(a, b, "blas"), a @ b)


def test_batches_of_matrices():
    rng = np.random.default_rng(2)
    a, b = rng.integers(-9, 9, (3, 1, 4, 5)), rng.integers(-9, 9, (2, 5, 6))
    assert np.array_equal(integer_matmul(a, b, "blas"), a @ b)


def test_zero_points_and_column_scales():
    rng = np.random.default_rng(3)
    x = tensor(rng.integers(0, 256, (4, 9)), rng.integers(128, 256, (4, 1)), 12, rng.integers(-40, 400, (4, 1)))
    w = tensor(rng.integers(0, 16, (9, 5)), rng.integers(1, 2**15, 5), 20, rng.integers(0, 16, 5))
    product = exact_matmul(x, w)
    assert np.allclose(product.dequantize(), x.dequantize() @ w.dequantize(), rtol=1e-12)
    assert product.zero_point.shape == (4, 1) and not product.zero_point.any()
    assert np.array_equal(di_matmul(x, w, 8).codes, requantize(product, 8).codes)


def test_matmul_error_is_below_one_output_step():
    rng = np.random.default_rng(4)
    x = tensor(rng.integers(0, 256, (16, 64)), rng.integers(128, 256, (16, 1)), 12, 128)
    w = tensor(rng.integers(-127, 128, (64, 32)), 150, 14)
    y = di_matmul(x, w, 8)
    exact = x.dequantize() @ w.dequantize()
    step = np.ptp(exact, axis=1, keepdims=True) / 255
    assert (np.abs(y.dequantize() - exact) <= step * (1 + np.abs(y.centered) / 256)).all()


@given(st.integers(1, 255), st.integers(0, 30))
def test_common_exponent(m: int, k: int):
    assert common_exponent(np.array([m]), np.array([k]), 20)[0] == int(m * 2.0 ** (20 - k) + 0.5)


@given(
    npst.arrays(np.int64, (3, 4), elements=st.integers(-(2**15) + 1, 2**15 - 1)),
    st.integers(0, 20),
    npst.arrays(np.int64, (3, 4), elements=st.integers(-(2**40), 2**40)),
    st.integers(1, 255),
    st.integers(0, 45),
)
def test_residual_addition_rounds_once(a: np.ndarray, k: int, p: np.ndarray, m: int, k_p: int):
    total = add_residual(tensor(a, 1, k), tensor(p, m, k_p), 16)
    exact = np.ldexp(a.astype(np.longdouble), -k) + np.ldexp((p * m).astype(np.longdouble), -k_p)
    assert np.abs(total.codes).max() < 2**15
    step = np.ldexp(1.0, -total.k)
    assert (np.abs(total.dequantize() - exact) <= step * 0.5001).all()
    used = np.abs(total.codes).max(axis=1) >= 2**14 - 1
    assert (used | ~total.codes.any(axis=1)).all()


def test_residual_takes_a_coarse_branch():
    total = add_residual(tensor([[3, -3]], 1, 40), tensor([[2**45, -(2**44)]], 200, 3), 16)
    assert total.dequantize() == pytest.approx(np.array([[2**45, -(2**44)]]) * 25.0, rel=2**-14)


def test_power_of_two_rows_does_not_carry_into_the_sign():
    rows = power_of_two_rows(np.array([[2**20 - 1, 5], [0, 0], [3, -1]]), np.array([[7], [7], [7]]), 16)
    assert rows.codes.tolist() == [[2**14, 0], [0, 0], [3 << 13, -1 << 13]]
    assert rows.k.ravel().tolist() == [1, 7, 20]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: integer_matmul(np.ones((2, 3), int), np.ones((2, 3), int)),
            "a: has shape [2, 3], b has [2, 3]",
        ),
        (
            lambda: integer_matmul(np.full((1, 2), 2**40), np.full((2, 1), 2**40)),
            "a: a @ b may need 82 bits",
        ),
        (
            lambda: integer_matmul(np.ones((1, 1), int), np.ones((1, 1), int), "gpu"),  # pyright: ignore[reportArgumentType]
            "engine: 'gpu' ",
        ),
        (
            lambda: exact_matmul(tensor([[1, 2]]), tensor([[1, 2], [3, 4]], 1, [3, 4])),
            "w: k differs between columns",
        ),
        (
            lambda: add_residual(tensor([[1]], 2), tensor([[1]]), 16),
            "residual: m is not 1",
        ),
        (lambda: add_residual(tensor([[1]]), tensor([[1]]), 4), "bits: 4 "),
    ],
)
def test_refuses(call: object, message: str):
    with pytest.raises(InputError) as caught:
        call()  # pyright: ignore[reportCallIssue]
    assert str(caught.value).startswith(message)
