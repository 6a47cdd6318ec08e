"""The k-means solvers of `anda_codesign.formats.weights.kmeans` in plain NumPy, one row at a time.

The twins of `anda_codesign.formats.weights.kmeans_kernels`, which tests hold equal to them.
"""

import numpy as np
from numpy.typing import NDArray


def costs(prefix: NDArray[np.float64], starts: NDArray[np.intp], stops: NDArray[np.intp]) -> NDArray[np.float64]:
    """Weighted squared error of clusters ``start..stop - 1`` around their means, from prefix sums ``[3, n + 1]``."""
    weight, first, second = prefix[:, stops] - prefix[:, starts]
    mean_square = np.divide(first * first, weight, out=np.zeros_like(weight), where=weight > 0)
    return np.where(weight > 0, np.maximum(second - mean_square, 0), 0)


def optimal_bounds(prefixes: NDArray[np.float64], clusters: int) -> NDArray[np.int32]:
    """Bounds ``[rows, clusters + 1]`` of the optimal clusters, from prefix sums ``[rows, 3, n + 1]``."""
    return np.stack([_optimal_row(prefix, clusters) for prefix in prefixes])


def _optimal_row(prefix: NDArray[np.float64], clusters: int) -> NDArray[np.int32]:
    points = prefix.shape[1]
    last = points - 1
    splits = np.zeros((clusters + 1, points), np.int32)
    previous = costs(prefix, np.array([0]), np.arange(points))
    for cluster in range(2, clusters + 1):
        current = np.zeros(points)
        pending = [(cluster if cluster < clusters else last, last, cluster - 1, last - 1)]
        while pending:
            first, final, low, high = pending.pop()
            if first > final:
                continue
            stop = (first + final) // 2
            candidates = np.arange(low, min(high, stop - 1) + 1)
            totals = previous[candidates] + costs(prefix, candidates, np.array([stop]))
            best = int(totals.argmin())
            current[stop], splits[cluster, stop] = totals[best], low + best
            pending += [(first, stop - 1, low, low + best), (stop + 1, final, low + best, high)]
        previous = current
    bounds = np.zeros(clusters + 1, np.int32)
    bounds[clusters] = last
    for cluster in range(clusters, 1, -1):
        bounds[cluster - 1] = splits[cluster, bounds[cluster]]
    return bounds


def lloyd_bounds(
    values: NDArray[np.float64],
    weights: NDArray[np.float64],
    prefixes: NDArray[np.float64],
    draws: NDArray[np.float64],
    iterations: int,
) -> NDArray[np.int32]:
    """Bounds ``[rows, clusters + 1]`` that Lloyd's iteration reaches from k-means++ seeds; values are sorted."""
    rows = zip(values, weights, prefixes, strict=True)
    return np.stack([_lloyd_row(v, w, prefix, draws, iterations) for v, w, prefix in rows])


def _lloyd_row(
    values: NDArray[np.float64],
    weights: NDArray[np.float64],
    prefix: NDArray[np.float64],
    draws: NDArray[np.float64],
    iterations: int,
) -> NDArray[np.int32]:
    centres = _seed(values, weights, draws)
    bounds = np.zeros(len(draws) + 1, np.int32)
    bounds[-1] = len(values)
    for _ in range(iterations):
        inner = np.searchsorted(values, 0.5 * (centres[:-1] + centres[1:]), side="right")
        if (inner == bounds[1:-1]).all():
            break
        bounds[1:-1] = inner
        weight, first, _ = prefix[:, bounds[1:]] - prefix[:, bounds[:-1]]
        np.divide(first, weight, out=centres, where=weight > 0)
    return bounds


def _seed(values: NDArray[np.float64], weights: NDArray[np.float64], draws: NDArray[np.float64]) -> NDArray[np.float64]:
    """Greedy k-means++: of some points, drawn in proportion to weight times squared distance, the one with the least error."""
    centres = np.empty(len(draws))
    distances = np.ones_like(values)
    for cluster, row in enumerate(draws):
        cumulative = np.cumsum(weights * distances)
        trials = row[:1] if cluster == 0 else row
        chosen = np.minimum(np.searchsorted(cumulative, trials * cumulative[-1], side="right"), len(values) - 1)
        squares = (values - values[chosen][:, None]) ** 2
        left = squares if cluster == 0 else np.minimum(distances, squares)
        best = int(np.cumsum(weights * left, axis=1)[:, -1].argmin())
        centres[cluster] = values[chosen[best]]
        distances = left[best]
    return np.sort(centres)
