"""The choice among legal tilings: least energy, latency, or their product."""

from typing import Literal

from ..analytical import gemm as closed
from ..analytical.gemm import Traffic
from ..mapping.mapped_gemm import MappedGemm
from ..mapping.tiling import Tiling, tilings
from .energy import UnitCosts, Work

Objective = Literal["energy", "latency", "edp"]
"""What the search minimises; ``edp`` is the product of energy and latency."""


def gemm_work(mapped: MappedGemm, traffic: Traffic) -> Work:
    """What elements, side unit, buffers and DRAM do in one GeMM."""
    products = mapped.tiles * mapped.sparse_products
    return Work(
        element_cycles=mapped.element_cycles,
        skipped_cycles=mapped.skipped_cycles,
        array_cycles=mapped.array_cycles,
        operations={"fp16": products} if products else {},
        sram=traffic.sram,
        dram_bits=traffic.dram_bits,
    )


def best_tiling(mapped: MappedGemm, costs: UnitCosts, objective: Objective) -> Tiling:
    """The legal tiling that is best; the others of `energy` and `latency` decide between equals.

    The array does the same work in all of them, so they differ in DRAM traffic alone, and most often one tiling is best
    by every measure.
    """

    def score(tiling: Tiling) -> tuple[float, float]:
        traffic = closed.traffic(mapped, tiling)
        latency = closed.cycles(mapped, traffic.dram_bits, costs.dram_bits_per_cycle)
        picojoules = costs.energy(gemm_work(mapped, traffic), latency).total
        if objective == "edp":
            return picojoules * latency, latency
        return (picojoules, latency) if objective == "energy" else (latency, picojoules)

    found = tilings(mapped)
    return found[0] if len(found) == 1 else min(found, key=score)
