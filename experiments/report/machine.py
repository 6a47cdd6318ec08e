"""Simulations of the main job: every measured precision, the baseline and the other architectures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ...workloads import ModelShape, Precision
from ...workloads.evaluation.scores import ScoreComparison
from ..simulation import simulate
from .evaluation import Measured
from .points import PointKind, SweepPoint

if TYPE_CHECKING:
    from ...sim.settings import Level

BASELINE = "fp-fp"
TOKENS = 2048


def simulate_points(shape: ModelShape, measured: Sequence[Measured], level: Level = "analytical") -> list[SweepPoint]:
    """Simulate a prefill of `TOKENS` tokens, or of the model's context if it is shorter, on the baseline, on architectures of fixed width, and at measured precisions."""
    from ...sim import architecture_names

    points = [_point("baseline", BASELINE, None, None, shape, level)]
    for name in architecture_names():
        if name not in (BASELINE, "anda"):
            points.append(_point("architecture", name, None, None, shape, level))
    for planned, found in measured:
        points.append(_point(planned.kind, "anda", planned.precision, found, shape, level))
    return points


def _point(
    kind: PointKind,
    arch: str,
    precision: Precision | None,
    found: ScoreComparison | None,
    shape: ModelShape,
    level: Level,
) -> SweepPoint:
    tokens = min(TOKENS, shape.max_length)
    simulation = simulate(model=shape, arch=arch, precision=precision, tokens=tokens, level=level)
    return SweepPoint(kind, arch, precision, found and found.loss, simulation.to_dict(), found)
