"""Cost of a list of GeMMs on one machine, prepared once and then asked for many precisions."""

from collections.abc import Iterable
from dataclasses import dataclass

from ...workloads import Gemm, Precision
from ..config.architecture import Architecture
from ..config.technology import Technology
from ..mapping.mapped_gemm import map_gemm
from .energy import Energy, unit_costs
from .gemm_cost import GemmCost, gemm_cost
from .objective import Objective
from .search import best_mapping


@dataclass(frozen=True, slots=True)
class TotalCost:
    """Cycles and energy of a list of GeMMs, repeats included."""

    cycles: int
    energy_pj: Energy


class MachineCost:
    """Cost of GeMMs on an architecture in a technology, at level `analytical` with the best mapping of each GeMM.

    The numbers are those of `simulate`. Unit costs are derived once, and each GeMM is computed once for every pair of
    mantissa lengths that it meets: its own and that of its results.

    Parameters
    ----------
    architecture
        The machine.
    technology
        Areas, powers and memories.
    objective
        Quantity that the search for each GeMM's mapping minimises.

    Examples
    --------
    >>> from anda_codesign.sim import load_architecture, load_technology
    >>> from anda_codesign.workloads import Precision, gemms, model_shape
    >>> cost = MachineCost(load_architecture("anda"), load_technology())
    >>> cost.total(gemms(model_shape("OPT-125M"), tokens=2048), Precision(7, 5, 6, 6)).cycles
    76089720
    """

    def __init__(self, architecture: Architecture, technology: Technology, objective: Objective = "energy") -> None:
        self.architecture = architecture
        self.objective: Objective = objective
        self.costs = unit_costs(architecture, technology)
        self._known: dict[tuple[Gemm, int, int | None], GemmCost] = {}

    def gemm(self, gemm: Gemm, precision: Precision) -> GemmCost:
        """Cost of one of a GeMM's `repeat` products.

        Parameters
        ----------
        gemm
            The product; its module selects mantissa bits from `precision`.
        precision
            Mantissa bits asked for; an architecture with fixed bits uses its own.

        Raises
        ------
        InputError
            The module is unknown, a size is not positive, or a buffer is too small.
        """
        mapped = map_gemm(gemm, self.architecture, self.architecture.precision(precision))
        key = gemm, mapped.mantissa_bits, mapped.result_mantissa_bits
        if key not in self._known:
            mapping = best_mapping(mapped, self.costs, self.objective)
            self._known[key] = gemm_cost(mapped, mapping, self.costs)
        return self._known[key]

    def total(self, gemms: Iterable[Gemm], precision: Precision) -> TotalCost:
        """Cost of all GeMMs, one after the other, with all their repeats."""
        parts = [(self.gemm(gemm, precision), gemm.repeat) for gemm in gemms]
        return TotalCost(
            sum(cost.cycles * repeat for cost, repeat in parts),
            Energy.sum((cost.energy_pj, repeat) for cost, repeat in parts),
        )
