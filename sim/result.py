"""Results of a simulation."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..workloads import Gemm, Precision
from .analytical.gemm import Traffic, array_cycles
from .config.architecture import Architecture
from .config.technology import Technology
from .cost.energy import Energy, UnitCosts
from .cost.objective import Objective
from .mapping.gemm_mapping import GemmMapping
from .mapping.mapped_gemm import MappedGemm
from .settings import Level

if TYPE_CHECKING:
    from .events.gemm import EventReport


@dataclass(frozen=True, slots=True)
class GemmRun:
    """One GeMM of a run; numbers are for one of its `gemm.repeat` products."""

    gemm: Gemm
    mapped: MappedGemm
    mapping: GemmMapping
    cycles: int
    traffic: Traffic
    energy_pj: Energy
    report: "EventReport | None" = None
    """Waits and utilisation, at level `events` only."""

    @property
    def array_cycles(self) -> int:
        """Cycles in which the array works; in the others it waits or fills."""
        return array_cycles(self.mapped, self.mapping)


@dataclass(frozen=True, slots=True)
class SimulationResult:
    """Totals of a run, `repeat` included, and the GeMMs that they are made of."""

    machine: Architecture
    process: Technology
    costs: UnitCosts
    precision: Precision | Sequence[Precision]
    """Mantissa bits that the datapath used: 16 throughout for FP-FP, 13 for FIGNA, those asked for on Anda.

    A sequence has one precision a layer.
    """
    level: Level
    objective: Objective
    """Quantity that the search for mappings minimised."""
    cycles: int
    seconds: float
    macs: int
    bops_saving: float
    """16 over the MAC-weighted mean of the mantissa bits."""
    dram_bytes: int
    sram_bytes: int
    energy_pj: Energy
    area_mm2: float
    """NaN if nothing states the area of the elements."""
    runs: tuple[GemmRun, ...]

    @property
    def architecture(self) -> str:
        """Name of the machine."""
        return self.machine.name

    @property
    def technology(self) -> str:
        """Name of the process."""
        return self.process.name

    def to_dict(self) -> dict[str, Any]:
        """The totals as plain Python numbers, for JSON."""
        return {
            "cycles": self.cycles,
            "seconds": self.seconds,
            "macs": self.macs,
            "bops_saving": self.bops_saving,
            "dram_bytes": self.dram_bytes,
            "sram_bytes": self.sram_bytes,
            "energy_pj": self.energy_pj.to_dict(),
            "idle_pj": self.energy_pj.idle,
            "area_mm2": None if math.isnan(self.area_mm2) else self.area_mm2,
            "level": self.level,
        }
