import numpy as np
import pytest
from anda_codesign.formats import InputError
from anda_codesign.formats.integer_only import DyadicTensor, di_sigmoid, di_swiglu, requantize

X = [-160, -80, -20, 0, 20, 40, 80, 160]


def tensor(codes: object, m: object = 1, k: object = 0, zero_point: object = 0) -> DyadicTensor:
    return DyadicTensor(*(np.asarray(part, np.int64) for part in (codes, m, k, zero_point)))


@pytest.mark.parametrize(
    ("form", "guard_bits", "sigmoid"),
    [
        ("shared_max", 0, [0, 0, 0, 0, 0, 0, 0, 128]),
        ("shared_max", 8, [0, 0, 0, 64, 96, 115, 126, 128]),
        ("stable", 0, [0, 0, 34, 64, 94, 112, 128, 128]),
        ("stable", 8, [0, 2, 36, 64, 92, 112, 126, 128]),
    ],
)
def test_reference_vectors(form: str, guard_bits: int, sigmoid: list[int]):
    assert di_sigmoid(X, 205, 12, 8, guard_bits, form).tolist() == sigmoid  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("bits", [8, 12, 16])
def test_sigmoid_is_accurate_symmetric_and_monotone(bits: int):
    """The chord's 6.15 % of exp weighs at most sigmoid * (1 - sigmoid) = 1/4; rounding adds half a step."""
    x = np.arange(-2000, 2001)
    sigmoid = di_sigmoid(x, 129, 15, bits)
    assert np.abs(sigmoid / 2 ** (bits - 1) - 1 / (1 + np.exp(-x * 129 / 2**15))).max() < 0.0615 / 4 + 2.0**-bits
    assert np.abs(sigmoid + sigmoid[::-1] - 2 ** (bits - 1)).max() <= 1
    assert (np.diff(sigmoid) >= 0).all()


def test_stable_form_does_not_depend_on_the_row():
    x = np.arange(-255, 256)
    alone = [di_sigmoid(int(value), 205, 12) for value in x]
    assert di_sigmoid(x, 205, 12).tolist() == alone


def test_swiglu_with_smoothing_equals_its_meaning():
    rng = np.random.default_rng(7)
    m, k = rng.integers(128, 256, (5, 1)), np.full((5, 1), 13)
    gate = tensor(rng.integers(0, 256, (5, 24)), m, k - 1, 100)
    up = tensor(rng.integers(0, 256, (5, 24)), m, k, 140)
    s = rng.uniform(0.25, 4, 24)
    reciprocal = np.rint(2**12 / s).astype(np.int64)
    y = di_swiglu(gate, up, (reciprocal, 12), bits=16)
    x1, x2 = gate.dequantize(), up.dequantize()
    expected = x1 / (1 + np.exp(-x1 * reciprocal / 2**12)) * x2
    assert np.abs(y.dequantize() - expected).max() < 0.015 * np.abs(x1 * x2).max()
    eight = requantize(y, 8)
    assert np.abs(eight.dequantize() - y.dequantize()).max() < 0.01 * np.ptp(y.dequantize())


def test_no_smoothing_is_a_smoothing_of_one():
    gate, up = tensor([[-9, 4, 200]], 150, 12), tensor([[3, 5, -8]], 130, 11)
    plain, unit = di_swiglu(gate, up), di_swiglu(gate, up, ([1, 1, 1], 0))
    assert np.array_equal(plain.codes, unit.codes)
    assert plain.k == 12 + 11 + 7


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: di_swiglu(tensor([[1, 2]]), tensor([[1, 2, 3]])),
            "gate: has shape [1, 2], up has [1, 3]",
        ),
        (
            lambda: di_swiglu(tensor([[1, 2]]), tensor([[1, 2]]), ([1, -1], 4)),
            "smooth: holds -1",
        ),
        (lambda: di_sigmoid([1], 1, 4, form="fast"), "form: 'fast' "),  # pyright: ignore[reportArgumentType]
        (lambda: di_sigmoid([1], 0, 4), "m, k: m is 0, so the scale is not positive"),
        (lambda: di_sigmoid([1], 1, 4, bits=20), "bits: 20 "),
    ],
)
def test_refuses(call: object, message: str):
    with pytest.raises(InputError) as caught:
        call()  # pyright: ignore[reportCallIssue]
    assert str(caught.value).startswith(message)
