"""The choice among legal tilings: least energy, latency, or their product."""

from typing import Literal

from . import closed
from .closed import Traffic
from .energy import UnitCosts
from .problem import Problem
from .result import Energy
from .tiling import Tiling, tilings

Objective = Literal["energy", "latency", "edp"]
"""What the search minimises; ``edp`` is the product of energy and latency."""


def energy(problem: Problem, traffic: Traffic, costs: UnitCosts, cycles: int) -> Energy:
    """Energy of one GeMM of so many cycles: what its elements, buffers and DRAM do, at what that costs."""
    return Energy(
        compute=costs.compute_pj(problem.element_cycles, problem.array_cycles)
        + problem.tiles * problem.sparse_products * costs.vector_pj_per_operation,
        sram=costs.sram_pj(traffic.sram, cycles),
        dram=traffic.dram_bits * costs.dram_pj_per_bit,
    )


def best_tiling(problem: Problem, costs: UnitCosts, objective: Objective) -> Tiling:
    """The legal tiling that is best; the others of `energy` and `latency` decide between equals.

    The array does the same work in all of them, so they differ in DRAM traffic alone, and most often one tiling is best
    by every measure. Where only a tile that is too large to be there twice saves traffic, latency and energy differ.
    """

    def score(tiling: Tiling) -> tuple[float, float]:
        traffic = closed.traffic(problem, tiling)
        exposed = tiling.exposed_bits(problem)
        latency = closed.cycles(problem, traffic.dram_bits, costs.dram_bits_per_cycle, exposed)
        picojoules = energy(problem, traffic, costs, latency).total
        if objective == "edp":
            return picojoules * latency, latency
        return (picojoules, latency) if objective == "energy" else (latency, picojoules)

    found = tilings(problem)
    return found[0] if len(found) == 1 else min(found, key=score)
