"""Weighted one-dimensional k-means of many rows: the look-up tables of SqueezeLLM (arXiv 2306.07629).

For each row, it minimises ``sum_i f_i (w_i - c(w_i))^2`` over ``clusters`` centroids. In one dimension, clusters are runs
of the sorted values, so dynamic programming finds the optimum: the best split of the first j values into c runs follows
from the best splits into c - 1 runs. The start of the last run never falls as j grows (Wu, "Optimal quantization by
matrix searching", J. Algorithms 1991), so bisection over j finds all splits in ``O(clusters * n log n)``. The method
``"lloyd"`` is that of SqueezeLLM's released code, scikit-learn's k-means: Lloyd's iteration from greedy k-means++ seeds.
"""

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from ..checks import check_choice, check_finite, check_integer
from ..errors import InputError

Solver = Literal["optimal", "lloyd"]

LLOYD_ITERATIONS = 50
"""Largest number of Lloyd iterations, as in the released code."""


def weighted_kmeans(
    values: NDArray[np.float64], weights: NDArray[np.float64], clusters: int, solver: Solver = "optimal", seed: int = 0
) -> NDArray[np.float64]:
    """Cluster each row; returns centroids float64 ``[rows, clusters]``, in increasing order.

    Parameters
    ----------
    values
        ``[rows, n]``, finite.
    weights
        ``[rows, n]``, finite, at least 0. A value of weight 0 moves no centroid. A row of only zeros counts as ones.
    clusters
        Number of centroids, at least 1. Unneeded centroids repeat another one.
    solver
        ``"optimal"``: dynamic programming. ``"lloyd"``: at most 50 iterations from greedy k-means++ seeds, as in the released
        code; all rows use the same random numbers, so the order of the rows does not matter.
    seed
        Seed of the random numbers of k-means++.

    Raises
    ------
    InputError
        Shapes do not match, a number is not finite, or a weight is negative.
    """
    check_integer("clusters", clusters, 1)
    check_choice("solver", solver, get_args(Solver))
    if values.ndim != 2 or values.size == 0 or weights.shape != values.shape:
        raise InputError(f"weights: have shape {list(weights.shape)}, values {list(values.shape)}; give two [rows, n]")
    check_finite("values", values)
    if (check_finite("weights", weights) < 0).any():
        raise InputError(f"weights: reach {weights.min()}; give weights of at least 0")
    weights = np.where(weights.any(axis=1, keepdims=True), weights, 1.0)
    order = np.argsort(values, axis=1, kind="stable")
    values, weights = np.take_along_axis(values, order, 1), np.take_along_axis(weights, order, 1)
    centroids = _few_values(values, clusters)
    many = np.isnan(centroids[:, 0])
    if many.any():
        centroids[many] = _cluster(values[many], weights[many], clusters, solver, seed)
    return centroids


def nearest(values: NDArray[np.floating], centroids: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Index of the centroid nearest to each value ``[rows, n]``; ties go down. Centroids ``[rows, k]`` increase."""
    wide = centroids.astype(np.float64)
    middles = (wide[:, :-1] + wide[:, 1:]) / 2
    codes = np.zeros(values.shape, np.uint8)
    for column in range(middles.shape[1]):
        codes += values > middles[:, column, None]
    return codes


def _few_values(values: NDArray[np.float64], clusters: int) -> NDArray[np.float64]:
    """Centroids of rows with at most ``clusters`` distinct values, which are these values; other rows are NaN."""
    new = np.diff(values, axis=1, prepend=np.nan) != 0
    rank = np.cumsum(new, axis=1) - 1
    few = rank[:, -1] < clusters
    centroids = np.full((len(values), clusters), np.nan)
    centroids[few] = values[few, -1:]
    rows, columns = np.nonzero(new & few[:, None])
    centroids[rows, rank[rows, columns]] = values[rows, columns]
    return centroids


def _cluster(
    values: NDArray[np.float64], weights: NDArray[np.float64], clusters: int, solver: Solver, seed: int
) -> NDArray[np.float64]:
    """Centroids of rows of sorted values with a positive weight sum and more values than clusters."""
    from . import kmeans_kernels

    # Scaling by powers of two avoids overflow without rounding; the mean as origin keeps differences exact enough.
    weights = np.ldexp(weights, -np.frexp(weights.max(axis=1, keepdims=True))[1])
    origin = (weights * values).sum(axis=1, keepdims=True) / weights.sum(axis=1, keepdims=True)
    prefixes = prefix_sums(values - origin, weights)
    if solver == "optimal":
        bounds = kmeans_kernels.optimal_bounds(prefixes, clusters)
    else:
        trials = 2 + int(np.log(clusters))  # as scikit-learn
        draws = np.random.default_rng(seed).random((clusters, trials))
        bounds = kmeans_kernels.lloyd_bounds(values - origin, weights, prefixes, draws, LLOYD_ITERATIONS)
    return _means(values, weights, bounds)


def prefix_sums(values: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sums of ``f``, ``f w`` and ``f w^2`` over the first j values, j = 0..n: ``[rows, 3, n + 1]``."""
    moments = np.stack([weights, weights * values, weights * values * values], axis=1)
    return np.concatenate([np.zeros((*moments.shape[:2], 1)), np.cumsum(moments, axis=2)], axis=2)


def _means(values: NDArray[np.float64], weights: NDArray[np.float64], bounds: NDArray[np.int32]) -> NDArray[np.float64]:
    """Weighted mean of each cluster; a cluster without weight repeats the one below, or above if there is none."""
    rows, points = values.shape
    clusters = bounds.shape[1] - 1
    labels = (np.arange(points) >= bounds[:, 1:-1, None]).sum(axis=1) + clusters * np.arange(rows)[:, None]
    sums = np.bincount(labels.ravel(), weights.ravel(), rows * clusters).reshape(rows, clusters)
    firsts = np.bincount(labels.ravel(), (weights * values).ravel(), rows * clusters).reshape(rows, clusters)
    means = np.divide(firsts, sums, out=np.full_like(sums, np.nan), where=sums > 0)
    filled = np.maximum.accumulate(np.where(sums > 0, np.arange(clusters), -1), axis=1)
    filled = np.where(filled < 0, (sums > 0).argmax(axis=1)[:, None], filled)
    return np.take_along_axis(means, filled, axis=1)
