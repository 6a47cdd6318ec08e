"""The search for the best mapping of a GeMM.

The space: tile sizes of tokens, output channels and the reduction; the loop order; single or double buffers for each operand;
partial sums in the array, or in the buffer where the architecture has a place for them. Everything that costs follows from the
number of passes of each operand and the number of parts of the reduction. So of the mappings with equal numbers only the
smallest are looked at, all at once, and the formulas take arrays of them (`mapping.buffered`).
"""

from collections.abc import Callable, Iterable, Iterator
from operator import itemgetter
from typing import Any

import numpy as np

from ...formats.kernels.dispatch import use_compiled
from ..analytical.gemm import Traffic, array_cycles, bounds, traffic
from ..mapping.buffered import buffered_space, one_of, widened
from ..mapping.gemm_mapping import GemmMapping
from ..mapping.mapped_gemm import MappedGemm
from ..mapping.resident import array_mappings, check_legal, divided, is_legal, nothing_stays
from ..mapping.stationary import stationary_space
from .energy import UnitCosts
from .gemm_cost import fixed_pj, gemm_cost, gemm_work, score
from .objective import Objective

Found = tuple[tuple[float, float], GemmMapping]
"""A mapping after its score."""


def best_mapping(mapped: MappedGemm, costs: UnitCosts, objective: Objective) -> GemmMapping:
    """The legal mapping with the least energy, latency, energy-delay product or DRAM traffic.

    Of mappings that cost the same, one with sums in the array and double buffers is taken.
    """
    if mapped.architecture.scratchpad == "shared":
        each = [best_mapping(one, costs, objective) for one in divided(mapped) if is_legal(one)]
        if not each:
            check_legal(mapped)
        return best_of(mapped, each, costs, objective)
    if not mapped.holds_outputs:
        check_legal(mapped)
        return min(best_stationary(mapped, costs, objective), key=itemgetter(0))[1]
    found = array_mappings(mapped)
    if mapped.architecture.buffered_sums:
        found += [mapping for _, mapping in sorted(best_buffered(mapped, costs, objective), key=itemgetter(0))[:1]]
    return best_of(mapped, found, costs, objective)


def families(mapped: MappedGemm, costs: UnitCosts, objective: Objective) -> Iterator[list[GemmMapping]]:
    """The mappings that can be best in each family, those of a machine with a place for partial sums included.

    Those of a shared scratchpad are with the file's own division, or the first one in which the GeMM fits.
    """
    mapped = next((one for one in divided(mapped) if is_legal(one)), mapped)
    if not mapped.holds_outputs:
        check_legal(mapped)
        best: dict[str, Found] = {}
        for found in best_stationary(mapped, costs, objective):
            best[found[1].stays] = min(found, best.get(found[1].stays, found), key=itemgetter(0))
        yield from ([mapping] for _, mapping in best.values())
        return
    by_tile: dict[str, list[GemmMapping]] = {}
    for mapping in [*array_mappings(mapped), nothing_stays(mapped)]:
        by_tile.setdefault(mapping.stays, []).append(mapping)
    yield from by_tile.values()
    yield from ([mapping] for _, mapping in best_buffered(mapped, costs, objective))


def best_of(mapped: MappedGemm, mappings: Iterable[GemmMapping], costs: UnitCosts, objective: Objective) -> GemmMapping:
    """The best of some mappings; the first one of those that cost the same."""
    found = list(mappings)
    return found[0] if len(found) == 1 else min(found, key=lambda one: gemm_cost(mapped, one, costs).score(objective))


def best_buffered(mapped: MappedGemm, costs: UnitCosts, objective: Objective) -> list[Found]:
    """The best mapping of each family with partial sums in the buffer, after its score.

    The compiled kernel takes over when the work done so far has paid for loading it.
    """
    work = sum(_SEARCHED) + mapped.groups * mapped.column_tiles
    _SEARCHED[:] = [work]
    search = _compiled if use_compiled(work) else best_by_arrays
    return list(search(mapped, costs, objective))


_SEARCHED: list[int] = []
"""Tiles of the array, in groups and columns, of all GeMMs that were searched so far."""


def best_by_arrays(mapped: MappedGemm, costs: UnitCosts, objective: Objective) -> Iterator[Found]:
    """`best_buffered` in plain NumPy, the same bits."""
    rates, fixed = costs.rates(), fixed_pj(mapped, costs)

    def energy(space: GemmMapping, moved: Traffic, latency: Any) -> Any:
        found = fixed + rates.dram * moved.dram_bits + rates.activation_write * moved.activations
        found += rates.weight_write * moved.weights
        array = array_cycles(mapped, space)
        return found + (rates.sums * moved.sums + rates.array_cycle * array + rates.cycle * latency)

    for found, mapping in _best_of_spaces(mapped, buffered_space(mapped), costs, objective, energy):
        yield found, widened(mapped, mapping)


def best_stationary(
    mapped: MappedGemm, costs: UnitCosts, objective: Objective, double: bool = False
) -> Iterator[Found]:
    """The best mappings of an array whose elements hold an operand, after their scores; double-buffered ones if asked for."""
    spaces = stationary_space(mapped, 1 if double else 4)

    def energy(space: GemmMapping, moved: Traffic, latency: Any) -> Any:
        return costs.energy(gemm_work(mapped, space, moved), latency).total

    return _best_of_spaces(mapped, spaces, costs, objective, energy)


def _best_of_spaces(
    mapped: MappedGemm,
    spaces: Iterable[GemmMapping],
    costs: UnitCosts,
    objective: Objective,
    energy: Callable[[GemmMapping, Traffic, Any], Any],
) -> Iterator[Found]:
    """The best mapping of each of some mappings with arrays."""
    for space in spaces:
        moved = traffic(mapped, space)
        limits = np.broadcast_arrays(*bounds(mapped, space, moved, costs.dram_bits_per_cycle))
        latency = np.ceil(np.maximum.reduce(limits))
        first, second = score(objective, energy(space, moved, latency), latency, moved.dram_bits)
        index = int(np.lexsort((-space.activation_copies - space.weight_copies, second, first))[0])
        yield (float(first[index]), float(second[index])), one_of(space, index)


def _compiled(mapped: MappedGemm, costs: UnitCosts, objective: Objective) -> Iterator[Found]:
    from .compiled_search import best_compiled

    return best_compiled(mapped, costs, objective)
