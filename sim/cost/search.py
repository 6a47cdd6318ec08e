"""Cost of one GeMM at level `analytical`, and the search for its best mapping.

The space: tile sizes of tokens, output channels and the reduction; the loop order; single or double buffers for each operand;
partial sums in the array, or in the buffer where the architecture has a place for them. Everything that costs follows from the
number of passes of each operand and the number of parts of the reduction. So of the mappings with equal numbers only the
smallest are looked at, all at once, and the formulas take arrays of them (`mapping.buffered`).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..analytical.gemm import Traffic, array_cycles, bounds, cycles, traffic
from ..mapping.buffered import buffered_space, one_of, widened
from ..mapping.gemm_mapping import GemmMapping
from ..mapping.mapped_gemm import MappedGemm
from ..mapping.resident import array_mappings, nothing_stays
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
        """What an objective minimises; ties in energy or traffic are decided by latency, and ties in latency by energy."""
        return _score(objective, self.energy_pj.total, self.cycles, self.traffic.dram_bits)


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
        sram=moved.sram,
        dram_bits=moved.dram_bits,
    )


def gemm_cost(mapped: MappedGemm, mapping: GemmMapping, costs: UnitCosts) -> GemmCost:
    """Cost of one GeMM with a mapping, from formulas."""
    moved = traffic(mapped, mapping)
    latency = cycles(mapped, mapping, moved, costs.dram_bits_per_cycle)
    return GemmCost(mapping, moved, latency, costs.energy(gemm_work(mapped, mapping, moved), latency))


def best_mapping(mapped: MappedGemm, costs: UnitCosts, objective: Objective) -> GemmMapping:
    """The legal mapping with the least energy, latency, energy-delay product or DRAM traffic.

    Of mappings that cost the same, one with sums in the array and double buffers is taken.
    """
    found = array_mappings(mapped)
    if mapped.architecture.partial_sums == "buffer":
        found += best_buffered(mapped, costs, objective)
    return best_of(mapped, found, costs, objective)


def families(mapped: MappedGemm, costs: UnitCosts, objective: Objective) -> Iterator[list[GemmMapping]]:
    """The mappings that can be best in each family, those of a machine with a place for partial sums included."""
    by_tile: dict[str, list[GemmMapping]] = {}
    for mapping in [*array_mappings(mapped), nothing_stays(mapped)]:
        by_tile.setdefault(mapping.stays, []).append(mapping)
    yield from by_tile.values()
    yield from ([mapping] for mapping in best_buffered(mapped, costs, objective))


def best_of(mapped: MappedGemm, mappings: Iterable[GemmMapping], costs: UnitCosts, objective: Objective) -> GemmMapping:
    """The best of some mappings; the first one of those that cost the same."""
    found = list(mappings)
    return found[0] if len(found) == 1 else min(found, key=lambda one: gemm_cost(mapped, one, costs).score(objective))


def best_buffered(mapped: MappedGemm, costs: UnitCosts, objective: Objective) -> Iterator[GemmMapping]:
    """The best mapping of each family with partial sums in the buffer."""
    for space in buffered_space(mapped):
        moved = traffic(mapped, space)
        work = gemm_work(mapped, space, moved)
        latency = np.ceil(
            np.maximum.reduce(np.broadcast_arrays(*bounds(mapped, space, moved, costs.dram_bits_per_cycle)))
        )
        first, second = _score(objective, costs.energy(work, latency).total, latency, moved.dram_bits)
        index = int(np.lexsort((-space.activation_copies - space.weight_copies, second, first))[0])
        yield widened(mapped, one_of(space, index))


def _score(objective: Objective, picojoules: Any, latency: Any, dram_bits: Any) -> tuple[Any, Any]:
    if objective == "edp":
        return picojoules * latency, latency
    if objective == "dram":
        return dram_bits, picojoules
    return (picojoules, latency) if objective == "energy" else (latency, picojoules)
