"""GPTQ: integer weights whose rounding errors are compensated by the channels that follow.

Source: Frantar et al., GPTQ (arXiv 2210.17323), algorithm 1; group fit, act-order and static groups as in its released
code.
"""

from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .base import Statistic, check_at_least, check_choice, check_weights
from .column_loop import prepare, quantize_channels
from .grouped_int import CODE_BITS, Grid, IntegerWeights, assemble, average_bits, fit_grid, round_to_grid


@dataclass(frozen=True)
class Gptq:
    """Round the channels one after the other, each time adjusting the rest for the error made.

    Parameters
    ----------
    bits
        2 to 8.
    group_size
        Input channels that share a scale; the last group may be shorter.
    symmetric
        Codes around a fixed middle; otherwise each group has a zero point.
    act_order
        Quantise the channels of the largest mean square input first.
    static_groups
        Fit all groups to the weights as given; otherwise each to its weights when its first channel is reached.
        With ``act_order`` groups must be static, so that they stay runs of neighbouring channels.
    damping
        Added to the Hessian's diagonal, as a share of its mean.
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
        check_choice("bits", self.bits, CODE_BITS)
        check_at_least("group_size", self.group_size, 1)
        check_at_least("damping", self.damping, 0)
        if self.act_order and not self.static_groups:
            raise InputError("static_groups: is False with act_order=True; use static groups or the natural order")

    @property
    def parameters(self) -> dict[str, Any]:
        """The fields, by name."""
        return asdict(self)

    def average_bits(self, in_channels: int = 4096) -> float:
        """Storage of a weight: code, and its share of scale and zero point."""
        return average_bits(self.bits, self.group_size, self.symmetric, in_channels)

    def quantize(self, w: NDArray[np.floating], hessian: NDArray[np.floating] | None = None) -> IntegerWeights:
        """Quantise floating-point ``[in, out]`` with the Hessian ``[in, in]`` of the layer's input.

        Inputs that were never active in calibration lose their weights (zero).

        Raises
        ------
        InputError
            ``w`` is not a finite matrix in the range of FP16; the Hessian is missing or does not fit, or is not
            positive definite after damping.
        """
        problem = prepare(check_weights(w), hessian, self.damping, self.act_order)
        grids = self._static_grids(problem.restore(problem.weights)) if self.static_groups else []
        codes = np.empty(w.shape, np.uint8)

        def quantize_channel(j: int, work: NDArray[np.float64]) -> NDArray[np.float64]:
            if not self.static_groups and j % self.group_size == 0:
                grids.append(fit_grid(work[j : j + self.group_size], self.bits, self.symmetric))
            grid = grids[problem.order[j] // self.group_size]
            codes[j] = round_to_grid(work[j], grid, self.bits)
            return grid.scales * (codes[j].astype(np.float64) - grid.zero_points)

        quantize_channels(problem, self.group_size, quantize_channel)
        return assemble(problem.restore(codes), grids, self.bits, self.group_size, self.symmetric)

    def _static_grids(self, weights: NDArray[np.float64]) -> list[Grid]:
        starts = range(0, len(weights), self.group_size)
        return [fit_grid(weights[start : start + self.group_size], self.bits, self.symmetric) for start in starts]
