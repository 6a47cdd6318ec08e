"""Activation formats on one array: loss, bits, cycles and energy at the throughput that each format says.

All formats run on the same machine. A bit-serial array takes a format's ``cycles_per_group``, which are those of a datapath of equal
area (`formats.activations.base`): so the table compares at equal area what a format costs in time, traffic, energy and loss.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...formats.activations.fp import Fp16Format
from ...workloads import load_shape
from ...workloads.evaluation.statistics import Estimate
from ..simulation import simulate

if TYPE_CHECKING:
    from pathlib import Path

    from ...formats.activations.registry import ActivationFormat
    from ...workloads import ModelShape
    from ...workloads.inference.decoder import Hook

TOKENS = 512
"""Tokens of the prefill pass, if the model takes as many."""


@dataclass(frozen=True)
class MachineFigures:
    """A format on a machine; ratios are those of FP16 in memory on the same array over it.

    Attributes
    ----------
    loss_percent, loss_standard_error_percent, blocks
        Increase of the perplexity over FP16 activations, its standard error, and the number of blocks of text.
    cycles, dram_bytes, energy_pj
        Those of the FP-INT GeMMs of a pass.
    speedup, energy_ratio
        How much faster, and how much less energy, than FP16.
    """

    loss_percent: float
    loss_standard_error_percent: float
    blocks: int
    cycles: int
    dram_bytes: int
    energy_pj: float
    speedup: float
    energy_ratio: float

    @property
    def interval_percent(self) -> float:
        """Half of the 95 % t interval of the loss."""
        return Estimate(self.loss_percent, self.loss_standard_error_percent, self.blocks).half_width()


def machine_figures(
    formats: Sequence[ActivationFormat],
    arch: str | Path,
    model: str | Path | ModelShape,
    loss_percent: Callable[[Hook], tuple[float, float, int]],
) -> Iterator[MachineFigures]:
    """Figures of each format on one architecture, for a model's prefill of `TOKENS` tokens, and its measured loss, standard error and blocks.

    Raises
    ------
    InputError
        The architecture or a model is unknown, or a format cannot drive the machine.
    """
    from ...workloads import FormatActivations

    tokens = min(TOKENS, load_shape(model).max_length)
    request: dict[str, Any] = {"model": model, "arch": arch, "tokens": tokens, "precision": 16}
    base = simulate(**request, activations=Fp16Format()).to_dict()
    for fmt in formats:
        found = simulate(**request, activations=fmt).to_dict()
        yield MachineFigures(
            *loss_percent(FormatActivations(fmt)),
            found["cycles"],
            found["dram_bytes"],
            found["energy_pj"]["total"],
            base["cycles"] / found["cycles"],
            base["energy_pj"]["total"] / found["energy_pj"]["total"],
        )
