"""Statistics of a mean over blocks: Student's t, intervals, and a correction for skewed blocks."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from math import atan, cos, inf, nan, pi, sin, sqrt
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

LARGE = 1000
"""Degrees of freedom from which a quantile comes from the normal distribution's expansion (Abramowitz and Stegun 26.7.5)."""


@dataclass(frozen=True)
class Estimate:
    """Mean over independent blocks, with its standard error."""

    value: float
    standard_error: float
    """NaN for a single block."""
    blocks: int

    @classmethod
    def mean(cls, values: NDArray[np.float64]) -> Estimate:
        """Mean of one value for each block ``[blocks]``."""
        with np.errstate(invalid="ignore"):  # infinite values
            spread = float(values.std(ddof=1)) if len(values) > 1 else nan
        return cls(float(values.mean()), spread / sqrt(len(values)), len(values))

    def half_width(self, confidence: float = 0.95) -> float:
        """Half of Student's t interval around the mean; NaN for a single block."""
        if self.blocks < 2:
            return nan
        return student_quantile((1 + confidence) / 2, self.blocks - 1) * self.standard_error

    def upper_bound(self, confidence: float = 0.95) -> float:
        """One-sided bound: the true mean is below it with this confidence; NaN for a single block."""
        if self.blocks < 2:
            return nan
        return self.value + student_quantile(confidence, self.blocks - 1) * self.standard_error


def relative_increases(differences: NDArray[np.float64]) -> NDArray[np.float64]:
    """Relative increase of the perplexity by blocks ``[blocks]``: their mean is exactly that of the whole text.

    Parameters
    ----------
    differences
        Difference of the mean NLL of each block, in nats ``[blocks]``. Deviations from the mean are scaled to first order.
    """
    mean = differences.mean()
    with np.errstate(invalid="ignore", over="ignore"):  # infinite values
        return np.expm1(mean) + np.exp(mean) * (differences - mean)


def is_skewed(values: NDArray[np.float64]) -> NDArray[np.bool_]:
    """True if a few large values stand out: the skewness is above twice its standard error for normal values.

    Parameters
    ----------
    values
        One value for each block ``[..., blocks]``; the result has the other axes.
    """
    n = values.shape[-1]
    if n < 3:
        return np.zeros(values.shape[:-1], np.bool_)
    limit = 2 * sqrt(6 * n * (n - 1) / ((n - 2) * (n + 1) * (n + 3)))
    return (values.std(axis=-1) > 0) & (_third_moment(values) > limit * values.std(axis=-1, ddof=1) ** 3)


def worst_share(values: NDArray[np.float64], count: int) -> float:
    """Share of the largest `count` values in the sum of squared deviations."""
    squares = (values - values.mean()) ** 2
    return float(squares[np.argsort(values)[-count:]].sum() / squares.sum())


def with_worse_block(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The values ``[..., blocks]`` and one more, twice as far above the mean as the largest.

    It is a bad block that the sample may have missed.
    """
    mean = values.mean(axis=-1, keepdims=True)
    return np.append(values, mean + 2 * (values.max(axis=-1, keepdims=True) - mean), axis=-1)


def johnson_margin(values: NDArray[np.float64], limit: float) -> NDArray[np.float64]:
    """Distance from the mean up to the limit in standard errors, corrected for skew (Johnson, JASA 1978).

    Parameters
    ----------
    values
        One value for each block ``[..., blocks]``; the result has the other axes.
    limit
        The largest accepted mean.
    """
    n, distance, spread = values.shape[-1], values.mean(axis=-1) - limit, values.std(axis=-1, ddof=1)
    with np.errstate(divide="ignore", invalid="ignore"):  # infinite values, or no spread
        skew = _third_moment(values) / spread**2
        margin = -(distance + skew / (6 * n) + skew * distance**2 / (3 * spread**2)) * sqrt(n) / spread
    exact = np.where(distance <= 0, inf, -inf)
    return np.where(np.isfinite(distance), np.where(spread == 0, exact, margin), -inf)


def _third_moment(values: NDArray[np.float64]) -> NDArray[np.float64]:
    n = values.shape[-1]
    cubes = ((values - values.mean(axis=-1, keepdims=True)) ** 3).sum(axis=-1)
    return n / ((n - 1) * (n - 2)) * cubes


def student_cdf(t: float, degrees: int) -> float:
    """Probability that Student's t with these degrees of freedom is below `t` (Abramowitz and Stegun 26.7.3, 26.7.4)."""
    angle, odd = atan(t / sqrt(degrees)), degrees % 2
    total, term = 0.0, cos(angle) if odd else 1.0
    for index in range(1 + odd, degrees, 2):
        total += term
        term *= cos(angle) ** 2 * index / (index + 1)
    inside = 2 / pi * (angle + sin(angle) * total) if odd else sin(angle) * total
    return (1 + inside) / 2


@cache
def student_quantile(probability: float, degrees: int) -> float:
    """Value that Student's t with these degrees of freedom stays below with this probability, from 0.5 up to below 1.

    >>> round(student_quantile(0.975, 7), 3)
    2.365
    """
    if degrees > LARGE:
        z = NormalDist().inv_cdf(probability)
        return z + (z**3 + z) / (4 * degrees) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * degrees**2)
    low, high = 0.0, 1.0
    while student_cdf(high, degrees) < probability:
        low, high = high, 2 * high
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if student_cdf(middle, degrees) < probability else (low, middle)
    return high
