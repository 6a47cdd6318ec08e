import numpy as np
import pytest
from anda_codesign.formats import InputError
from anda_codesign.formats.integer_only import di_norm, di_norm_channelwise
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst


@pytest.mark.parametrize("channels", [1, 64, 576, 1024, 4096, 16384])
@pytest.mark.parametrize("magnitude", [2**3, 2**15, 2**40])
def test_rms_norm(channels: int, magnitude: int):
    x = np.random.default_rng(channels).integers(-magnitude, magnitude + 1, (3, channels))
    x[:, 0] = magnitude
    expected = x / np.sqrt(np.mean(x.astype(float) ** 2, axis=1, keepdims=True))
    y = di_norm(x)
    assert np.abs(y / 2**20 - expected).max() < 1e-5
    assert np.abs(y).max() <= np.sqrt(channels) * 2**20 * 1.0001


@pytest.mark.parametrize("offset", [0, 1000, -(2**30)])
def test_layer_norm(offset: int):
    x = np.random.default_rng(8).integers(-5000, 5000, (4, 200)) + offset
    centered = x - x.mean(axis=1, keepdims=True)
    expected = centered / np.sqrt(np.mean(centered**2, axis=1, keepdims=True))
    assert np.abs(di_norm(x, center=True) / 2**20 - expected).max() < 1e-4


@given(npst.arrays(np.int64, (1, 5), elements=st.integers(-(2**20), 2**20)), st.integers(0, 20))
def test_the_scale_cancels(x: np.ndarray, left: int):
    assert np.array_equal(di_norm(x << left), di_norm(x))


def test_zero_and_constant_rows():
    assert di_norm(np.zeros((2, 8), int)).tolist() == [[0] * 8] * 2
    assert di_norm(np.full((1, 8), 77)).tolist() == [[2**20] * 8]
    assert di_norm(np.full((1, 8), 77), center=True).tolist() == [[0] * 8]


@pytest.mark.parametrize("k", [0, 10, 20, 30])
def test_epsilon_matters_near_zero_alone(k: int):
    x = np.random.default_rng(9).integers(-100, 100, (2, 64))
    value = x / 2**k
    expected = value / np.sqrt(np.mean(value**2, axis=1, keepdims=True) + 10 / 2**20)
    assert np.abs(di_norm(x, epsilon=(10, 20), k=k) / 2**20 - expected).max() < 1e-4
    assert np.array_equal(di_norm(x, epsilon=(0, 20), k=k), di_norm(x))


def test_epsilon_swallows_a_vanishing_row():
    assert np.abs(di_norm([1, -1, 1, 1], epsilon=(1, 10), k=60)).max() < 2**16


def test_channelwise_figure_form():
    m, k = np.array([128, 255, 200, 131]), np.array([8, 8, 7, 9])
    x = np.array([[4000, -700, 300, 55]])
    value = x * m / 2.0**k
    exact = value / np.sqrt(np.mean(value**2))
    aligned = m >> (k - 7)
    ratio = np.rint(aligned / aligned.min())
    literal = x * ratio / np.sqrt(np.mean((x * ratio) ** 2.0))
    y = di_norm_channelwise(x, m, k) / 2**20
    assert np.abs(y - literal).max() < 1e-5
    assert 0.001 < np.abs(y - exact).max() < 0.3  # rounded ratios: why rows with one scale are preferred


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: di_norm(3), "x: is a single number"),
        (lambda: di_norm([1.0]), "x: holds float64 values"),
        (
            lambda: di_norm(np.ones((1, 16385), int)),
            "x: has 16385 channels",
        ),
        (lambda: di_norm([1], fraction_bits=0), "fraction_bits: 0 "),
        (lambda: di_norm([1], epsilon=(-1, 3)), "epsilon: is -1 / 2**3"),
        (
            lambda: di_norm_channelwise([1, 2], [1, 255], [9, 0]),
            "m, k: the smallest scale becomes 0",
        ),
        (lambda: di_norm_channelwise([1], [0], [1]), "m, k: m is 0, so the scale is not positive"),
    ],
)
def test_refuses(call: object, message: str):
    with pytest.raises(InputError) as caught:
        call()  # pyright: ignore[reportCallIssue]
    assert str(caught.value).startswith(message)
