"""Where every number of a result comes from: count x unit = total, row by row, with the source of the unit."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from .dram import Tensor
from .result import GemmRun, SimulationResult
from .technology import Component

Quantity = Literal["cycles", "traffic", "energy", "area"]


@dataclass(frozen=True, slots=True)
class Explained:
    """One row; the totals of a quantity's rows add up to that of the result."""

    quantity: Quantity
    part: str
    """``qkv`` and so on for cycles and traffic, ``compute``, ``sram`` and ``dram`` for energy."""
    what: str
    count: int
    count_unit: str
    unit: float
    unit_unit: str
    source: str

    @property
    def total(self) -> float:
        """``count * unit``."""
        return self.count * self.unit

    @property
    def total_unit(self) -> str:
        """Unit of the total."""
        return self.unit_unit.partition("/")[0]


def explain(result: SimulationResult) -> list[Explained]:
    """All rows: cycles and traffic by GeMM, energy by kind of event, area by part."""
    return [
        *(row for run in result.runs for row in _cycles(run)),
        *(row for run in result.runs for row in _traffic(run)),
        *_compute(result),
        *_sram(result),
        *_dram(result),
        *_area(result),
    ]


def _cycles(run: GemmRun) -> Iterator[Explained]:
    problem, repeat = run.problem, run.gemm.repeat
    bound = "groups x cycles per group, formats/latency.py"
    if problem.tile_cycles > problem.reduction_cycles:
        bound = "the outputs of the tile before leave one column a cycle"
    yield Explained(
        "cycles",
        run.gemm.module,
        "tiles of the array",
        problem.tiles * repeat,
        "tile",
        problem.tile_cycles,
        "cycle/tile",
        f"{problem.groups} groups of {problem.group_cycles} cycles: {bound}",
    )
    what = "filling and draining" if run.report is None else "filling, draining and waiting"
    yield Explained(
        "cycles",
        run.gemm.module,
        what,
        repeat,
        "GeMM",
        run.cycles - problem.array_cycles,
        "cycle/GeMM",
        "sim/closed.py" if run.report is None else "sim/events.py",
    )


def _traffic(run: GemmRun) -> Iterator[Explained]:
    problem, tiling, repeat = run.problem, run.tiling, run.gemm.repeat
    passes: dict[Tensor, int] = {
        "activations": tiling.activation_passes(problem),
        "weights": tiling.weight_passes(problem),
        "results": 1,
    }
    for tensor, times in passes.items():
        yield Explained(
            "traffic",
            run.gemm.module,
            f"{tensor} over DRAM",
            times * repeat,
            "pass",
            run.traffic.tensor_bits[tensor] / 8,
            "B/pass",
            str(tiling),
        )


def _compute(result: SimulationResult) -> Iterator[Explained]:
    process, costs = result.process, result.costs
    element = process.element(result.machine.processing_element.kind)
    source = f"{process.array.power.source}; {element.power.source}"
    cycles = sum(run.problem.element_cycles * run.gemm.repeat for run in result.runs)
    yield _energy("compute", "array", cycles, "cycle", costs.array_pj_per_cycle, source)
    cycles = sum(run.array_cycles * run.gemm.repeat for run in result.runs)
    if products := sum(run.problem.tiles * run.problem.sparse_products * run.gemm.repeat for run in result.runs):
        yield _energy("compute", "sparse weights", products, "product", costs.vector_pj_per_operation, source)
    for name, picojoules in costs.support_pj_per_cycle.items():
        part: Component = getattr(process, name)
        yield _energy("compute", name, cycles, "cycle", picojoules, part.power.source)


def _sram(result: SimulationResult) -> Iterator[Explained]:
    process, costs = result.process, result.costs.sram
    published = f"{process.activation_buffer.power.source}; {process.weight_buffer.power.source}"
    source = published if process.sram is None else f"{process.sram.table}, {process.sram.device}"
    for buffer in ("activation", "weight"):
        for action in ("read", "write"):
            bits = sum(getattr(run.traffic.sram, f"{buffer}_{action}s") * run.gemm.repeat for run in result.runs)
            picojoules = getattr(costs, f"{buffer}_{action}_pj_per_bit")
            yield _energy("sram", f"{buffer} buffer, {action}", bits, "bit", picojoules, source)
    yield _energy("sram", "leakage", result.cycles, "cycle", costs.leakage_pj_per_cycle, source)


def _dram(result: SimulationResult) -> Iterator[Explained]:
    energy = result.process.dram.energy
    for tensor in ("activations", "weights", "results"):
        bits = sum(getattr(run.traffic, tensor) * run.gemm.repeat for run in result.runs)
        yield _energy("dram", tensor, bits, "bit", energy.value, energy.source)


def _energy(part: str, what: str, count: int, count_unit: str, picojoules: float, source: str) -> Explained:
    return Explained("energy", part, what, count, count_unit, picojoules, f"pJ/{count_unit}", source)


def _area(result: SimulationResult) -> Iterator[Explained]:
    process = result.process
    for name, area in result.costs.area_mm2.items():
        if process.sram is not None and name.endswith("_buffer"):
            source = f"{process.sram.table}, {process.sram.device}"
        else:
            part: Component = getattr(process, name)
            source = part.area.source
            if name == "array":
                source += f"; {process.element(result.machine.processing_element.kind).area.source}"
        yield Explained("area", "area", name, 1, "part", area, "mm^2/part", source)
