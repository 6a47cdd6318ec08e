"""Points of the report: the loss and the cost of one precision on one architecture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from ...workloads import MODULES, PairedLoss, Precision
from ...workloads.evaluation.scores import ScoreComparison

if TYPE_CHECKING:
    import pandas as pd

PointKind: TypeAlias = Literal["baseline", "uniform", "one module", "mixed", "architecture", "format"]
"""Kind of a point: the FP-FP baseline, one of three kinds of Anda precision, another architecture, or another format on Anda's machine."""

MEASURES = ("bops_saving", "cycles", "seconds", "dram_bytes", "sram_bytes")
ENERGIES = ("compute", "sram", "dram")


@dataclass(frozen=True)
class SweepPoint:
    """A point of the report.

    Attributes
    ----------
    kind
        Its kind.
    architecture
        Name of the architecture.
    precision
        Mantissa bits; None on an architecture of fixed width and for another format.
    loss
        Increase of the perplexity over FP16 activations on the same tokens; None if it was not measured.
    record
        The simulation, as `simulate` gives it.
    comparison
        KL divergence, top-1 disagreement and tempered loss beside the loss; None if they were not measured.
    format
        Text of another format; None for that of the architecture.
    bits_per_value
        Bits of a stored activation, the mean over the four modules; None if they are not known.
    """

    kind: PointKind
    architecture: str
    precision: Precision | None
    loss: PairedLoss | None
    record: Mapping[str, Any]
    comparison: ScoreComparison | None = None
    format: str | None = None
    bits_per_value: float | None = None

    @property
    def module(self) -> str | None:
        """Narrow module of a point of kind "one module", otherwise None."""
        if self.kind != "one module" or self.precision is None:
            return None
        return MODULES[self.precision.index(min(self.precision))]

    @property
    def label(self) -> str:
        """Short label for tables and figures."""
        if self.format is not None:
            return self.format
        if self.precision is None:
            return self.architecture
        if self.kind == "uniform":
            return f"M = {self.precision[0]}"
        if self.kind == "one module":
            return f"{self.module} at {min(self.precision)}"
        return str(self.precision)


def points_frame(points: Sequence[SweepPoint]) -> pd.DataFrame:
    """Table of the report, one row for each point.

    Losses are in percent; `interval_95_percent` is half of the 95 % t interval. `speedup` and `energy_saving` are baseline over point, `area_ratio` is point over baseline; the
    baseline is the point of that kind.
    """
    import pandas as pd

    rows = [_row(point) for point in points]
    baseline = next(row for row in rows if row["kind"] == "baseline")
    frame = pd.DataFrame([row | _relative(row, baseline) for row in rows])
    whole_numbers = [*(f"mantissa_bits_{module}" for module in MODULES), "tokens", "blocks"]
    return frame.astype(dict.fromkeys(whole_numbers, "Int64"))


def _row(point: SweepPoint) -> dict[str, Any]:
    loss, energy = point.loss, point.record["energy_pj"]
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
        "interval_95_percent": 100 * loss.estimate.half_width() if loss else None,
        "blocks": loss.blocks if loss else None,
        "perplexity": loss.perplexity if loss else None,
        "tokens": loss.tokens if loss else None,
        **measure_columns(point.comparison),
        "bits_per_value": point.bits_per_value,
        **{name: point.record[name] for name in MEASURES},
        **{f"{part}_pj": energy[part] for part in ENERGIES},
        "energy_pj": energy["compute"] + energy["sram"] + energy["dram"],
        "area_mm2": point.record["area_mm2"],
        "level": point.record["level"],
    }


def measure_columns(comparison: ScoreComparison | None) -> dict[str, float | None]:
    """The measures beside the loss as columns of a table; None if they were not measured."""
    if comparison is None:
        return dict.fromkeys(MEASURE_COLUMNS)
    values = (comparison.kl.value, 100 * comparison.top1.value, 100 * comparison.tempered.value)
    return {name: value if isfinite(value) else None for name, value in zip(MEASURE_COLUMNS, values, strict=True)}


MEASURE_COLUMNS = ("kl_nats", "top1_disagreement_percent", "tempered_loss_percent")
"""Columns of the measures beside the loss."""


def _relative(row: Mapping[str, Any], baseline: Mapping[str, Any]) -> dict[str, float]:
    return {
        "speedup": baseline["cycles"] / row["cycles"],
        "energy_saving": baseline["energy_pj"] / row["energy_pj"],
        "area_ratio": row["area_mm2"] / baseline["area_mm2"],
    }
