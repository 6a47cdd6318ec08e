"""Derivation of every number of a result: count x unit = total, row by row, with the source of the unit."""

import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from ..config.technology import Component, Technology
from ..cost.element_costs import element_ratios
from ..cost.energy import Work
from ..cost.gemm_cost import gemm_work
from ..mapping.folds import fills
from ..memory.dram import Tensor
from ..models.inference import InferenceResult
from ..models.rows import Kind, ModelRow
from ..models.whole_model import ModelResult
from ..result import GemmRun, SimulationResult
from ..settings import Level

Quantity = Literal["cycles", "traffic", "energy", "area"]


@dataclass(frozen=True, slots=True)
class Explained:
    """One row; the totals of all rows of a quantity add up to the result's total."""

    quantity: Quantity
    part: str
    """Part of the model for cycles and traffic; ``compute``, ``sram``, ``dram`` or ``background`` for energy."""
    what: str
    count: float
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


class PartWork(NamedTuple):
    """Work of a part, its cycles, and how often it runs."""

    work: Work
    cycles: int
    repeat: int


def explain(result: SimulationResult | ModelResult | InferenceResult) -> list[Explained]:
    """All rows: cycles and traffic by part of the model, energy by kind of event, area by part of the machine.

    The parts of a whole inference are named by their phase, too: ``decode: qkv``.
    """
    if isinstance(result, InferenceResult):
        phases = [(phase, explain(part)) for phase, part in result.phases]
        rows = [replace(row, part=f"{phase}: {row.part}") for phase, rows in phases for row in rows]
        return [*(row for row in rows if row.quantity != "area"), *_area(result.prefill.gemms)]
    fp_int, runs, others = _parts(result)
    works = [
        *(PartWork(gemm_work(run.mapped, run.mapping, run.traffic), run.cycles, run.gemm.repeat) for run in runs),
        *(PartWork(row.work, row.cycles, 1) for row in others),
    ]
    tensors = {name: sum(getattr(run.traffic, name) * run.gemm.repeat for run in runs) for name in TENSORS}
    for row in others:
        tensors[OTHER_TENSORS[row.kind]] = tensors.get(OTHER_TENSORS[row.kind], 0) + row.work.dram_bits
    return [
        *(row for run in runs for row in _cycles(run, fp_int.level)),
        *(row for other in others for row in _other_cycles(other)),
        *(row for run in runs for row in _traffic(run)),
        *(_other_traffic(other) for other in others if other.work.dram_bits),
        *_compute(fp_int, works),
        *_sram(fp_int, works, result.cycles),
        *_dram(fp_int.process, tensors),
        *_background(fp_int, result.energy_pj.background, result.cycles),
        *_area(fp_int),
    ]


BACKGROUND_SOURCE = "sim/memory/background.py: currents of the memory file"

TENSORS: tuple[Tensor, ...] = ("activations", "weights", "results")
OTHER_TENSORS: dict[Kind, str] = {
    "attention": "queries, keys, values and outputs",
    "vector": "operands and results of the vector unit",
    "embedding": "embeddings and residual stream",
}
SOURCES: dict[Kind, str] = {
    "attention": "sim/analytical/attention.py",
    "vector": "sim/analytical/vector_work.py",
    "embedding": "sim/models/ends.py",
}


def _parts(
    result: SimulationResult | ModelResult,
) -> tuple[SimulationResult, tuple[GemmRun, ...], tuple[ModelRow, ...]]:
    """The FP-INT GeMMs, all GeMMs, and the rows of all other parts."""
    if isinstance(result, SimulationResult):
        return result, result.runs, ()
    others = tuple(row for row in result.other_rows if row.kind not in ("head", "router"))
    return result.gemms, (*result.gemms.runs, *result.fp16_runs), others


