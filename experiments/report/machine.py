"""Simulations of the main job: every measured precision, format and architecture."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from ...workloads import Fp16Activations, ModelShape, Precision
from ...workloads.evaluation.scores import ScoreComparison
from ..simulation import simulate
from ..sweep.evaluation import OWN_FORMAT, format_bits
from .evaluation import Measured
from .plan import BLOCKS, MODULE_BLOCKS, WIDE, PlannedPoint, machine_hook, plan_points, share
from .points import SweepPoint

if TYPE_CHECKING:
    from ...sim.settings import Level

BASELINE = "fp-fp"
"""Architecture that every other is compared with; its activations are the reference of the loss."""
TOKENS = 2048


def machine_points(blocks: int = BLOCKS) -> Iterator[PlannedPoint]:
    """Points of the architectures of fixed width, the baseline first.

    An architecture whose values are those of a uniform precision takes the blocks of that one, so both have the same loss.
    """
    from ...sim import architecture_names

    others = [name for name in architecture_names() if name not in (BASELINE, "anda")]
    for name in (BASELINE, *others):
        hook = machine_hook(name)
        if hook == Fp16Activations():
            count = blocks
        else:
            same = (point.blocks for point in plan_points(blocks) if point.hook == hook)
            count = next(same, share(MODULE_BLOCKS, blocks))
        yield PlannedPoint("architecture" if name in others else "baseline", None, count, arch=name)


def simulate_points(shape: ModelShape, measured: Sequence[Measured], level: Level = "analytical") -> list[SweepPoint]:
    """Simulate a prefill of `TOKENS` tokens, or of the model's context if it is shorter, for every measured point on its architecture."""
    return [_point(planned, found, shape, level) for planned, found in measured]


def _point(planned: PlannedPoint, found: ScoreComparison, shape: ModelShape, level: Level) -> SweepPoint:
    tokens, own = min(TOKENS, shape.max_length), planned.format
    simulation = simulate(
        model=shape,
        arch=planned.arch,
        precision=planned.precision,
        activations=own and own.build(),
        tokens=tokens,
        level=level,
    )
    widths = planned.precision or Precision.uniform(WIDE)  # the latter where the format does not ask
    bits = format_bits(OWN_FORMAT, simulation.fp_int.machine, [widths])
    return SweepPoint(
        planned.kind, planned.arch, planned.precision, found.loss, simulation.to_dict(), found, own and own.text, bits
    )
