"""GPTQ, its Hessian and its column loop."""

import numpy as np
import pytest
from anda_codesign.formats import InputError
from anda_codesign.formats.weights.column_loop import HessianAccumulator, inverse_factor, prepare
from anda_codesign.formats.weights.gptq import Gptq
from anda_codesign.formats.weights.grouped_int import RoundToNearest, fit_grid, round_to_grid
from anda_codesign.formats.weights.spqr.quantizer import SpQR
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

Matrix = NDArray[np.float64]


def problem(channels: int = 96, out: int = 24, tokens: int = 400, seed: int = 0) -> tuple[Matrix, Matrix, Matrix]:
    """Weights, correlated inputs ``[tokens, in]``, and their Hessian."""
    rng = np.random.default_rng(seed)
    mixing = np.eye(channels) + rng.standard_normal((channels, channels)) / np.sqrt(channels)
    x = rng.standard_normal((tokens, channels)) @ mixing * np.exp(rng.standard_normal(channels))
    return rng.standard_normal((channels, out)), x, hessian_of(x)


def hessian_of(x: Matrix) -> Matrix:
    accumulator = HessianAccumulator(x.shape[1])
    accumulator.add(x)
    return accumulator.hessian


def plain_gptq(w: Matrix, hessian: Matrix, bits: int, group_size: int, damping: float) -> NDArray[np.uint8]:
    """Algorithm 1, natural order, one channel at a time.

    As in the released code, a group is fitted to the weights at the start of its 128 channels if it divides them.
    """
    h = hessian + damping * np.diag(hessian).mean() * np.eye(len(w))
    upper = np.linalg.cholesky(np.linalg.inv(h)).T
    w, codes = w.copy(), np.empty(w.shape, np.uint8)
    for j in range(len(w)):
        if j % 128 == 0 or 128 % group_size:
            start = w.copy()
        if j % group_size == 0:
            grid = fit_grid(start[j : j + group_size], bits, symmetric=False)
        codes[j] = round_to_grid(w[j], grid, bits)
        decoded = grid.scales * (codes[j].astype(float) - grid.zero_points)
        w[j + 1 :] -= np.outer(upper[j, j + 1 :], (w[j] - decoded) / upper[j, j])
    return codes


@pytest.mark.parametrize(("bits", "group_size"), [(4, 32), (2, 64), (3, 48), (3, 128), (4, 192), (2, 7)])
def test_equals_the_algorithm_without_blocks(bits: int, group_size: int) -> None:
    w, _, hessian = problem(channels=200, out=5)
    q = Gptq(bits, group_size, act_order=False, static_groups=False).quantize(w, hessian)
    np.testing.assert_array_equal(q.codes, plain_gptq(w, hessian, bits, group_size, 0.01))


@given(st.integers(2, 8), st.booleans(), st.booleans(), st.sampled_from([32, 96, 128]))
@settings(max_examples=25, deadline=None)
def test_identity_hessian_gives_round_to_nearest(bits: int, symmetric: bool, act_order: bool, group_size: int) -> None:
    w = np.random.default_rng(bits).standard_normal((150, 6))
    q = Gptq(bits, group_size, symmetric, act_order).quantize(w, np.eye(150))
    expected = RoundToNearest(bits, group_size, symmetric).quantize(w)
    np.testing.assert_array_equal(q.codes, expected.codes)
    np.testing.assert_array_equal(q.decode(), expected.decode())


@pytest.mark.parametrize("bits", [3, 4])
@pytest.mark.parametrize(("act_order", "static"), [(False, False), (False, True), (True, True)])
def test_layer_error_is_below_round_to_nearest(bits: int, act_order: bool, static: bool) -> None:
    ratios: list[float] = []
    for seed in range(4):
        w, x, hessian = problem(seed=seed)
        q = Gptq(bits, 32, act_order=act_order, static_groups=static).quantize(w, hessian)
        nearest = RoundToNearest(bits, 32).quantize(w)
        errors = [float(np.square(x @ (p.decode() - w)).sum()) for p in (q, nearest)]
        ratios.append(errors[0] / errors[1])
    assert max(ratios) < 1
    assert np.mean(ratios) < 0.8


def test_act_order_stores_groups_of_neighbours() -> None:
    w, _, hessian = problem()
    q = Gptq(4, 32).quantize(w, hessian)
    alive = [fit_grid(w[start : start + 32], 4, symmetric=False).scales for start in range(0, 96, 32)]
    np.testing.assert_array_equal(q.scales, np.stack(alive))


def test_dead_channels_lose_their_weights() -> None:
    w, x, _ = problem()
    x[:, [3, 50]] = 0
    decoded = Gptq(4, 32).quantize(w, hessian_of(x)).decode()
    assert (decoded[[3, 50]] == 0).all()
    assert (np.delete(decoded, [3, 50], axis=0) != 0).any(axis=1).all()


