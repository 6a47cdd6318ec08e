"""GeMMs on a machine at a precision, timed at one of three levels."""

import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..formats import InputError
from ..formats.activations.stored import FP16, StoredFormat
from ..workloads import Gemm, Precision
from ..workloads.models.gemms import FP16_BITS
from .analytical.gemm import traffic
from .config.architecture import Architecture
from .cost.gemm_cost import gemm_cost, gemm_work
from .mapping.gemm_mapping import GemmMapping
from .mapping.mapped_gemm import OWN_PRECISION, MappedGemm, map_gemm
from .mapping.resident import is_legal
from .result import Energy, GemmRun, SimulationResult
from .schedule.tile_schedule import TileSchedule
from .settings import Settings, with_settings
from .setup import Setup, prepare

if TYPE_CHECKING:
    from .events.gemm import EventReport


def run_gemms(
    gemms: Iterable[Gemm], setup: Setup, precision: Precision, cached: StoredFormat = FP16
) -> SimulationResult:
    """Time GeMMs one after the other and count their energy.

    A GeMM with ``repeat`` above one is simulated once. Activations come from DRAM and results go back to it; results of
    a GeMM on Anda are compressed to the mantissa length of the module that consumes them (`mapped_gemm.CONSUMER`).

    Parameters
    ----------
    gemms
        GeMMs of the four modules with INT4 weights, from `workloads.gemms`.
    setup
        The machine.
    precision
        Mantissa bits of the modules; used where the activation format leaves them open.
    cached
        Format in which the results of ``qkv`` are stored for the attention.

    Raises
    ------
    InputError
        Nothing to simulate, an unknown module, or too small a buffer.
    """
    used = setup.machine.precision(precision)
    work = list(gemms)
    if not work:
        raise InputError("gemms: there are none; give at least one GeMM")
    shapes = [map_gemm(gemm, setup.machine, used, cached, setup.group_cycles) for gemm in work]
    if setup.level == "events" and setup.mapping.kind == "best" and setup.group_cycles is None:
        longer = [_longer(gemm, shape, setup, used, cached) for gemm, shape in zip(work, shapes, strict=True)]
        chosen = [_event_mapping([shape, *more], setup) for shape, more in zip(shapes, longer, strict=True)]
    else:
        chosen = [(choice, None) for choice in setup.mappings(shapes, [gemm.module for gemm in work])]
    runs = tuple(_run(gemm, shape, *choice, setup) for gemm, shape, choice in zip(work, shapes, chosen, strict=True))
    return _total(runs, used, setup)


def add_runs(
    parts: Sequence[SimulationResult], precision: Precision | Sequence[Precision], setup: Setup
) -> SimulationResult:
    """Results on one machine as one result; `precision` is that of all of them."""
    if len(parts) == 1:
        return parts[0]
    return _total(tuple(run for part in parts for run in part.runs), precision, setup)


@with_settings(Settings)
def simulate(
    gemms: Iterable[Gemm], architecture: str | Path | Architecture, precision: Precision, settings: Settings
) -> SimulationResult:
    """Time GeMMs one after the other and count their energy; the fields of `Settings` are arguments.

    Parameters
    ----------
    gemms
        GeMMs of the four modules with INT4 weights, from `workloads.gemms`.
    architecture
        A name, the path of a YAML file, or an object.
    precision
        Mantissa bits of the modules; used where the architecture's are variable.
    settings
        How the machine is timed and priced.

    Raises
    ------
    InputError
        An input of `prepare` or `run_gemms` is invalid.
    """
    return run_gemms(gemms, prepare(architecture, settings), precision)


def _event_mapping(shapes: list[MappedGemm], setup: Setup) -> tuple[GemmMapping, "EventReport"]:
    from .events.search import event_mapping

    return event_mapping(shapes, setup.costs, setup.objective, setup.dram)


def _longer(
    gemm: Gemm, shape: MappedGemm, setup: Setup, precision: Precision, cached: StoredFormat
) -> Iterator[MappedGemm]:
    """The GeMM at the longer mantissas that its buffers allow, one after the other."""
    if not setup.machine.takes_precision or gemm.module in OWN_PRECISION:
        return
    for bits in range(shape.inputs.mantissa_bits + 1, setup.machine.longest.mantissa_bits + 1):
        more = map_gemm(gemm, setup.machine, precision._replace(**{gemm.module: bits}), cached)
        if not is_legal(more):
            return
        yield more


def _run(
    gemm: Gemm,
    shape: MappedGemm,
    mapping: GemmMapping,
    report: "EventReport | None",
    setup: Setup,
) -> GemmRun:
    """Run one GeMM. A report of an earlier event run is used, unless a timeline has to be recorded."""
    if setup.level == "analytical":
        cost = gemm_cost(shape, mapping, setup.costs)
        return GemmRun(gemm, shape, mapping, cost.cycles, cost.traffic, cost.energy_pj)
    if setup.level == "cycle":
        from .cycle.gemm import run_cycle_level

        cycles, mapping = run_cycle_level(shape, setup.mapping.of(gemm.module), setup.timeline)
    else:
        from .events.gemm import run_events

        if report is None or setup.timeline is not None:
            report = run_events(shape, TileSchedule(shape, mapping), setup.dram(), setup.timeline)
        cycles = report.cycles
    if setup.timeline is not None:
        setup.timeline.finish(f"{gemm.module} {gemm.tokens}x{gemm.in_channels}x{gemm.out_channels}", cycles)
    moved = traffic(shape, mapping)
    used = setup.costs.energy(gemm_work(shape, mapping, moved), cycles)
    return GemmRun(gemm, shape, mapping, cycles, moved, used, report)


def _total(runs: tuple[GemmRun, ...], precision: Precision | Sequence[Precision], setup: Setup) -> SimulationResult:
    cycles = sum(run.cycles * run.gemm.repeat for run in runs)
    macs = sum(run.gemm.total_macs for run in runs)
    bit_macs = sum(run.gemm.total_macs * run.mapped.mantissa_bits for run in runs)
    return SimulationResult(
        machine=setup.machine,
        process=setup.process,
        costs=setup.costs,
        precision=precision,
        level=setup.level,
        objective=setup.objective,
        cycles=cycles,
        seconds=cycles / setup.machine.clock_hz,
        macs=macs,
        bops_saving=FP16_BITS * macs / bit_macs,
        dram_bytes=sum(_bytes(run.traffic.dram_bits) * run.gemm.repeat for run in runs),
        sram_bytes=sum(_bytes(run.traffic.sram.total) * run.gemm.repeat for run in runs),
        energy_pj=Energy.sum((run.energy_pj, run.gemm.repeat) for run in runs),
        area_mm2=math.fsum(setup.costs.area_mm2.values()),
        runs=runs,
    )


def _bytes(bits: int) -> int:
    return -(-bits // 8)
