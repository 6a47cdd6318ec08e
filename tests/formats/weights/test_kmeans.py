"""Weighted k-means in one dimension: optimal clusters, Lloyd's iteration, and their plain twins."""

from itertools import combinations

import numpy as np
import pytest
from anda_codesign.formats import InputError
from anda_codesign.formats.weights import kmeans_kernels
from anda_codesign.formats.weights.kmeans import Solver, nearest, prefix_sums, weighted_kmeans
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from . import kmeans_plain

Array = NDArray[np.float64]
SOLVERS: tuple[Solver, ...] = ("optimal", "lloyd")


def sample(rows: int, points: int, seed: int) -> tuple[Array, Array]:
    """Values with repetitions, and weights over many magnitudes, some zero."""
    rng = np.random.default_rng(seed)
    values = np.round(rng.standard_normal((rows, points)), rng.integers(1, 6))
    weights = rng.gamma(0.2, size=(rows, points)) * (rng.random((rows, points)) > 0.1)
    return values, weights


def error(values: Array, weights: Array, centroids: Array) -> Array:
    """The objective, of each row."""
    decoded = np.take_along_axis(centroids, nearest(values, centroids).astype(np.intp), axis=1)
    return (weights * (values - decoded) ** 2).sum(axis=1)


def least_error(values: Array, weights: Array, clusters: int) -> float:
    """The optimum over all splits of the sorted values into runs."""
    order = np.argsort(values)
    values, weights = values[order], weights[order]

    def run_error(start: int, stop: int) -> float:
        v, f = values[start:stop], weights[start:stop]
        return float((f * (v - (f @ v) / f.sum()) ** 2).sum()) if f.sum() > 0 else 0.0

    splits = combinations(range(1, len(values)), clusters - 1)
    return min(sum(run_error(a, b) for a, b in zip((0, *s), (*s, len(values)), strict=True)) for s in splits)


def dynamic_program(values: Array, weights: Array, clusters: int) -> float:
    """The same optimum by the recurrence as it stands."""
    order = np.argsort(values)
    values, weights = values[order], weights[order]
    points = len(values)
    run = np.zeros((points + 1, points + 1))
    for start in range(points):
        for stop in range(start + 1, points + 1):
            run[start, stop] = least_error(values[start:stop], weights[start:stop], 1)
    best = run[0]
    for _ in range(clusters - 1):
        best = np.array(
            [min(best[split] + run[split, stop] for split in range(stop + 1)) for stop in range(points + 1)]
        )
    return float(best[-1])


