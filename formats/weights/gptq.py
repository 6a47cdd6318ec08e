"""GPTQ: integer weights; later channels compensate the rounding errors of earlier ones.

Source: Frantar et al., GPTQ (arXiv 2210.17323), algorithm 1; group fit, act-order and static groups as in its released
code.
"""

from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..checks import check_integer, check_number
from ..errors import InputError
from .base import Statistic, check_weights
from .column_loop import BLOCK, prepare, quantize_channels
from .grouped_int import Grid, IntegerWeights, assemble, average_bits, check_code_bits, fit_grid, round_to_grid


@dataclass(frozen=True)
class Gptq:
    """Round channel after channel, and adjust the remaining channels after each.

    Parameters
    ----------
    bits
        2 to 8.
    group_size
        Number of input channels that share a scale; the last group may be shorter.
    symmetric
        True centres the codes at zero; False gives each group a zero point.
    act_order
        Quantise channels with the largest mean square input first.
    static_groups
        True fits all groups to the given weights; False fits a group to adjusted weights when its first channel is
        reached. As in the released code these are the weights at the start of each 128 channels, without the updates of
        shorter groups inside them; with all updates, errors at 2 bits are up to 1.7 times as large. ``act_order`` needs
        static groups, so that groups stay runs of neighbouring channels.
    damping
        Addition to the diagonal of the Hessian, as a share of its mean.
    """

    name: ClassVar[str] = "gptq"
    source: ClassVar[str] = "Frantar et al., GPTQ (arXiv 2210.17323) and its released code"
    statistic: ClassVar[Statistic] = "hessian"

    bits: int = 4
    group_size: int = 128
    symmetric: bool = False
    act_order: bool = True
    static_groups: bool = True
    damping: float = 0.01

    def __post_init__(self) -> None:
        check_code_bits(self.bits)
        check_integer("group_size", self.group_size, 1)
        check_number("damping", self.damping, 0)
        if self.act_order and not self.static_groups:
            raise InputError("static_groups: is False with act_order=True; set one of them to the other value")

    @property
    def parameters(self) -> dict[str, Any]:
        """Parameters by name, as `weight_quantizer` takes them."""
        return asdict(self)

    def average_bits(self, in_channels: int = 4096) -> float:
        """Storage of a weight in bits: code, and shares of scale and zero point."""
        return average_bits(self.bits, self.group_size, self.symmetric, in_channels)

    def quantize(self, w: NDArray[np.floating], hessian: NDArray[np.floating] | None = None) -> IntegerWeights:
        """Quantise a floating-point matrix ``[in, out]`` with the Hessian ``[in, in]`` of the layer's input.

        Weights of inputs that were never active in calibration become zero.

        Raises
        ------
        InputError
            ``w`` is not a finite matrix in the range of FP16, or the Hessian is missing, does not fit, or is not positive
            definite after damping.
        """
        prepared = prepare(check_weights(w), hessian, self.damping, self.act_order)
        grids = self._static_grids(prepared.restore(prepared.weights)) if self.static_groups else []
        codes = np.empty(w.shape, np.uint8)
        span = BLOCK if BLOCK % self.group_size == 0 else self.group_size
        at_start = prepared.weights

        def quantize_channel(j: int, work: NDArray[np.float64]) -> NDArray[np.float64]:
            nonlocal at_start
            if not self.static_groups and j % span == 0:
                at_start = work[j : j + span].copy()
            if not self.static_groups and j % self.group_size == 0:
                first = j % span
                grids.append(fit_grid(at_start[first : first + self.group_size], self.bits, self.symmetric))
            grid = grids[prepared.order[j] // self.group_size]
            codes[j] = round_to_grid(work[j], grid, self.bits)
            return grid.scales * (codes[j].astype(np.float64) - grid.zero_points)

        quantize_channels(prepared, self.group_size, quantize_channel)
        return assemble(prepared.restore(codes), grids, self.bits, self.group_size, self.symmetric)

    def _static_grids(self, weights: NDArray[np.float64]) -> list[Grid]:
        starts = range(0, len(weights), self.group_size)
        return [fit_grid(weights[start : start + self.group_size], self.bits, self.symmetric) for start in starts]
