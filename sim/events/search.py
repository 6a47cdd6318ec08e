"""The tiling of a GeMM in events: that of the search, if it is not slower than what longer mantissas would have had.

The search minimises energy by formulas. A larger tile, which shorter mantissas allow, never costs energy or traffic, but on
a small GeMM or a slow memory it may cost time: more has to be there before the array can go on. It is then left alone,
and the tiling of one bit more stays. So shorter mantissas cost neither bytes nor energy nor cycles: whichever tiling is
taken, it is at least as good as that of one bit more, with which every part of the plan is on time as early as before.
"""

import math
from collections.abc import Callable, Sequence
from functools import cache

from ..analytical import gemm as closed
from ..cost.energy import UnitCosts
from ..cost.objective import Objective
from ..cost.search import best_tiling
from ..mapping.mapped_gemm import MappedGemm
from ..mapping.tile_schedule import TileSchedule
from ..mapping.tiling import Tiling
from ..memory.dram import Dram
from .gemm import EventReport, run_events


def event_tiling(
    shapes: Sequence[MappedGemm], costs: UnitCosts, objective: Objective, dram: Callable[[], Dram]
) -> tuple[Tiling, EventReport]:
    """Choose a tiling, and run it.

    Args:
        shapes: the GeMM at its mantissa length, and at every longer one that the buffers allow, in order.
        costs, objective: as of `search.best_tiling`.
        dram: makes a fresh memory.
    """
    best = [best_tiling(shape, costs, objective) for shape in shapes]

    @cache
    def run(index: int, tiling: Tiling) -> EventReport:
        return run_events(shapes[index], TileSchedule(shapes[index], tiling), dram())

    def kept(index: int) -> Tiling:
        """The tiling at one of the lengths."""
        found = best[index]
        if len(set(best[index:])) == 1:
            return found
        if found != best[index + 1]:
            cycles = run(index, found).cycles
            if cycles <= closed.cycles(shapes[index + 1], 0, math.inf):
                return found  # no tiling of the longer mantissas is faster
        stays = kept(index + 1)
        return stays if stays != found and run(index, stays).cycles < run(index, found).cycles else found

    tiling = kept(0)
    return tiling, run(0, tiling)
