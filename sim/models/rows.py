"""Parts of a model in a result: operations, cycles, traffic, energy, and the resource that limits them."""

from collections.abc import Iterable
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal

from ..analytical.busy import Bound, Busy, gemm_busy
from ..cost.energy import Energy, UnitCosts, Work
from ..result import GemmRun

Kind = Literal["fp-int", "attention", "vector", "head", "router", "embedding"]


@dataclass(frozen=True, slots=True)
class ModelRow:
    """One part of a model, summed over all layers."""

    name: str
    kind: Kind
    operations: int
    """Multiply-accumulates, or lane operations of the vector unit."""
    cycles: int
    dram_bytes: int
    sram_bytes: int
    energy_pj: Energy
    busy: Busy
    work: Work = field(default_factory=Work)
    """Counts that unit costs turn into energy; those of GeMMs are in their runs."""
    groups: int = 0
    """Groups of the array's tiles; only for attention."""
    unit_cycles: int = 0
    """Busy cycles of the vector unit; only for its own parts."""

    @property
    def bound(self) -> Bound:
        """The resource that works the longest."""
        return self.busy.bound

    @property
    def utilisation(self) -> float:
        """Share of the part's cycles in which its bound works; 0 for a part that is hidden behind another."""
        return self.busy.utilisation(self.cycles)

    def to_dict(self) -> dict[str, Any]:
        """Plain Python numbers, for JSON."""
        return {
            "name": self.name,
            "kind": self.kind,
            "operations": self.operations,
            "cycles": self.cycles,
            "dram_bytes": self.dram_bytes,
            "sram_bytes": self.sram_bytes,
            "energy_pj": self.energy_pj.to_dict(),
            "idle_pj": self.energy_pj.idle,
            "bound": self.bound,
            "utilisation": self.utilisation,
        }


def gemm_row(run: GemmRun, costs: UnitCosts, kind: Kind = "fp-int") -> ModelRow:
    """The row of a GeMM, with its repeats."""
    repeat = run.gemm.repeat
    return ModelRow(
        name=run.gemm.module,
        kind=kind,
        operations=run.gemm.total_macs,
        cycles=run.cycles * repeat,
        dram_bytes=_bytes(run.traffic.dram_bits) * repeat,
        sram_bytes=_bytes(run.traffic.sram.total) * repeat,
        energy_pj=Energy.sum([(run.energy_pj, repeat)]),
        busy=gemm_busy(run.mapped, run.array_cycles, run.traffic, costs.dram_bits_per_cycle) * repeat,
    )


def work_row(name: str, kind: Kind, cycles: int, work: Work, busy: Busy, costs: UnitCosts, **counts: int) -> ModelRow:
    """A row of some work with the energy that it takes; `counts` are operations, groups and cycles of the vector unit."""
    return ModelRow(
        name,
        kind,
        cycles=cycles,
        dram_bytes=_bytes(work.dram_bits),
        sram_bytes=_bytes(work.sram.total),
        energy_pj=costs.energy(work, cycles),
        work=work,
        busy=busy,
        **{"operations": 0, **counts},
    )


def add_rows(rows: Iterable[ModelRow]) -> tuple[ModelRow, ...]:
    """Rows of the same name added up, in the order in which they first come."""
    found: dict[str, ModelRow] = {}
    for row in rows:
        found[row.name] = _add(found[row.name], row) if row.name in found else row
    return tuple(found.values())


def _add(one: ModelRow, two: ModelRow) -> ModelRow:
    counts = ("operations", "cycles", "dram_bytes", "sram_bytes", "groups", "unit_cycles")
    return replace(
        one,
        energy_pj=Energy.sum([(one.energy_pj, 1), (two.energy_pj, 1)]),
        busy=one.busy + two.busy,
        work=_add_work(one.work, two.work),
        **{name: getattr(one, name) + getattr(two, name) for name in counts},
    )


def _add_work(one: Work, two: Work) -> Work:
    counts = {count.name: getattr(one, count.name) + getattr(two, count.name) for count in _COUNTS}
    kinds = {**one.operations, **two.operations}
    return Work(
        **counts,
        operations={kind: one.operations.get(kind, 0) + two.operations.get(kind, 0) for kind in kinds},
        sram=one.sram + two.sram,
    )


_COUNTS = [count for count in fields(Work) if count.name not in ("operations", "sram")]


def _bytes(bits: int) -> int:
    return -(-bits // 8)