@given(st.integers(2, 8), st.integers(1, 4), st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_optimal_equals_the_best_of_all_splits(points: int, clusters: int, seed: int) -> None:
    values, weights = sample(1, points, seed)
    expected = least_error(values[0], weights[0], min(clusters, points))
    found = error(values, weights, weighted_kmeans(values, weights, clusters))[0]
    assert found <= expected * (1 + 1e-9) + 1e-12


@given(st.integers(20, 32), st.integers(2, 4), st.integers(0, 2**32 - 1))
@settings(max_examples=20, deadline=None)
def test_dynamic_programming_is_the_oracle(points: int, clusters: int, seed: int) -> None:
    values, weights = sample(3, points, seed)
    expected = np.array([dynamic_program(v, f, clusters) for v, f in zip(values, weights, strict=True)])
    optimal = error(values, weights, weighted_kmeans(values, weights, clusters))
    lloyd = error(values, weights, weighted_kmeans(values, weights, clusters, "lloyd"))
    np.testing.assert_allclose(optimal, expected, rtol=1e-9, atol=1e-12)
    assert (lloyd >= expected * (1 - 1e-9) - 1e-12).all()


@given(st.integers(2, 60), st.integers(2, 16), st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_kernels_equal_their_plain_twins(points: int, clusters: int, seed: int) -> None:
    values, weights = sample(3, max(points, clusters + 1), seed)
    weights[~weights.any(axis=1)] = 1
    order = np.argsort(values, axis=1)
    values, weights = np.take_along_axis(values, order, 1), np.take_along_axis(weights, order, 1)
    prefixes = prefix_sums(values, weights)
    np.testing.assert_array_equal(
        kmeans_kernels.optimal_bounds(prefixes, clusters), kmeans_plain.optimal_bounds(prefixes, clusters)
    )
    draws = np.random.default_rng(seed).random((clusters, 3))
    np.testing.assert_array_equal(
        kmeans_kernels.lloyd_bounds(values, weights, prefixes, draws, 50),
        kmeans_plain.lloyd_bounds(values, weights, prefixes, draws, 50),
    )


@pytest.mark.parametrize("solver", SOLVERS)
def test_centroids_are_weighted_means_of_their_members(solver: Solver) -> None:
    values, weights = sample(20, 400, 1)
    centroids = weighted_kmeans(values, weights, 8, solver)
    codes = nearest(values, centroids)
    assert (np.diff(centroids, axis=1) >= 0).all()
    for row in range(20):
        for cluster in range(8):
            v, f = values[row, codes[row] == cluster], weights[row, codes[row] == cluster]
            if f.sum() > 0:
                np.testing.assert_allclose(centroids[row, cluster], f @ v / f.sum(), rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("solver", SOLVERS)
def test_invariances(solver: Solver) -> None:
    values, weights = sample(12, 100, 2)
    centroids = weighted_kmeans(values, weights, 8, solver)
    scaled = weighted_kmeans(values, weights * np.exp2(np.arange(-6, 6))[:, None], 8, solver)
    np.testing.assert_array_equal(scaled, centroids)
    order = np.random.default_rng(0).permutation(12)
    np.testing.assert_array_equal(weighted_kmeans(values[order], weights[order], 8, solver), centroids[order])


def test_scale_of_the_weights_is_irrelevant() -> None:
    values, weights = sample(12, 100, 2)
    centroids = weighted_kmeans(values, weights, 8)
    for constant in (3, 1e-30, 1e30):
        np.testing.assert_allclose(weighted_kmeans(values, weights * constant, 8), centroids, rtol=1e-9)


def test_a_value_of_weight_zero_moves_no_centroid() -> None:
    values = np.concatenate([np.arange(20.0), [7.3, -50, 90]])[None]
    weights = np.concatenate([np.ones(20), np.zeros(3)])[None]
    np.testing.assert_allclose(
        weighted_kmeans(values, weights, 4), weighted_kmeans(values[:, :20], weights[:, :20], 4), rtol=1e-12
    )


@pytest.mark.parametrize("solver", SOLVERS)
def test_few_distinct_values_are_exact(solver: Solver) -> None:
    rng = np.random.default_rng(3)
    distinct = np.sort(rng.standard_normal((5, 8)), axis=1)
    values = np.take_along_axis(distinct, rng.integers(0, 8, (5, 200)), axis=1)
    weights = rng.gamma(0.1, size=values.shape)
    weights[0] = 0
    centroids = weighted_kmeans(values, weights, 8, solver)
    np.testing.assert_array_equal(centroids, distinct)
    np.testing.assert_array_equal(weighted_kmeans(values[:, :1], weights[:, :1], 3, solver), values[:, :1].repeat(3, 1))


def test_optimal_is_below_lloyd() -> None:
    values, weights = sample(50, 500, 4)
    optimal = error(values, weights, weighted_kmeans(values, weights, 16))
    lloyd = error(values, weights, weighted_kmeans(values, weights, 16, "lloyd"))
    assert (optimal <= lloyd * (1 + 1e-9)).all()
    assert optimal.sum() < lloyd.sum()


def test_seed_of_lloyd() -> None:
    values, weights = sample(3, 100, 5)
    first = weighted_kmeans(values, weights, 8, "lloyd", seed=1)
    np.testing.assert_array_equal(first, weighted_kmeans(values, weights, 8, "lloyd", seed=1))
    assert (first != weighted_kmeans(values, weights, 8, "lloyd", seed=2)).any()


def test_nearest_sends_ties_down() -> None:
    assert nearest(np.array([[-9.0, 0.5, 0.51, 1.5, 9]]), np.array([[0.0, 1, 2]])).tolist() == [[0, 0, 1, 1, 2]]


@pytest.mark.parametrize(
    ("values", "weights", "message"),
    [
        (np.ones(3), np.ones(3), "weights: have shape [3], values [3]"),
        (np.ones((2, 3)), np.ones((2, 2)), "weights: have shape [2, 2], values [2, 3]"),
        (np.ones((1, 2)), -np.ones((1, 2)), "weights: reach -1.0"),
        (np.full((1, 2), np.nan), np.ones((1, 2)), "values: element (0, 0) is nan"),
    ],
)
def test_bad_points(values: Array, weights: Array, message: str) -> None:
    with pytest.raises(InputError) as caught:
        weighted_kmeans(values, weights, 2)
    assert str(caught.value).startswith(message)


def test_bad_options() -> None:
    with pytest.raises(InputError, match=r"^clusters: 0"):
        weighted_kmeans(np.ones((1, 2)), np.ones((1, 2)), 0)
    with pytest.raises(InputError, match=r"^solver: 'best'"):
        weighted_kmeans(np.ones((1, 2)), np.ones((1, 2)), 2, "best")  # type: ignore[arg-type]