def _cycles(run: GemmRun, level: Level) -> Iterator[Explained]:
    mapped, repeat = run.mapped, run.gemm.repeat
    if not mapped.holds_outputs:
        yield from _fold_cycles(run, level)
        return
    formula = mapped.architecture.processing_element.cycles_per_group
    where = "formats/latency/array.py" if formula is None else f"{formula}, or the stream of weights"
    bound, tile_cycles = f"groups x cycles per group, {where}", mapped.tile_cycles
    if tile_cycles > mapped.reduction_cycles:
        bound = "the outputs of the tile before leave one column a cycle"
    if run.mapping.buffered_sums:
        tile_cycles = -(-run.array_cycles // mapped.tiles)
        bound = f"in parts of {run.mapping.in_channels} channels, after each of which the sums leave, sim/mapping/mapped_gemm.py"
    yield Explained(
        "cycles",
        run.gemm.module,
        "tiles of the array",
        mapped.tiles * repeat,
        "tile",
        tile_cycles,
        "cycle/tile",
        f"{mapped.groups} groups of {mapped.group_cycles:g} cycles: {bound}",
    )
    yield _rest(run, level, mapped.tiles * tile_cycles)


def _fold_cycles(run: GemmRun, level: Level) -> Iterator[Explained]:
    """Cycles of an array whose elements hold an operand: its steps, its fills, and the rest."""
    mapped, held = run.mapped, run.mapped.dataflow.held
    steps, filled = mapped.folds * mapped.fold_steps, mapped.folds * fills(mapped, run.mapping)
    counts = (
        (f"steps past the {held} in the array", steps, "step", mapped.step_cycles, "sim/dataflow/"),
        (f"fills of the array with {held}", filled, "fill", mapped.fill_cycles, str(run.mapping)),
    )
    for what, count, unit, cycles, source in counts:
        yield Explained("cycles", run.gemm.module, what, count * run.gemm.repeat, unit, cycles, f"cycle/{unit}", source)
    yield _rest(run, level, steps * mapped.step_cycles + filled * mapped.fill_cycles)


def _rest(run: GemmRun, level: Level, explained: int) -> Explained:
    """Cycles of a GeMM beside those that are explained already."""
    level = level if run.report is None else "events"
    what = "filling and draining" if level == "analytical" else "filling, draining and waiting"
    sources = {
        "analytical": "sim/analytical/gemm.py",
        "events": "sim/events/gemm.py",
        "cycle": "sim/cycle/accelerator.py",
    }
    return Explained(
        "cycles",
        run.gemm.module,
        what,
        run.gemm.repeat,
        "GeMM",
        run.cycles - explained,
        "cycle/GeMM",
        sources[level],
    )


def _other_cycles(row: ModelRow) -> Iterator[Explained]:
    """Cycles of the other parts: the work itself, and the difference by waiting or overlap."""
    if row.kind == "attention":
        group = row.work.array_cycles // row.groups
        yield Explained(
            "cycles",
            row.name,
            "groups of tiles",
            row.groups,
            "group",
            group,
            "cycle/group",
            "sim/analytical/attention.py",
        )
        done = row.groups * group
    elif row.kind == "embedding":
        done = 0
    else:
        done = row.unit_cycles
        program = "sim/analytical/integer_vector.py" if "add" in row.work.operations else "formats/vector/programs.py"
        source = f"{row.operations} operations: {program}"
        yield Explained("cycles", row.name, "steps of all lanes", done, "step", 1, "cycle/step", source)
    if row.cycles != done:
        what = "filling, DRAM, ports and waiting, less what overlaps"
        source = SOURCES[row.kind] if row.kind == "embedding" else "sim/models/layer.py"
        yield Explained("cycles", row.name, what, 1, "run", row.cycles - done, "cycle/run", source)


def _traffic(run: GemmRun) -> Iterator[Explained]:
    mapped, mapping, repeat = run.mapped, run.mapping, run.gemm.repeat
    passes: dict[Tensor, int] = {
        "activations": mapping.activation_passes(mapped),
        "weights": mapping.weight_passes(mapped),
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
            str(mapping),
        )


def _other_traffic(row: ModelRow) -> Explained:
    what = f"{OTHER_TENSORS[row.kind]} over DRAM"
    return Explained("traffic", row.name, what, 1, "pass", row.work.dram_bits / 8, "B/pass", SOURCES[row.kind])


def _compute(result: SimulationResult, works: list[PartWork]) -> Iterator[Explained]:
    process, costs = result.process, result.costs
    idle = costs.idle
    element = element_ratios(result.machine, process)
    own = result.machine.processing_element.amounts.get("energy_per_cycle")
    is_absolute = own is not None and own.relative_to is None
    source = element.power.source if is_absolute else f"{process.array.power.source}; {element.power.source}"
    if process.skipping is not None and any(run.mapped.skips for run in result.runs):
        source += f"; {process.skipping.power.source}"
    used, empty = (
        math.fsum(part.work.element_cycles * share(part.work) * part.repeat for part in works)
        for share in (lambda work: work.used_share, lambda work: 1 - work.used_share)
    )
    pj = costs.array_pj_per_cycle
    yield _energy("compute", "array", used, "cycle", pj, source)
    yield _energy("compute", "array, elements without operands", empty, "cycle", pj * idle.elements, idle.source)
    waiting = sum((part.cycles - part.work.busy_cycles) * part.repeat for part in works)
    yield _energy("compute", "array, waiting", waiting, "cycle", idle.waiting_pj_per_cycle, idle.waiting_source)
    effective = (
        w.work.skipped_cycles * (w.work.used_share + (1 - w.work.used_share) * idle.elements) * w.repeat for w in works
    )
    if skipped := math.fsum(effective):
        assert process.skipping is not None
        source = process.skipping.plane.source
        yield _energy("compute", "array, skipped planes", skipped, "cycle", costs.skipped_pj_per_cycle, source)
    yield from _side_unit(result, works)
    if additions := sum(part.work.sum_additions * part.repeat for part in works):
        source = _operation_source(process, "fp16")
        yield _energy("compute", "partial sums, additions", additions, "operation", costs.addition_pj, source)
    counts: dict[str, int] = defaultdict(int)
    for part in works:
        for kind, count in part.work.operations.items():
            counts[kind] += count * part.repeat
    for kind, count in counts.items():
        yield _energy(
            "compute",
            f"vector unit, {kind}",
            count,
            "operation",
            costs.operation_pj(kind),
            _operation_source(process, kind),
        )
    cycles = sum(part.work.array_cycles * part.repeat for part in works)
    for name, picojoules in costs.support_pj_per_cycle.items():
        component: Component = getattr(process, name)
        yield _energy("compute", name, cycles, "cycle", picojoules, component.power.source)


def _side_unit(result: SimulationResult, works: list[PartWork]) -> Iterator[Explained]:
    """Rows of the side unit of sparse weights."""
    idle, source = result.costs.idle, _operation_source(result.process, "fp16")
    if not idle.side_lanes:
        return
    products, used, waiting = (
        sum(count(part) * part.repeat for part in works)
        for count in (
            lambda part: part.work.side_products,
            lambda part: part.work.used_side_products,
            lambda part: part.cycles * idle.side_lanes - part.work.side_products,
        )
    )
    yield _energy("compute", "sparse weights", used, "operation", idle.side_pj, source)
    empty = products - used
    yield _energy("compute", "sparse weights, idle lanes", empty, "operation", idle.side_pj * idle.side, source)
    yield _energy("compute", "sparse weights, waiting lanes", waiting, "cycle", idle.side_waiting_pj, source)


def _operation_source(process: Technology, kind: str) -> str:
    fp16 = f"{process.array.power.source}; {process.element('fp-fp').power.source}"
    return f"{process.vector_operations[kind].source}; {fp16}"


def _sram(result: SimulationResult, works: list[PartWork], cycles: int) -> Iterator[Explained]:
    process, costs = result.process, result.costs.sram
    published = f"{process.activation_buffer.power.source}; {process.weight_buffer.power.source}"
    source = published if process.sram is None else f"{process.sram.table}, {process.sram.device}"
    for buffer in ("activation", "weight"):
        for action in ("read", "write"):
            bits = sum(getattr(part.work.sram, f"{buffer}_{action}s") * part.repeat for part in works)
            picojoules = getattr(costs, f"{buffer}_{action}_pj_per_bit")
            yield _energy("sram", f"{buffer} buffer, {action}", bits, "bit", picojoules, source)
    for action in ("read", "write"):
        if bits := sum(getattr(part.work.sram, f"sum_{action}s") * part.repeat for part in works):
            picojoules = getattr(costs, f"activation_{action}_pj_per_bit")
            yield _energy("sram", f"partial sums, {action}", bits, "bit", picojoules, source)
    yield _energy("sram", "leakage", cycles, "cycle", costs.leakage_pj_per_cycle, source)


def _dram(process: Technology, tensors: dict[str, int]) -> Iterator[Explained]:
    energy = process.dram.energy
    for name, bits in tensors.items():
        if bits:
            yield _energy("dram", name, bits, "bit", energy.value, energy.source)


def _background(result: SimulationResult, background_pj: float, cycles: int) -> Iterator[Explained]:
    """Standby and refresh of the DRAM over all cycles, and what the cycles in which data moves take above standby."""
    power = result.costs.background
    if power is None:
        return
    pj_per_watt = 1e12 / result.costs.clock_hz
    rows = {"standby": power.standby_w, "refresh": power.refresh_w}
    for what, watts in rows.items():
        yield _energy("background", what, cycles, "cycle", watts * pj_per_watt, BACKGROUND_SOURCE)
    above = (power.active_w - power.standby_w) * pj_per_watt
    rest = background_pj - cycles * pj_per_watt * math.fsum(rows.values())
    yield _energy("background", "active standby", rest / above if above else 0, "cycle", above, BACKGROUND_SOURCE)


def _energy(part: str, what: str, count: float, count_unit: str, picojoules: float, source: str) -> Explained:
    return Explained("energy", part, what, count, count_unit, picojoules, f"pJ/{count_unit}", source)


def _area(result: SimulationResult) -> Iterator[Explained]:
    process = result.process
    for name, area in result.costs.area_mm2.items():
        if math.isnan(area):
            continue
        if process.sram is not None and (name.endswith("_buffer") or name == "scratchpad"):
            source = f"{process.sram.table}, {process.sram.device}"
        elif name == "accumulators":
            baseline = process.element(process.reference.baseline).area
            assert baseline is not None  # the area is known
            source = f"{process.array.area.source}; {baseline.source}"
        else:
            part: Component = getattr(process, name)
            source = part.area.source
            if name == "array":
                source = _array_area_source(result, source)
        yield Explained("area", "area", name, 1, "part", area, "mm^2/part", source)


def _array_area_source(result: SimulationResult, source: str) -> str:
    """Source of the array's area: that of the element alone if it states its own in um^2 or mm^2."""
    ratio = element_ratios(result.machine, result.process).area
    assert ratio is not None
    own = result.machine.processing_element.area
    return ratio.source if own is not None and own.relative_to is None else f"{source}; {ratio.source}"
