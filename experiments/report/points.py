"""Points of the report: the loss and the cost of one precision on one architecture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from ...workloads import MODULES, Precision

if TYPE_CHECKING:
    import pandas as pd

PointKind: TypeAlias = Literal["baseline", "uniform", "one module", "mixed", "architecture"]
"""Kind of a point: the FP-FP baseline, one of three kinds of Anda precision, or another architecture."""


@dataclass(frozen=True, kw_only=True)
class Loss:
    """Signed relative increase of the perplexity over FP16 activations on the same tokens, and its standard error."""

    loss: float
    standard_error: float
    perplexity: float
    tokens: int


@dataclass(frozen=True, kw_only=True)
class SweepPoint:
    """A point: `precision` is None on an architecture of fixed width, `loss` is None if perplexity was not measured."""

    kind: PointKind
    architecture: str
    precision: Precision | None
    loss: Loss | None
    bops_saving: float
    cycles: int
    seconds: float
    dram_bytes: int
    sram_bytes: int
    compute_pj: float
    sram_pj: float
    dram_pj: float
    area_mm2: float
    level: str

    @property
    def energy_pj(self) -> float:
        """Total energy in pJ."""
        return self.compute_pj + self.sram_pj + self.dram_pj

    @property
    def module(self) -> str | None:
        """Narrow module of a point of kind "one module", otherwise None."""
        if self.kind != "one module" or self.precision is None:
            return None
        return MODULES[self.precision.index(min(self.precision))]

    @property
    def label(self) -> str:
        """Short label for tables and figures."""
        if self.precision is None:
            return self.architecture
        if self.kind == "uniform":
            return f"M = {self.precision[0]}"
        if self.kind == "one module":
            return f"{self.module} at {min(self.precision)}"
        return str(self.precision)


def points_frame(points: Sequence[SweepPoint]) -> pd.DataFrame:
    """Table of the report, one row for each point.

    Losses are in percent. `speedup` and `energy_saving` are baseline over point, `area_ratio` is point over baseline; the
    baseline is the point of that kind.
    """
    import pandas as pd

    baseline = next(point for point in points if point.kind == "baseline")
    frame = pd.DataFrame([_row(point) | _relative(point, baseline) for point in points])
    whole_numbers = [*(f"mantissa_bits_{module}" for module in MODULES), "tokens"]
    return frame.astype(dict.fromkeys(whole_numbers, "Int64"))


def _row(point: SweepPoint) -> dict[str, Any]:
    loss = point.loss
    bits = point.precision or (None,) * len(MODULES)
    return {
        "kind": point.kind,
        "architecture": point.architecture,
        "label": point.label,
        "module": point.module,
        "precision": str(point.precision) if point.precision else None,
        **{f"mantissa_bits_{module}": value for module, value in zip(MODULES, bits, strict=True)},
        "loss_percent": 100 * loss.loss if loss else None,
        "standard_error_percent": 100 * loss.standard_error if loss else None,
        "perplexity": loss.perplexity if loss else None,
        "tokens": loss.tokens if loss else None,
        "bops_saving": point.bops_saving,
        "cycles": point.cycles,
        "seconds": point.seconds,
        "dram_bytes": point.dram_bytes,
        "sram_bytes": point.sram_bytes,
        "compute_pj": point.compute_pj,
        "sram_pj": point.sram_pj,
        "dram_pj": point.dram_pj,
        "energy_pj": point.energy_pj,
        "area_mm2": point.area_mm2,
        "level": point.level,
    }


def _relative(point: SweepPoint, baseline: SweepPoint) -> dict[str, float]:
    return {
        "speedup": baseline.cycles / point.cycles,
        "energy_saving": baseline.energy_pj / point.energy_pj,
        "area_ratio": point.area_mm2 / baseline.area_mm2,
    }
