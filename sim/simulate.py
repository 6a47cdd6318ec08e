"""The entry: GeMMs on an architecture at a precision, timed at one of two levels."""

import math
from collections.abc import Iterable
from pathlib import Path
from typing import get_args

from ..formats import InputError
from ..workloads import Gemm, Precision
from . import closed
from .architecture import FP16_BITS, Architecture, load_architecture
from .dram import FlatDram
from .energy import UnitCosts, unit_costs
from .plan import Plan
from .problem import Problem, problem
from .result import Energy, GemmRun, Level, SimulationResult
from .search import Objective, best_tiling, energy
from .technology import Technology, load_technology
from .tiling import Tiling, chosen_tiling, model_tilings


def simulate(
    gemms: Iterable[Gemm],
    architecture: str | Path | Architecture,
    precision: Precision,
    level: Level = "closed",
    technology: str | Path | Technology = "paper-16nm",
    objective: Objective = "energy",
    tiling: str = "search",
) -> SimulationResult:
    """Time GeMMs one after the other and count their energy.

    A GeMM with ``repeat`` above one is simulated once. Activations come from DRAM and results go back to it; results of
    a GeMM on Anda are compressed to the mantissa length of the module that consumes them (`problem.CONSUMER`).

    Args:
        gemms: from `workloads.gemms`, the four modules with INT4 weights.
        architecture: a name, the path of a YAML file, or an object.
        precision: mantissa bits of the modules; used where the architecture's are variable.
        level: ``"closed"``, formulas that assume perfect overlap, or ``"events"``, processes that wait for each other.
        technology: a name, the path of a YAML file, or an object.
        objective: what the search for each GeMM's tiling minimises.
        tiling: ``"search"`` for each GeMM, ``"model"`` for one token tile of all GeMMs (`tiling.model_tilings`), or the
            tiling itself, such as ``"activations:32"`` (`tiling.chosen_tiling`).

    Raises:
        InputError: nothing to simulate, an unknown level, architecture, technology, objective, tiling or module, or
            too small a buffer.
    """
    machine = architecture if isinstance(architecture, Architecture) else load_architecture(architecture)
    process = technology if isinstance(technology, Technology) else load_technology(technology)
    for field, value, choices in (("level", level, get_args(Level)), ("objective", objective, get_args(Objective))):
        if value not in choices:
            raise InputError(f"{field}: {value!r} is unknown; use {', '.join(choices)}")
    costs = unit_costs(machine, process)
    used = machine.precision(precision)
    work = list(gemms)
    if not work:
        raise InputError("gemms: there are none; give at least one GeMM")
    shapes = [problem(gemm, machine, used) for gemm in work]
    chosen = _tilings(shapes, costs, objective, tiling)
    runs = tuple(
        _run(gemm, shape, choice, costs, level) for gemm, shape, choice in zip(work, shapes, chosen, strict=True)
    )
    return _total(runs, machine, process, used, costs, level)


def _tilings(shapes: list[Problem], costs: UnitCosts, objective: Objective, tiling: str) -> list[Tiling]:
    if tiling == "search":
        return [best_tiling(shape, costs, objective) for shape in shapes]
    if tiling == "model":
        return model_tilings(shapes)
    return [chosen_tiling(shape, tiling) for shape in shapes]


def _run(gemm: Gemm, shape: Problem, tiling: Tiling, costs: UnitCosts, level: Level) -> GemmRun:
    moved = closed.traffic(shape, tiling)
    if level == "events":
        from .events import run_events

        cycles = run_events(shape, Plan(shape, tiling), FlatDram(costs.dram_bits_per_cycle)).cycles
    else:
        cycles = closed.cycles(shape, moved.dram_bits, costs.dram_bits_per_cycle)
    used = energy(shape, moved, costs)
    return GemmRun(gemm, shape.mantissa_bits, tiling, cycles, shape.array_cycles, moved, used)


def _total(
    runs: tuple[GemmRun, ...],
    machine: Architecture,
    process: Technology,
    precision: Precision,
    costs: UnitCosts,
    level: Level,
) -> SimulationResult:
    cycles = sum(run.cycles * run.gemm.repeat for run in runs)
    macs = sum(run.gemm.total_macs for run in runs)
    bit_macs = sum(run.gemm.total_macs * run.mantissa_bits for run in runs)
    return SimulationResult(
        architecture=machine.name,
        technology=process.name,
        precision=precision,
        level=level,
        cycles=cycles,
        seconds=cycles / machine.clock_hz,
        macs=macs,
        bops_saving=FP16_BITS * macs / bit_macs,
        dram_bytes=sum(_bytes(run.traffic.dram_bits) * run.gemm.repeat for run in runs),
        sram_bytes=sum(_bytes(run.traffic.sram_bits) * run.gemm.repeat for run in runs),
        energy_pj=Energy(
            compute=math.fsum(run.energy_pj.compute * run.gemm.repeat for run in runs),
            sram=math.fsum(run.energy_pj.sram * run.gemm.repeat for run in runs),
            dram=math.fsum(run.energy_pj.dram * run.gemm.repeat for run in runs),
        ),
        area_mm2=math.fsum(costs.area_mm2.values()),
        runs=runs,
    )


def _bytes(bits: int) -> int:
    return -(-bits // 8)
