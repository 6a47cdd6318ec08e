"""Simulations of the main job: every measured precision and format, the baseline and the other architectures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ...workloads import ModelShape, Precision
from ...workloads.evaluation.scores import ScoreComparison
from ..simulation import simulate
from ..sweep.evaluation import OWN_FORMAT, format_bits
from .evaluation import Measured
from .plan import WIDE, PlannedPoint
from .points import SweepPoint

if TYPE_CHECKING:
    from ...sim.settings import Level

BASELINE = "fp-fp"
TOKENS = 2048


def simulate_points(shape: ModelShape, measured: Sequence[Measured], level: Level = "analytical") -> list[SweepPoint]:
    """Simulate a prefill of `TOKENS` tokens, or of the model's context if it is shorter, on the baseline, on architectures of fixed width, and on Anda's machine at measured precisions and in measured formats."""
    from ...sim import architecture_names

    points = [_point(BASELINE, PlannedPoint("baseline", None, 0), None, shape, level)]
    for name in architecture_names():
        if name not in (BASELINE, "anda"):
            points.append(_point(name, PlannedPoint("architecture", None, 0), None, shape, level))
    for planned, found in measured:
        points.append(_point("anda", planned, found, shape, level))
    return points


def _point(
    arch: str, planned: PlannedPoint, found: ScoreComparison | None, shape: ModelShape, level: Level
) -> SweepPoint:
    tokens, own = min(TOKENS, shape.max_length), planned.format
    simulation = simulate(
        model=shape,
        arch=arch,
        precision=planned.precision,
        activations=own and own.build(),
        tokens=tokens,
        level=level,
    )
    widths = planned.precision or Precision.uniform(WIDE)  # the latter where the format does not ask
    bits = format_bits(OWN_FORMAT, simulation.fp_int.machine, [widths])
    loss, name = found and found.loss, own and own.text
    return SweepPoint(planned.kind, arch, planned.precision, loss, simulation.to_dict(), found, name, bits)
