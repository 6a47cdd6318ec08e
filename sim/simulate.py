"""The entry: GeMMs on an architecture at a precision, timed at one of two levels."""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from ..formats import InputError
from ..formats.numeric.alignment import MAX_MANTISSA_BITS
from ..workloads import Gemm, Precision
from ..workloads.models.gemms import FP16_BITS
from .analytical import gemm as closed
from .config.architecture import Architecture, load_architecture
from .config.technology import Technology, load_technology
from .config.weights import load_weights
from .cost.energy import UnitCosts, unit_costs
from .cost.objective import TILING_OBJECTIVES, Objective
from .cost.search import best_tiling, gemm_work
from .mapping.mapped_gemm import MappedGemm, map_gemm
from .mapping.tile_schedule import TileSchedule
from .mapping.tiling import Tiling, is_legal, model_tilings, resident_tiling
from .mapping.tiling_rule import TilingRule
from .memory.dram import Dram, FlatDram
from .processes.timeline import Timeline
from .result import Energy, GemmRun, Level, SimulationResult

if TYPE_CHECKING:
    from .events.gemm import EventReport
    from .memory.hbm import Memory


@dataclass(frozen=True)
class Setup:
    """Everything that a run needs beside its GeMMs, checked."""

    machine: Architecture
    process: Technology
    costs: UnitCosts
    level: Level
    objective: Objective
    tiling: TilingRule
    memory: "Memory | None"
    """A memory with rows; None for constant bandwidth."""

    def tilings(self, shapes: list[MappedGemm]) -> list[Tiling]:
        """The tiling of each GeMM."""
        kind = self.tiling.kind
        if kind == "search":
            return [best_tiling(shape, self.costs, self.objective) for shape in shapes]
        if kind == "model":
            return model_tilings(shapes)
        return [resident_tiling(shape, kind, self.tiling.size or 0) for shape in shapes]

    def dram(self) -> Dram:
        """A fresh memory for one part of a run in events."""
        if self.memory is None:
            return FlatDram(self.costs.dram_bits_per_cycle)
        from .memory.hbm import HbmDram

        return HbmDram(self.memory, self.machine.clock_hz)


def simulate(
    gemms: Iterable[Gemm],
    architecture: str | Path | Architecture,
    precision: Precision,
    level: Level = "analytical",
    technology: str | Path | Technology = "paper-16nm",
    objective: Objective = "energy",
    tiling: str | TilingRule = "search",
    memory: str | Path = "flat",
    weights: str | Path | None = None,
    cache_bits: int | None = None,
    group_cycles: Mapping[str, float] | None = None,
    timeline: Timeline | None = None,
) -> SimulationResult:
    """Time GeMMs one after the other and count their energy.

    A GeMM with ``repeat`` above one is simulated once. Activations come from DRAM and results go back to it; results of
    a GeMM on Anda are compressed to the mantissa length of the module that consumes them (`mapped.CONSUMER`).

    Args:
        gemms: from `workloads.gemms`, the four modules with INT4 weights.
        architecture: a name, the path of a YAML file, or an object.
        precision: mantissa bits of the modules; used where the architecture's are variable.
        level: ``"analytical"``, formulas that assume perfect overlap; ``"events"``, processes that wait for each other;
            ``"cycle"``, the processes of Anda's circuit that run its program, cycle for cycle, with the circuit's
            own tiling and memory.
        technology: a name, the path of a YAML file, or an object.
        objective: what the search for each GeMM's tiling minimises.
        tiling: ``"search"`` for each GeMM, ``"model"`` for one token tile of all GeMMs (`tiling.model_tilings`), or the
            tiling itself, such as ``"activations:32"`` (`tiling_rule.TilingRule`).
        memory: ``"flat"``, the technology's bandwidth; at level ``"events"`` also a memory with rows and refresh, by
            name or by the path of a YAML file (`hbm.load_memory`).
        weights: a weight format by name or by the path of a YAML file (`weights.load_weights`), in place of the
            architecture's own.
        cache_bits: M to which the results of ``qkv`` are compressed on Anda; None leaves them FP16.
        group_cycles: mean cycles of a group by module where all-zero planes are skipped, as
            `formats.plane_mask.mean_group_cycles` measures them on the activations; the masks are stored with these.
        timeline: collects what the units do, not at level ``"analytical"``; of a GeMM that repeats, the first one.

    Raises:
        InputError: nothing to simulate, an unknown level, architecture, technology, objective, tiling, memory or
            module, or too small a buffer.
    """
    skipping = group_cycles is not None
    setup = make_setup(architecture, level, technology, objective, tiling, memory, weights, skipping)
    if timeline is not None and level == "analytical":
        raise InputError("timeline: level analytical has no events; use level events or cycle")
    if group_cycles is not None and level == "cycle":
        raise InputError("group_cycles: level cycle sends every plane; leave them out or use level events")
    if cache_bits is not None and setup.machine.compressor is None:
        raise InputError(f"cache_bits: {setup.machine.name} has no compressor; leave it out")
    used = setup.machine.precision(precision)
    work = list(gemms)
    if not work:
        raise InputError("gemms: there are none; give at least one GeMM")
    shapes = [map_gemm(gemm, setup.machine, used, cache_bits, group_cycles) for gemm in work]
    if level == "events" and setup.tiling.kind == "search" and group_cycles is None:
        longer = [_longer(gemm, shape, setup, used, cache_bits) for gemm, shape in zip(work, shapes, strict=True)]
        chosen = [_event_tiling([shape, *more], setup) for shape, more in zip(shapes, longer, strict=True)]
    else:
        chosen = [(choice, None) for choice in setup.tilings(shapes)]
    runs = tuple(
        _run(gemm, shape, *choice, setup, timeline) for gemm, shape, choice in zip(work, shapes, chosen, strict=True)
    )
    return _total(runs, used, setup)


