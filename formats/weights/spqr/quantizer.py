"""Quantiser of SpQR: bilevel grids and outliers in the column loop of GPTQ.

Source: Dettmers et al., SpQR (arXiv 2306.03078), algorithm 1. Where its released code differs, this follows the code: the
leave-one-out test only cleans the fit of a group, and a weight is an outlier if its error on the fitted grid is large.
"""

import math
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ...checks import check_number
from ..base import Statistic, check_weights
from ..column_loop import PreparedWeights, prepare, quantize_channels
from ..dense_sparse import SparseWeights
from .format import SpQRParameters, SpQRWeights, average_bits
from .statistics import Statistics, decode_affine, encode_affine, fit_affine, join_statistics, quantize_statistic


@dataclass(frozen=True)
class SpQR(SpQRParameters):
    """SpQR quantiser. It has these parameters beside those of the format.

    Parameters
    ----------
    threshold
        Share of the mean over the channels of ``variance / U_jj^2``. A weight is an outlier if its squared error over
        ``U_jj^2`` exceeds it. Infinity gives no outliers; the paper uses 0.1 to 1.
    act_order
        Quantise channels with the largest mean square input first; the file then holds the order.
    damping
        Addition to the diagonal of the Hessian, as a share of its mean (1 in the released instructions).
    """

    name: ClassVar[str] = "spqr"
    source: ClassVar[str] = SpQRWeights.source
    statistic: ClassVar[Statistic] = "hessian"

    threshold: float = 0.2
    act_order: bool = True
    damping: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number("threshold", self.threshold, 0)
        check_number("damping", self.damping, 0)

    @property
    def parameters(self) -> dict[str, Any]:
        """Parameters by name, as `weight_quantizer` takes them."""
        return asdict(self)

    def average_bits(self, in_channels: int = 4096) -> float:
        """Storage of a weight in bits by the formula of the paper, without outliers, for any number of channels."""
        return average_bits(self.bits, self.statistics_bits, self.group_size, self.statistics_group)

    @property
    def weight_config(self) -> dict[str, Any]:
        """Outliers on the machine, as in ``sim/weights/spqr-3.yaml``: the paper's 1 % unless the threshold forbids them."""
        if self.threshold == float("inf"):
            return {}
        return {
            "sparse_fraction": 0.01,
            "sparse_bits": 32,
            "pointer_bits": 32,
            "sparse_lanes": 64,
            "scale_bits": self._group_bits,
        }

    @property
    def _group_bits(self) -> int:
        """Bits of a group's parameters, its share of the second level rounded up."""
        bits = average_bits(self.bits, self.statistics_bits, self.group_size, self.statistics_group)
        return math.ceil((bits - self.bits) * self.group_size)

    def quantize(self, w: NDArray[np.floating], hessian: NDArray[np.floating] | None = None) -> SpQRWeights:
        """Quantise a floating-point matrix ``[in, out]`` with the Hessian ``[in, in]`` of the layer's input.

        If the output channels do not vary, the threshold is zero and each inexact weight becomes an outlier. The stored
        value of an outlier is the adjusted weight minus the grid point nearest to zero.

        Raises
        ------
        InputError
            ``w`` is not a finite matrix in the range of FP16 or does not divide into blocks, or the Hessian is missing,
            does not fit, or is not positive definite after damping.
        """
        weights = check_weights(w)
        self.check_shape((w.shape[0], w.shape[1]))
        prepared = prepare(weights, hessian, self.damping, self.act_order)
        loop = _Loop(self, prepared)
        quantize_channels(prepared, self.group_size, loop.quantize_channel)
        return loop.result()


class _Loop:
    """State of one pass over the channels, in storage order."""

    def __init__(self, format_: SpQR, prepared: PreparedWeights) -> None:
        self.format, self.prepared = format_, prepared
        self.diagonal = np.diag(prepared.factor)
        shape = prepared.weights.shape
        self.limit = self._limit()
        self.codes = np.empty(shape, np.uint8)
        self.outliers = np.zeros(shape, np.bool_)
        self.values = np.zeros(shape, np.float16)
        self.scales: list[Statistics] = []
        self.zeros: list[Statistics] = []

    def _limit(self) -> float:
        """Absolute threshold of the squared error over ``U_jj^2``."""
        if np.isinf(self.format.threshold):
            return np.inf
        variance = np.var(self.prepared.weights, axis=1, ddof=min(1, self.prepared.weights.shape[1] - 1))
        return self.format.threshold * float((variance / self.diagonal**2).mean())

    def quantize_channel(self, j: int, work: NDArray[np.float64]) -> NDArray[np.float64]:
        """Find codes and outliers of channel j; returns its decoded weights."""
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
        """Fit and quantise the grids of a group ``[channels, out]``."""
        if np.isfinite(self.limit):
            group = without_outliers(group, diagonal, self.format.bits, self.limit)
        grid = fit_affine(group, self.format.bits, axis=0)
        span, bits = self.format.statistics_group, self.format.statistics_bits
        self.scales.append(quantize_statistic(grid.scale, bits, span))
        self.zeros.append(quantize_statistic(grid.zero, bits, span))
        self.scale, self.zero = self.scales[-1].decode()[0], self.zeros[-1].decode()[0]

    def result(self) -> SpQRWeights:
        """Packed weights of all channels."""
        order = self.prepared.order
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
    """Replace likely outliers of a group ``[channels, out]`` by the mean of the other weights of the output channel.

    Leave-one-out test: a weight is likely an outlier if the squared error of the group over ``U_jj^2`` falls by more
    than the limit when the weight is left out.
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
    """Sum ``[out]`` of the squared errors over ``U_jj^2`` of a group on its own unquantised grid."""
    scale, zero = fit_affine(group, bits, axis=0)
    decoded = scale * (encode_affine(group, scale, zero, bits) - zero)
    return (((group - decoded) / diagonal[:, None]) ** 2).sum(axis=0)
