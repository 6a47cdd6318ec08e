"""The mapping of each GeMM of a result, the best one of every family, and what these would cost."""

from collections.abc import Iterator
from dataclasses import dataclass

from ..cost.gemm_cost import gemm_cost
from ..cost.search import best_of, families
from ..mapping.gemm_mapping import GemmMapping, PartialSums, Stays
from ..result import GemmRun, SimulationResult


@dataclass(frozen=True, slots=True)
class MappingCost:
    """A mapping of one GeMM and its cost at level `analytical`; numbers are for one of the GeMM's products."""

    module: str
    stays: Stays
    partial_sums: PartialSums
    mapping: str
    """Its text, as the option `mapping` takes it."""
    chosen: bool
    """True for the mapping of the result."""
    possible: bool
    """False if the architecture keeps partial sums in the array and the mapping does not."""
    cycles: int
    dram_bytes: int
    sram_bytes: int
    energy_pj: float


def mapping_costs(result: SimulationResult) -> list[MappingCost]:
    """For each GeMM the mapping of the result, and the best of every family by the same objective."""
    return [row for run in result.runs for row in _mappings_of(run, result)]


def _mappings_of(run: GemmRun, result: SimulationResult) -> Iterator[MappingCost]:
    yield _cost(run, run.mapping, result)
    for family in families(run.mapped, result.costs, result.objective):
        found = best_of(run.mapped, family, result.costs, result.objective)
        if found != run.mapping:
            yield _cost(run, found, result)


def _cost(run: GemmRun, mapping: GemmMapping, result: SimulationResult) -> MappingCost:
    cost = gemm_cost(run.mapped, mapping, result.costs)
    return MappingCost(
        run.gemm.module,
        mapping.stays,
        mapping.partial_sums,
        str(mapping),
        mapping == run.mapping,
        not mapping.buffered_sums or result.machine.buffered_sums,
        cost.cycles,
        -(-cost.traffic.dram_bits // 8),
        -(-cost.traffic.sram.total // 8),
        cost.energy_pj.total,
    )
