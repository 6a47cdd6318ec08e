"""The mapping of a GeMM at level `events`: the best by formulas, unless longer mantissas would get a faster one.

The search by formulas minimises energy. Shorter mantissas allow a larger tile, which never adds energy or traffic, but may
add cycles on a small GeMM or a slow memory, because more must be loaded before the array can continue. In that case the
mapping of one bit more is kept. So shorter mantissas never add bytes, energy or cycles: the mapping is at least as good as
that of one bit more, with which every part of the schedule is at least as early.
"""

from collections.abc import Callable, Sequence
from functools import cache

from ..analytical.gemm import work_cycles
from ..cost.energy import UnitCosts
from ..cost.objective import Objective
from ..cost.search import best_mapping
from ..mapping.gemm_mapping import GemmMapping
from ..mapping.mapped_gemm import MappedGemm
from ..memory.dram import Dram
from ..schedule.tile_schedule import TileSchedule
from .gemm import EventReport, run_events


def event_mapping(
    shapes: Sequence[MappedGemm], costs: UnitCosts, objective: Objective, dram: Callable[[], Dram]
) -> tuple[GemmMapping, EventReport]:
    """Choose a mapping and run it.

    Parameters
    ----------
    shapes
        The GeMM at its mantissa length, and at every longer one that the buffers allow, in order.
    costs, objective
        Unit costs and objective of `cost.search.best_mapping`.
    dram
        Function that makes a fresh memory.
    """
    best = [best_mapping(shape, costs, objective) for shape in shapes]

    @cache
    def run(index: int, mapping: GemmMapping) -> EventReport:
        return run_events(shapes[index], TileSchedule(shapes[index], mapping), dram())

    def kept(index: int) -> GemmMapping:
        """Mapping at one of the mantissa lengths."""
        found = best[index]
        if len(set(best[index:])) == 1:
            return found
        if found != best[index + 1]:
            cycles = run(index, found).cycles
            if cycles <= work_cycles(shapes[index + 1], shapes[index + 1].array_cycles):
                return found  # no mapping of the longer mantissas is faster
        stays = kept(index + 1)
        return stays if stays != found and run(index, stays).cycles < run(index, found).cycles else found

    mapping = kept(0)
    return mapping, run(0, mapping)
