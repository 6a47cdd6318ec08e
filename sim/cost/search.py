"""Cost of one GeMM at level `analytical`, and the search for its best legal tiling."""

from dataclasses import dataclass

from ..analytical.gemm import Traffic, cycles, traffic
from ..mapping.mapped_gemm import MappedGemm
from ..mapping.tiling import Tiling, tilings
from .energy import Energy, UnitCosts, Work
from .objective import Objective


@dataclass(frozen=True, slots=True)
class GemmCost:
    """Traffic, cycles and energy of one GeMM with one tiling."""

    tiling: Tiling
    traffic: Traffic
    cycles: int
    energy_pj: Energy


def gemm_work(mapped: MappedGemm, moved: Traffic) -> Work:
    """Work of elements, side unit, buffers and DRAM in one GeMM."""
    products = mapped.tiles * mapped.sparse_products
    return Work(
        element_cycles=mapped.element_cycles,
        skipped_cycles=mapped.skipped_cycles,
        array_cycles=mapped.array_cycles,
        operations={"fp16": products} if products else {},
        sram=moved.sram,
        dram_bits=moved.dram_bits,
    )


def gemm_cost(mapped: MappedGemm, tiling: Tiling, costs: UnitCosts) -> GemmCost:
    """Cost of one GeMM with a tiling, from formulas."""
    moved = traffic(mapped, tiling)
    latency = cycles(mapped, moved.dram_bits, costs.dram_bits_per_cycle)
    return GemmCost(tiling, moved, latency, costs.energy(gemm_work(mapped, moved), latency))


def best_tiling(mapped: MappedGemm, costs: UnitCosts, objective: Objective) -> Tiling:
    """The legal tiling with the least energy, latency or energy-delay product.

    The array does the same work in all tilings, so they differ in DRAM traffic alone, and most often one tiling is best
    by every measure. Ties in energy are decided by latency, and ties in latency by energy.
    """

    def score(tiling: Tiling) -> tuple[float, float]:
        cost = gemm_cost(mapped, tiling, costs)
        picojoules, latency = cost.energy_pj.total, cost.cycles
        if objective == "edp":
            return picojoules * latency, latency
        return (picojoules, latency) if objective == "energy" else (latency, picojoules)

    found = tilings(mapped)
    return found[0] if len(found) == 1 else min(found, key=score)
