"""Cost of one GeMM with a mapping at level `analytical`."""

from dataclasses import dataclass, replace
from typing import Any

from ..analytical.gemm import Traffic, array_cycles, cycles, traffic
from ..mapping.gemm_mapping import GemmMapping
from ..mapping.mapped_gemm import MappedGemm
from .energy import Energy, UnitCosts, Work
from .objective import Objective


@dataclass(frozen=True, slots=True)
class GemmCost:
    """Traffic, cycles and energy of one GeMM with one mapping."""

    mapping: GemmMapping
    traffic: Traffic
    cycles: int
    energy_pj: Energy

    def score(self, objective: Objective) -> tuple[float, float]:
        """The value to minimise, and the value that decides ties."""
        return score(objective, self.energy_pj.total, self.cycles, self.traffic.dram_bits)


def gemm_work(mapped: MappedGemm, mapping: GemmMapping, moved: Traffic) -> Work:
    """Work of elements, side unit, buffers and DRAM in one GeMM."""
    sparse = mapped.architecture.weights.sparse_weights(mapped.in_channels)
    return Work(
        element_cycles=mapped.element_cycles,
        used_cycles=mapped.element_cycles * mapped.used_share,
        busy_cycles=mapped.busy_cycles,
        skipped_cycles=mapped.skipped_cycles,
        array_cycles=array_cycles(mapped, mapping),
        side_products=mapped.tiles * mapped.sparse_products,
        used_side_products=mapped.tokens * mapped.out_channels * sparse,
        sum_additions=0 if mapped.holds_outputs else mapped.tokens * mapped.out_channels * mapping.saves(mapped),
        sram=moved.sram,
        dram_bits=moved.dram_bits,
    )


def gemm_cost(mapped: MappedGemm, mapping: GemmMapping, costs: UnitCosts) -> GemmCost:
    """Cost of one GeMM with a mapping, from formulas."""
    moved = traffic(mapped, mapping)
    latency = cycles(mapped, mapping, moved, costs.dram_bits_per_cycle)
    return GemmCost(mapping, moved, latency, costs.energy(gemm_work(mapped, mapping, moved), latency))


def fixed_pj(mapped: MappedGemm, costs: UnitCosts) -> float:
    """Energy of a GeMM without the counts of `UnitCosts.rates`, in pJ."""
    once = GemmMapping("activations", mapped.tokens, mapped.in_channels, mapped.out_channels)
    moved = traffic(mapped, once)
    sram = replace(moved.sram, activation_writes=moved.results, weight_writes=0)
    work = replace(gemm_work(mapped, once, moved), array_cycles=0, sram=sram, dram_bits=0)
    return float(costs.energy(work, 0).total)


def score(objective: Objective, picojoules: Any, latency: Any, dram_bits: Any) -> tuple[Any, Any]:
    """The value to minimise, and the one that decides ties: latency, or energy where latency or traffic is minimised."""
    if objective == "edp":
        return picojoules * latency, latency
    if objective == "dram":
        return dram_bits, picojoules
    return (picojoules, latency) if objective == "energy" else (latency, picojoules)
