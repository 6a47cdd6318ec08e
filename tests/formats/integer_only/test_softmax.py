import numpy as np
import pytest
from anda_codesign.formats import InputError
from anda_codesign.formats.integer_only import di_clipped_softmax, di_sigmoid, integer_softmax
from hypothesis import given
from hypothesis import strategies as st

X = [0, -17, -34, -51, -68, -100, -255]


def softmax(values: np.ndarray) -> np.ndarray:
    e = np.exp(values - values.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


@pytest.mark.parametrize(
    ("guard_bits", "probabilities"),
    [(0, [90, 30, 8, 0, 0, 0, 0]), (4, [81, 31, 11, 4, 1, 0, 0]), (8, [80, 31, 11, 4, 2, 0, 0])],
)
def test_reference_vectors(guard_bits: int, probabilities: list[int]):
    assert integer_softmax(X, 241, 12, 8, guard_bits).tolist() == probabilities
    assert integer_softmax(np.array([X, X]), 241, 12, 8, guard_bits).tolist() == [probabilities] * 2


def test_reference_vectors_from_scores():
    """A row whose range is the clip comes through the requantisation with its codes unchanged."""
    scores = np.array(X) * 40 + 12345
    probabilities = di_clipped_softmax(scores, 241, 12 + 5, 8, guard_bits=8)
    assert np.abs(probabilities - 128 * softmax(scores * 241 / 2**17)).max() <= 4


rows = st.lists(st.integers(-(2**24), 2**24), min_size=1, max_size=40)


@given(rows, st.integers(128, 255), st.integers(12, 28), st.sampled_from([8, 16]))
def test_invariants(scores: list[int], m: int, k: int, bits: int):
    probabilities = di_clipped_softmax(scores, m, k, bits)
    assert probabilities.min() >= 0
    assert abs(probabilities.sum() - 2 ** (bits - 1)) <= len(scores) / 2
    shifted = di_clipped_softmax([score + 54321 for score in scores], m, k, bits)
    assert np.array_equal(shifted, probabilities)


@pytest.mark.parametrize(("bits", "tolerance"), [(8, 0.035), (16, 0.03)])
def test_accuracy_on_gaussian_scores(bits: int, tolerance: float):
    rng = np.random.default_rng(5)
    scores = rng.normal(0, 2**18, (64, 128)).astype(np.int64)
    probabilities = di_clipped_softmax(scores, 200, 25, bits) / 2 ** (bits - 1)
    assert np.abs(probabilities - softmax(scores * 200 / 2**25)).max() < tolerance


@pytest.mark.parametrize("m", [1, 2, 3, 5])
def test_small_multipliers_lose_nothing(m: int):
    """Probabilities of a scale do not depend on how it is written; m = 1 would lose the 0.4375 of 1.4375 m."""
    k = 4 + m.bit_length()
    x = -np.arange(0, 200, 7)
    probabilities = integer_softmax(x, m, k, 16)
    assert np.array_equal(probabilities, integer_softmax(x, m << 7, k + 7, 16))
    assert np.abs(probabilities / 2**15 - softmax(x * m / 2**k)).max() < 0.03
    sigmoid = di_sigmoid(x, m, k, 16) / 2**15
    assert np.abs(sigmoid - 1 / (1 + np.exp(-x * m / 2**k))).max() < 0.03


def test_clip_keeps_resolution_near_the_maximum():
    """One far outlier would otherwise take all 8 bits."""
    scores = [0, -1000, -2000, -4_000_000]
    clipped = di_clipped_softmax(scores, 1, 10, 16)
    wide = di_clipped_softmax(scores, 1, 10, 16, clip=(1 << 20, 0))
    true = softmax(np.array(scores) / 2**10) * 2**15
    assert np.abs(clipped - true).max() < 0.04 * 2**15
    assert np.abs(wide - true).max() > 0.1 * 2**15


def test_clip_is_dyadic():
    scores = [0, -1000, -2000, -40_000]
    assert np.array_equal(di_clipped_softmax(scores, 1, 10), di_clipped_softmax(scores, 1, 10, clip=(15 << 20, 20)))


def test_masked_positions_do_not_matter():
    rng = np.random.default_rng(6)
    scores = rng.integers(-(2**20), 2**20, (6, 6))
    mask = np.tri(6, dtype=bool)
    masked = di_clipped_softmax(scores, 200, 18, 16, mask=mask)
    for row in range(6):
        assert np.array_equal(masked[row, : row + 1], di_clipped_softmax(scores[row, : row + 1], 200, 18, 16))
        assert not masked[row, row + 1 :].any()
    assert masked[0, 0] == 2**15


def test_scale_per_row():
    scores = np.array([[0, -500, -900], [0, -500, -900]])
    together = di_clipped_softmax(scores, np.array([[200], [100]]), np.array([[15], [17]]))
    assert together[0].tolist() == di_clipped_softmax(scores[0], 200, 15).tolist()
    assert together[1].tolist() == di_clipped_softmax(scores[1], 100, 17).tolist()


def test_equal_scores_share_equally():
    assert di_clipped_softmax([7, 7, 7, 7], 200, 12).tolist() == [32] * 4


@pytest.mark.parametrize("guard_bits", [None, 0, 8])
def test_tiny_scale_does_not_overflow(guard_bits: int | None):
    """A row of one position, or of nearly equal ones, has a very fine scale."""
    assert di_clipped_softmax([0, -5], 128, 60, 16, guard_bits=guard_bits).tolist() == [2**14, 2**14]
    assert di_clipped_softmax([12345], 128, 60, 16, guard_bits=guard_bits).tolist() == [2**15]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: integer_softmax([0] * 2**17, 1, 60, 16),
            "the exponentials of a row: needs 31 bits, but int64 has 29 left",
        ),
        (lambda: integer_softmax(-1, 1, 4), "x: is a single number"),
        (
            lambda: integer_softmax([-900, -900], 255, 8),
            "x: a row has only zero exponentials",
        ),
        (
            lambda: di_clipped_softmax([[1, 2]], 1, 4, mask=np.zeros((1, 2), bool)),
            "mask: a row has no valid position",
        ),
        (
            lambda: di_clipped_softmax([1, 2], 1, 4, clip=(0, 0)),
            "clip: is 0 / 2**0",
        ),
        (lambda: di_clipped_softmax([1, 2], 0, 4), "m, k: m is 0, so the scale is not positive"),
        (lambda: di_clipped_softmax([0.5, 2], 1, 4), "scores: holds float64 values"),
    ],
)
def test_refuses(call: object, message: str):
    with pytest.raises(InputError) as caught:
        call()  # pyright: ignore[reportCallIssue]
    assert str(caught.value).startswith(message)