def _event_tiling(shapes: list[MappedGemm], setup: Setup) -> tuple[Tiling, "EventReport"]:
    from .events.search import event_tiling

    return event_tiling(shapes, setup.costs, setup.objective, setup.dram)


def _longer(
    gemm: Gemm, shape: MappedGemm, setup: Setup, precision: Precision, cache_bits: int | None
) -> Iterator[MappedGemm]:
    """The GeMM at the longer mantissas that its buffers allow, one after the other."""
    if setup.machine.processing_element.mantissa_bits != "variable":
        return
    for bits in range(shape.mantissa_bits + 1, MAX_MANTISSA_BITS + 1):
        more = map_gemm(gemm, setup.machine, precision._replace(**{gemm.module: bits}), cache_bits)
        if not is_legal(more):
            return
        yield more


def make_setup(
    architecture: str | Path | Architecture,
    level: Level,
    technology: str | Path | Technology,
    objective: Objective,
    tiling: str | TilingRule,
    memory: str | Path,
    weights: str | Path | None = None,
    skipping: bool = False,
) -> Setup:
    """Check and load what `simulate` was given."""
    machine = architecture if isinstance(architecture, Architecture) else load_architecture(architecture)
    if weights is not None:
        machine = machine.model_copy(update={"weights": load_weights(weights)})
    process = technology if isinstance(technology, Technology) else load_technology(technology)
    for field, value, choices in (("level", level, get_args(Level)), ("objective", objective, TILING_OBJECTIVES)):
        if value not in choices:
            raise InputError(f"{field}: {value!r} is unknown; use {', '.join(choices)}")
    rule = TilingRule.parse(tiling) if isinstance(tiling, str) else tiling
    if level == "cycle" and rule.kind != "search":
        raise InputError(f"tiling: level cycle has the circuit's own; leave {rule} out or use level events")
    rows = None
    if memory != "flat":
        if level != "events":
            raise InputError(f"memory: {str(memory)!r} needs level events; use flat with level {level}")
        from .memory.hbm import load_memory

        rows = load_memory(memory)
    return Setup(machine, process, unit_costs(machine, process, skipping), level, objective, rule, rows)


def _run(
    gemm: Gemm,
    shape: MappedGemm,
    tiling: Tiling,
    report: "EventReport | None",
    setup: Setup,
    timeline: Timeline | None,
) -> GemmRun:
    """One GeMM, where events have not reported on it yet, or have to write a timeline."""
    if setup.level == "cycle":
        from .cycle.gemm import run_cycle_level

        cycles, tiling = run_cycle_level(shape, timeline)
        moved = closed.traffic(shape, tiling)
    elif setup.level == "events":
        from .events.gemm import run_events

        moved = closed.traffic(shape, tiling)
        if report is None or timeline is not None:
            report = run_events(shape, TileSchedule(shape, tiling), setup.dram(), timeline)
        cycles = report.cycles
    else:
        moved = closed.traffic(shape, tiling)
        cycles = closed.cycles(shape, moved.dram_bits, setup.costs.dram_bits_per_cycle)
    if timeline is not None:
        timeline.finish(f"{gemm.module} {gemm.tokens}x{gemm.in_channels}x{gemm.out_channels}", cycles)
    used = setup.costs.energy(gemm_work(shape, moved), cycles)
    return GemmRun(gemm, shape, tiling, cycles, moved, used, report)


def _total(runs: tuple[GemmRun, ...], precision: Precision, setup: Setup) -> SimulationResult:
    cycles = sum(run.cycles * run.gemm.repeat for run in runs)
    macs = sum(run.gemm.total_macs for run in runs)
    bit_macs = sum(run.gemm.total_macs * run.mapped.mantissa_bits for run in runs)
    return SimulationResult(
        machine=setup.machine,
        process=setup.process,
        costs=setup.costs,
        precision=precision,
        level=setup.level,
        cycles=cycles,
        seconds=cycles / setup.machine.clock_hz,
        macs=macs,
        bops_saving=FP16_BITS * macs / bit_macs,
        dram_bytes=sum(_bytes(run.traffic.dram_bits) * run.gemm.repeat for run in runs),
        sram_bytes=sum(_bytes(run.traffic.sram.total) * run.gemm.repeat for run in runs),
        energy_pj=Energy(
            compute=math.fsum(run.energy_pj.compute * run.gemm.repeat for run in runs),
            sram=math.fsum(run.energy_pj.sram * run.gemm.repeat for run in runs),
            dram=math.fsum(run.energy_pj.dram * run.gemm.repeat for run in runs),
        ),
        area_mm2=math.fsum(setup.costs.area_mm2.values()),
        runs=runs,
    )


def _bytes(bits: int) -> int:
    return -(-bits // 8)
