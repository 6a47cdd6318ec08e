"""Compiled k-means solvers of `anda_codesign.formats.weights.kmeans`.

`tests/formats/weights/kmeans_plain.py` holds plain Python versions that give the same bounds, bit for bit.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray


@njit(cache=True)
def _cost(prefix: NDArray[np.float64], start: int, stop: int) -> float:
    weight = prefix[0, stop] - prefix[0, start]
    if weight <= 0.0:
        return 0.0
    first = prefix[1, stop] - prefix[1, start]
    return max(prefix[2, stop] - prefix[2, start] - first * first / weight, 0.0)


@njit(cache=True)
def _fill_layer(
    prefix: NDArray[np.float64],
    previous: NDArray[np.float64],
    current: NDArray[np.float64],
    splits: NDArray[np.int32],
    stops: tuple[int, int],
    range_: tuple[int, int],
) -> None:
    """Best split for each stop of an inclusive range; the best splits lie in ``range_`` and never fall."""
    if stops[0] > stops[1]:
        return
    stop = (stops[0] + stops[1]) // 2
    best, best_split = np.inf, range_[0]
    for split in range(range_[0], min(range_[1], stop - 1) + 1):
        cost = previous[split] + _cost(prefix, split, stop)
        if cost < best:
            best, best_split = cost, split
    current[stop], splits[stop] = best, best_split
    _fill_layer(prefix, previous, current, splits, (stops[0], stop - 1), (range_[0], best_split))
    _fill_layer(prefix, previous, current, splits, (stop + 1, stops[1]), (best_split, range_[1]))


@njit(cache=True, nogil=True)
def optimal_bounds(prefixes: NDArray[np.float64], clusters: int) -> NDArray[np.int32]:
    """Bounds ``[rows, clusters + 1]`` of the optimal clusters, from prefix sums ``[rows, 3, n + 1]``."""
    rows, _, points = prefixes.shape
    last = points - 1
    bounds = np.zeros((rows, clusters + 1), np.int32)
    splits = np.zeros((clusters + 1, points), np.int32)
    previous, current = np.zeros(points), np.zeros(points)
    for row in range(rows):
        prefix = prefixes[row]
        for stop in range(points):
            previous[stop] = _cost(prefix, 0, stop)
        for cluster in range(2, clusters + 1):
            first = cluster if cluster < clusters else last
            _fill_layer(prefix, previous, current, splits[cluster], (first, last), (cluster - 1, last - 1))
            previous, current = current, previous
        bounds[row, clusters] = last
        for cluster in range(clusters, 1, -1):
            bounds[row, cluster - 1] = splits[cluster, bounds[row, cluster]]
    return bounds


@njit(cache=True)
def _seed(values: NDArray[np.float64], weights: NDArray[np.float64], draws: NDArray[np.float64]) -> NDArray[np.float64]:
    """Greedy k-means++ seeds; ``draws`` is ``[clusters, trials]``.

    Points are drawn in proportion to weight times squared distance to the nearest seed. Of the trials, the one that leaves
    the smallest error becomes a seed; the first seed has one trial.
    """
    points, (clusters, trials) = len(values), draws.shape
    centres = np.empty(clusters)
    distances = np.ones(points)
    cumulative = np.empty(points)
    for cluster in range(clusters):
        total = 0.0
        for i in range(points):
            total += weights[i] * distances[i]
            cumulative[i] = total
        least, best = np.inf, 0
        for trial in range(1 if cluster == 0 else trials):
            chosen = min(np.searchsorted(cumulative, draws[cluster, trial] * total, side="right"), points - 1)
            error = 0.0
            for i in range(points):
                distance = (values[i] - values[chosen]) ** 2
                error += weights[i] * (distance if cluster == 0 else min(distances[i], distance))
            if error < least:
                least, best = error, chosen
        centres[cluster] = values[best]
        for i in range(points):
            distance = (values[i] - centres[cluster]) ** 2
            distances[i] = distance if cluster == 0 else min(distances[i], distance)
    return np.sort(centres)


@njit(cache=True, nogil=True)
def lloyd_bounds(
    values: NDArray[np.float64],
    weights: NDArray[np.float64],
    prefixes: NDArray[np.float64],
    draws: NDArray[np.float64],
    iterations: int,
) -> NDArray[np.int32]:
    """Bounds ``[rows, clusters + 1]`` that Lloyd's iteration reaches from k-means++ seeds; values are sorted."""
    rows, points = values.shape
    clusters = len(draws)
    bounds = np.zeros((rows, clusters + 1), np.int32)
    for row in range(rows):
        centres = _seed(values[row], weights[row], draws)
        bounds[row, clusters] = points
        for _ in range(iterations):
            changed = False
            for cluster in range(1, clusters):
                middle = 0.5 * (centres[cluster - 1] + centres[cluster])
                bound = np.searchsorted(values[row], middle, side="right")
                changed |= bound != bounds[row, cluster]
                bounds[row, cluster] = bound
            if not changed:
                break
            for cluster in range(clusters):
                start, stop = bounds[row, cluster], bounds[row, cluster + 1]
                weight = prefixes[row, 0, stop] - prefixes[row, 0, start]
                if weight > 0.0:
                    centres[cluster] = (prefixes[row, 1, stop] - prefixes[row, 1, start]) / weight
    return bounds
