"""The quantiser of SpQR: bilevel grids and outliers inside the column loop of GPTQ.

Source: Dettmers et al., SpQR (arXiv 2306.03078), algorithm 1, with what its released code does where they differ: the
leave-one-out test only cleans the fit of a group, and a weight is an outlier if its error on the fitted grid is large.
"""

from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..base import Statistic, check_at_least, check_weights
from ..column_loop import Problem, prepare, quantize_channels
from ..dense_sparse import SparseWeights
from .format import SpQRParameters, SpQRWeights, average_bits
from .statistics import Statistics, decode_affine, encode_affine, fit_affine, join_statistics, quantize_statistic


@dataclass(frozen=True)
class SpQR(SpQRParameters):
    """Quantise with the format's parameters and these:

    Parameters
    ----------
    threshold
        A weight is an outlier if its squared error over ``U_jj^2`` exceeds this share of the mean over the channels of
        the weights' variance over ``U_jj^2``; infinity for no outliers. The paper uses 0.1 to 1.
    act_order
        Quantise the channels of the largest mean square input first; the file then holds the order.
    damping
        Added to the Hessian's diagonal, as a share of its mean (1 in the released instructions).
    """

    name: ClassVar[str] = "spqr"
    source: ClassVar[str] = SpQRWeights.source
    statistic: ClassVar[Statistic] = "hessian"

    threshold: float = 0.2
    act_order: bool = True
    damping: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least("threshold", self.threshold, 0)
        check_at_least("damping", self.damping, 0)

    @property
    def parameters(self) -> dict[str, Any]:
        """The fields, by name."""
        return asdict(self)

    def average_bits(self, in_channels: int = 4096) -> float:
        """Storage of a weight by the paper's formula, without outliers; it does not depend on the input channels."""
        return average_bits(self.bits, self.statistics_bits, self.group_size, self.statistics_group)

    def quantize(self, w: NDArray[np.floating], hessian: NDArray[np.floating] | None = None) -> SpQRWeights:
        """Quantise floating-point ``[in, out]`` with the Hessian ``[in, in]`` of the layer's input.

        Where the output channels do not vary (zero variance), the threshold is zero and each inexact weight becomes an
        outlier. The stored value of an outlier is the weight, as adjusted by then, less the grid's point for zero.

        Raises
        ------
        InputError
            ``w`` is not a finite matrix in the range of FP16 or does not divide into blocks; the Hessian is missing or
            does not fit, or is not positive definite after damping.
        """
        weights = check_weights(w)
        self.check_shape((w.shape[0], w.shape[1]))
        problem = prepare(weights, hessian, self.damping, self.act_order)
        loop = _Loop(self, problem)
        quantize_channels(problem, self.group_size, loop.quantize_channel)
        return loop.result()


class _Loop:
    """State of one run over the channels, in storage order."""

    def __init__(self, format_: SpQR, problem: Problem) -> None:
        self.format, self.problem = format_, problem
        self.diagonal = np.diag(problem.factor)
        shape = problem.weights.shape
        self.limit = self._limit()
        self.codes = np.empty(shape, np.uint8)
        self.outliers = np.zeros(shape, np.bool_)
        self.values = np.zeros(shape, np.float16)
        self.scales: list[Statistics] = []
        self.zeros: list[Statistics] = []

    def _limit(self) -> float:
        """The absolute threshold."""
        if np.isinf(self.format.threshold):
            return np.inf
        variance = np.var(self.problem.weights, axis=1, ddof=min(1, self.problem.weights.shape[1] - 1))
        return self.format.threshold * float((variance / self.diagonal**2).mean())

    def quantize_channel(self, j: int, work: NDArray[np.float64]) -> NDArray[np.float64]:
        """Codes and outliers of channel j; returns its decoded weights."""
        if j % self.format.group_size == 0:
            self._fit(work[j : j + self.format.group_size], self.diagonal[j : j + self.format.group_size])
        scale, zero = self.scale, self.zero
        codes = encode_affine(work[j], scale, zero, self.format.bits)
        dense = decode_affine(codes, scale, zero).astype(np.float64)
        outlier = ((work[j] - dense) / self.diagonal[j]) ** 2 > self.limit
        codes[outlier] = encode_affine(np.zeros(len(scale)), scale, zero, self.format.bits)[outlier]
        base = decode_affine(codes, scale, zero).astype(np.float64)
        self.codes[j], self.outliers[j] = codes, outlier
        self.values[j] = np.where(outlier, work[j] - base, 0)
        return base + self.values[j]

    def _fit(self, group: NDArray[np.float64], diagonal: NDArray[np.float64]) -> None:
        """Fit, and quantise, the grids of a group ``[channels, out]``."""
        if np.isfinite(self.limit):
            group = without_outliers(group, diagonal, self.format.bits, self.limit)
        grid = fit_affine(group, self.format.bits, axis=0)
        span, bits = self.format.statistics_group, self.format.statistics_bits
        self.scales.append(quantize_statistic(grid.scale, bits, span))
        self.zeros.append(quantize_statistic(grid.zero, bits, span))
        self.scale, self.zero = self.scales[-1].decode()[0], self.zeros[-1].decode()[0]

    def result(self) -> SpQRWeights:
        """The packed weights."""
        order = self.problem.order
        natural = np.argsort(order)
        sparse = SparseWeights.from_mask(self.outliers[natural], self.values[natural], np.uint16, np.float16)
        p = self.format
        return SpQRWeights(
            self.codes,
            join_statistics(self.scales),
            join_statistics(self.zeros),
            sparse,
            SpQRParameters(p.bits, p.group_size, p.statistics_bits, p.statistics_group),
            order.astype(np.uint16) if p.act_order else None,
        )


def without_outliers(
    group: NDArray[np.float64], diagonal: NDArray[np.float64], bits: int, limit: float
) -> NDArray[np.float64]:
    """A group ``[channels, out]`` whose likely outliers are replaced by the mean of the output channel's other weights.

    A weight is likely an outlier if the group's squared error, over ``U_jj^2``, falls by more than the limit when it is
    left out of the fit and of the sum: the leave-one-out test.
    """
    total = _grid_errors(group, diagonal, bits)
    likely = np.empty(group.shape, np.bool_)
    for i in range(len(group)):
        others = _grid_errors(np.delete(group, i, axis=0), np.delete(diagonal, i), bits)
        likely[i] = total - others > limit
    kept = (~likely).sum(axis=0)
    mean = np.where(likely, 0, group).sum(axis=0) / np.maximum(kept, 1)
    return np.where(likely, mean, group)


def _grid_errors(group: NDArray[np.float64], diagonal: NDArray[np.float64], bits: int) -> NDArray[np.float64]:
    """Summed squared error ``[out]`` of a group on its own, unquantised grid, over ``U_jj^2``."""
    scale, zero = fit_affine(group, bits, axis=0)
    decoded = scale * (encode_affine(group, scale, zero, bits) - zero)
    return (((group - decoded) / diagonal[:, None]) ** 2).sum(axis=0)
