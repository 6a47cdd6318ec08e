"""Points of a sweep: one simulation each, its key, and its row."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from ... import formats, sim, workloads
from ...formats import InputError
from ...workloads import MODULES, Precision
from .. import simulation
from .overrides import (
    Settings,
    architecture_columns,
    architecture_with,
    file_content,
    technology_columns,
    technology_with,
)

MEASURES = ("cycles", "seconds", "macs", "bops_saving", "dram_bytes", "sram_bytes", "area_mm2")
ENERGIES = ("compute", "sram", "dram", "total")
RESULT_COLUMNS = ("key", *MEASURES, *(f"energy_{part}_pj" for part in ENERGIES))
"""Columns of a row beside those of `Point.columns`."""


@dataclass(frozen=True)
class Point:
    """One simulation: the arguments of `simulation.simulate_model`."""

    model: str
    arch: str
    precision: str | None
    """Mantissa bits of qkv, o, u and d; None on an architecture of fixed width."""
    phase: str = "prefill"
    tokens: int = 2048
    context: int = 0
    batch: int = 1
    level: str = "closed"
    technology: str = "paper-16nm"
    objective: str = "energy"
    tiling: str = "search"
    architecture_settings: Settings = ()
    technology_settings: Settings = ()

    @property
    def key(self) -> str:
        """Of this point as this version of the program computes it."""
        files = [file_content(self.arch), file_content(self.technology)]
        text = json.dumps([asdict(self), files, model_version()], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:24]

    def columns(self) -> dict[str, Any]:
        """The input as columns: known before the simulation, so that constraints on them save it.

        Raises:
            InputError: the fields that the sweep sets do not fit the architecture or the technology.
        """
        machine = architecture_with(self.arch, self.architecture_settings)
        technology_with(self.technology, self.technology_settings)
        asked = Precision.uniform(16) if self.precision is None else Precision.parse(self.precision)
        bits = machine.precision(asked)
        return {
            "model": self.model,
            "arch": self.arch,
            "precision": str(bits),
            **{f"mantissa_bits_{module}": value for module, value in zip(MODULES, bits, strict=True)},
            "phase": self.phase,
            "tokens": self.tokens,
            "context": self.context,
            "batch": self.batch,
            "level": self.level,
            "technology": self.technology,
            "objective": self.objective,
            "tiling": self.tiling,
            **architecture_columns(self.arch, self.architecture_settings),
            **technology_columns(self.technology_settings),
        }


def simulate_points(points: Sequence[Point]) -> list[dict[str, Any]]:
    """Simulate points: one flat row each, the key first.

    Raises:
        InputError: a point cannot be simulated, such as one with too small a buffer; the message says which.
    """
    return [_row(point) for point in points]


def _row(point: Point) -> dict[str, Any]:
    inputs = point.columns()
    try:
        record = simulation.simulate_model(
            point.model,
            architecture_with(point.arch, point.architecture_settings),
            None if point.precision is None else Precision.parse(point.precision),
            phase=point.phase,
            tokens=point.tokens,
            context=point.context,
            batch=point.batch,
            level=point.level,
            technology=technology_with(point.technology, point.technology_settings),
            objective=point.objective,
            tiling=point.tiling,
        )
    except InputError as error:
        settings = ", ".join(f"{name} {value}" for name, value in inputs.items())
        raise InputError(f"{error} (at the point {settings}; a constraint can leave it out)") from None
    energy: dict[str, float] = record["energy_pj"]
    return {
        "key": point.key,
        **inputs,
        **{name: record[name] for name in MEASURES},
        **{f"energy_{part}_pj": energy[part] for part in ENERGIES},
    }


@cache
def model_version() -> str:
    """Hash of everything that a simulation's result depends on beside its point: code and data of three rooms."""
    folders = [Path(room.__file__ or "").parent for room in (formats, workloads, sim)]
    files = sorted(path for folder in folders for path in folder.rglob("*") if path.suffix in (".py", ".yaml", ".csv"))
    own = Path(simulation.__file__)
    return hashlib.sha256(b"".join(path.read_bytes() for path in [*files, own])).hexdigest()[:24]