@pytest.mark.parametrize("quantizer", [Gptq(3, 32), SpQR(bits=3, group_size=16, statistics_group=8)])
@pytest.mark.parametrize("scale", [2.0**-40, 2.0**-20, 2.0**20])
def test_dead_channels_do_not_depend_on_the_unit(quantizer: Gptq | SpQR, scale: float) -> None:
    """The Hessian in other units gives the same weights, though some of its channels were never active."""
    w, x, _ = problem()
    x[:, ::9] = 0
    expected = quantizer.quantize(w, hessian_of(x)).decode()
    np.testing.assert_array_equal(quantizer.quantize(w, hessian_of(x) * scale).decode(), expected)
    no_tokens = quantizer.quantize(w, np.zeros((96, 96)))
    assert (no_tokens.decode() == 0).all()


def test_output_channels_of_zeros_stay_zero() -> None:
    w, _, hessian = problem()
    w[:, 5] = 0
    assert (Gptq(3, 32).quantize(w, hessian).decode()[:, 5] == 0).all()


def test_accumulator_sums_batches_and_weights_tokens() -> None:
    _, x, expected = problem()
    accumulator = HessianAccumulator(96)
    accumulator.add(x[:100].astype(np.float32))
    accumulator.add(x[100:].astype(np.float32))
    np.testing.assert_allclose(accumulator.hessian, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())
    np.testing.assert_allclose(expected, 2 / len(x) * x.T @ x)
    repeated = np.concatenate([np.repeat(x[:1], 5, axis=0), x[1:]])
    weighted = HessianAccumulator(96)
    weighted.add(x, np.array([5.0] + [1.0] * (len(x) - 1)))
    np.testing.assert_allclose(weighted.hessian, hessian_of(repeated))


def test_inverse_factor() -> None:
    _, _, hessian = problem(30)
    upper = inverse_factor(hessian)
    np.testing.assert_allclose(upper.T @ upper @ hessian, np.eye(30), atol=1e-8)
    np.testing.assert_array_equal(upper, np.triu(upper))


def test_prepare_orders_and_restores() -> None:
    w, _, hessian = problem()
    ordered = prepare(w, hessian, 0.01, act_order=True)
    assert (np.diff(np.diag(hessian)[ordered.order]) <= 0).all()
    np.testing.assert_array_equal(ordered.restore(ordered.weights), w)


BAD = np.eye(4)


@pytest.mark.parametrize(
    ("hessian", "message"),
    [
        (None, "hessian: is missing"),
        (np.eye(3), "hessian: is float64 [3, 3]"),
        (np.eye(4, dtype=int), "hessian: is int64 [4, 4]"),
        (BAD * np.array([1, 1, np.nan, 1]), "hessian: element (0, 2) is nan"),
        (np.triu(np.ones((4, 4))), "hessian: is not symmetric"),
        (
            np.diag([1.0, -1, 1, 1]),
            "hessian: has negative diagonal elements",
        ),
        (
            np.ones((4, 4)) - 0.5 * np.eye(4),
            "hessian: is not positive definite after damping",
        ),
    ],
)
def test_bad_hessian(hessian: NDArray[np.float64] | None, message: str) -> None:
    with pytest.raises(InputError) as error:
        Gptq().quantize(np.ones((4, 2)), hessian)
    assert str(error.value).startswith(message)


def test_a_singular_hessian_needs_damping() -> None:
    singular = np.ones((4, 4))
    Gptq(damping=0.01).quantize(np.ones((4, 2)), singular)
    with pytest.raises(InputError, match=r"^hessian: is not positive definite after damping"):
        Gptq(damping=0).quantize(np.ones((4, 2)), singular - 1e-9 * np.eye(4))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"bits": 1}, "bits: 1"),
        ({"group_size": 0}, "group_size: 0"),
        ({"damping": -0.1}, "damping: -0.1"),
        (
            {"static_groups": False},
            "static_groups: is False with act_order=True",
        ),
    ],
)
def test_bad_parameters(fields: dict[str, object], message: str) -> None:
    with pytest.raises(InputError) as error:
        Gptq(**fields)  # type: ignore[arg-type]
    assert str(error.value).startswith(message)


def test_bad_calibration_tokens() -> None:
    with pytest.raises(InputError, match=r"^channels: 0"):
        HessianAccumulator(0)
    accumulator = HessianAccumulator(3)
    with pytest.raises(InputError, match=r"^x: no tokens were added"):
        _ = accumulator.hessian
    for x in (np.zeros((2, 4)), np.zeros(3), np.full((1, 3), np.inf)):
        with pytest.raises(InputError, match=r"^x: has shape .*"):
            accumulator.add(x)
    for weights in (np.ones(3), np.array([1, -1.0]), np.array([1, np.nan])):
        with pytest.raises(InputError, match=r"^token_weights: have shape"):
            accumulator.add(np.ones((2, 3)), weights)
