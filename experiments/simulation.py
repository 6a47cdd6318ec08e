"""Simulations of a model or a single GeMM: `simulate`, `simulate_gemm` and `explain`."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..formats import InputError
from ..workloads import Gemm, ModelShape, Precision, gemms, load_shape
from .files import require_new_file
from .options.option import described
from .options.question import question
from .options.result import Result
from .options.simulation import ExplainOptions, GemmOptions, MachineOptions, PassOptions, SimulationOptions

if TYPE_CHECKING:
    from ..sim import Architecture, Energy, Explained, GemmRun, ModelResult, Setup, SimulationResult, Timeline


@dataclass(frozen=True)
class Simulation(Result):
    """A simulation of a model or a GeMM.

    Attributes
    ----------
    inputs
        The work: the first fields of the document.
    run
        The simulator's result with all its parts.
    """

    inputs: dict[str, Any]
    run: SimulationResult | ModelResult

    @property
    def cycles(self) -> int:
        """Cycles of all parts."""
        return self.run.cycles

    @property
    def seconds(self) -> float:
        """Time of all parts, in seconds."""
        return self.run.seconds

    @property
    def energy_pj(self) -> Energy:
        """Energy of all parts, in pJ: compute, SRAM, DRAM and total."""
        return self.run.energy_pj

    @property
    def fp_int(self) -> SimulationResult:
        """The FP-INT GeMMs alone."""
        from ..sim import ModelResult

        return self.run.gemms if isinstance(self.run, ModelResult) else self.run

    def to_dict(self) -> dict[str, Any]:
        """The record that ``anda simulate --json -`` prints."""
        from ..sim import ModelResult, not_modelled

        fp_int = self.fp_int
        document = {
            **self.inputs,
            "arch": fp_int.architecture,
            "precision": list(fp_int.precision),
            "technology": fp_int.technology,
            "weights": fp_int.machine.weights.name,
            **fp_int.to_dict(),
            "gemms": [_gemm_record(run) for run in fp_int.runs],
        }
        if isinstance(self.run, ModelResult):
            totals = self.run.to_dict()
            parts = totals.pop("rows")
            document |= {key: totals[key] for key in totals if key not in ("model", "arch")}
            document["parts"] = parts
        document["notes"] = list(fp_int.costs.notes)
        document["not_modelled"] = not_modelled(self.run)
        return document


@dataclass(frozen=True)
class Explanation(Result):
    """The totals of a simulation as rows: count times unit, with the source of the unit.

    Attributes
    ----------
    simulation
        The simulation that is explained.
    rows
        The rows; those of a quantity add up to its total.
    """

    simulation: Simulation
    rows: list[Explained]

    def to_dict(self) -> dict[str, Any]:
        """The document that ``anda explain --json -`` prints."""
        from ..sim import not_modelled

        return {"rows": self.records(), "not_modelled": not_modelled(self.simulation.run)}

    def records(self) -> list[dict[str, Any]]:
        """One row a summand."""
        return [asdict(row) | {"total": row.total, "total_unit": row.total_unit} for row in self.rows]


@question(SimulationOptions)
def simulate(options: SimulationOptions) -> Simulation:
    """Simulate a model on an accelerator: cycles, traffic, energy and area.

    Returns
    -------
    Simulation
        The result; `Simulation.to_dict` gives it as plain numbers.

    Raises
    ------
    InputError
        An option is unknown or out of its range, or `precision` is missing.
    """
    with _timeline(options.timeline, options) as timeline:
        return run_model(options.model, options, timeline)


@question(GemmOptions)
def simulate_gemm(options: GemmOptions) -> Simulation:
    """Simulate a single GeMM on an accelerator: cycles, traffic, energy and area.

    Returns
    -------
    Simulation
        The result; `Simulation.to_dict` gives it as plain numbers.

    Raises
    ------
    InputError
        An option is unknown or out of its range, or `precision` is missing.
    """
    with _timeline(options.timeline, options) as timeline:
        return run_gemm(options.gemm, options, timeline)


@question(ExplainOptions)
def explain(options: ExplainOptions) -> Explanation:
    """Show how the totals of a simulation arise: count x unit = total, with the source of every unit.

    Returns
    -------
    Explanation
        One row a summand.

    Raises
    ------
    InputError
        As `simulate` and `simulate_gemm`, or neither or both of `model` and `gemm` are given.
    """
    from .. import sim

    if options.model is not None and options.gemm is None:
        simulation = run_model(options.model, options)
    elif options.gemm is not None and options.model is None:
        gemm_options(vars(options))
        simulation = run_gemm(options.gemm, options)
    else:
        raise InputError("model: give either a model or a gemm")
    return Explanation(simulation, sim.explain(simulation.run))


def run_model(model: str | Path | ModelShape, options: PassOptions, timeline: Timeline | None = None) -> Simulation:
    """Simulate a pass through a model; what the units do goes into a timeline, if there is one."""
    from .. import sim

    shape = load_shape(model if isinstance(model, ModelShape) else str(model))
    if options.batch < 1:
        raise InputError(f"batch: {options.batch} is too few; use 1 or more")
    if not options.whole:
        for field in ("kv_cache", "vector_unit"):
            if (value := getattr(options, field)) != "fp16":
                raise InputError(f"{field}: {value!r} applies to whole models only; simulate a whole model")
    setup, bits = _prepare(options, timeline)
    request: dict[str, Any] = {name: getattr(options, name) for name in ("phase", "tokens", "context", "batch")}
    if options.whole:
        own = sim.ModelSettings(**request, kv_cache=options.kv_cache, vector_unit=options.vector_unit)
        run = sim.run_model(shape, setup, bits, own)
    else:
        products = gemms(shape, phase=options.phase, tokens=options.tokens, context=options.context)
        run = sim.run_gemms([replace(one, tokens=one.tokens * options.batch) for one in products], setup, bits)
    return Simulation({"model": shape.name, **request, "memory": _name(options.memory)}, run)


def run_gemm(gemm: str | Gemm, options: MachineOptions, timeline: Timeline | None = None) -> Simulation:
    """Simulate a single GeMM; what the units do goes into a timeline, if there is one."""
    from .. import sim

    product = gemm if isinstance(gemm, Gemm) else Gemm.parse(gemm)
    if options.precision is not None and len(set(as_precision(options.precision))) > 1:
        raise InputError("precision: a single GeMM has one width; give one number")
    run = sim.run_gemms([product], *_prepare(options, timeline))
    text = f"{product.tokens}x{product.in_channels}x{product.out_channels}" if isinstance(gemm, Gemm) else gemm
    inputs = {"model": None, "gemm": text, "tokens": product.tokens, "memory": _name(options.memory)}
    return Simulation(inputs, run)


def gemm_options(given: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a single GeMM among those of `ExplainOptions`.

    Raises
    ------
    InputError
        Another option, which a GeMM would ignore, is not at its default.
    """
    of_gemms = {field.name for field in described(GemmOptions)}
    for field in described(ExplainOptions):
        if field.name not in {*of_gemms, "model"} and given[field.name] != field.default:
            raise InputError(f"{field.name}: does not apply to a single GeMM; leave it out or give a model")
    return {name: value for name, value in given.items() if name in of_gemms}


def fixed_precision(arch: str | Path | Architecture) -> bool:
    """True if an architecture has its own mantissa bits, whatever precision a run asks for."""
    return load_architecture(arch).processing_element.mantissa_bits != "variable"


def load_architecture(arch: str | Path | Architecture) -> Architecture:
    """An architecture by name or by the path of its YAML file; an object stays as it is."""
    from .. import sim

    return arch if isinstance(arch, sim.Architecture) else sim.load_architecture(arch)


def as_precision(precision: str | int | Sequence[int]) -> Precision:
    """A precision from ``"7,5,6,6"``, from one number for all modules, or from four numbers."""
    if isinstance(precision, Precision):
        return precision
    if isinstance(precision, str):
        return Precision.uniform(int(precision)) if precision.strip().isdecimal() else Precision.parse(precision)
    if isinstance(precision, Sequence):
        return Precision.parse(",".join(map(str, precision)))
    return Precision.uniform(precision)


def _prepare(options: MachineOptions, timeline: Timeline | None) -> tuple[Setup, Precision]:
    """The machine, ready to be timed, and the mantissa bits that the options ask for."""
    from ..sim import Settings, prepare

    machine = _machine(options)
    bits = _precision(machine, options.precision)
    shared: dict[str, Any] = {name: value for name, value in vars(options).items() if name in Settings.__match_args__}
    shared["timeline"] = timeline
    return prepare(machine, Settings(**shared)), bits


def _machine(options: MachineOptions) -> Architecture:
    """The architecture, with midpoint reconstruction if the options ask for it."""
    machine = load_architecture(options.arch)
    if not options.midpoint:
        return machine
    element = machine.processing_element
    if element.timing != "bit-serial":
        raise InputError(f"midpoint: {machine.name} has no mantissa planes; leave it out")
    return machine.model_copy(update={"processing_element": element.model_copy(update={"midpoint": True})})


def _precision(machine: Architecture, precision: str | int | Sequence[int] | None) -> Precision:
    if precision is not None:
        return as_precision(precision)
    if not fixed_precision(machine):
        raise InputError(
            f"precision: {machine.name} needs one; give the mantissa bits of qkv, o, u and d, such as 7,5,6,6"
        )
    return Precision.uniform(16)  # replaced by the architecture's own


@contextmanager
def _timeline(file: str | Path | None, options: MachineOptions) -> Generator[Timeline | None, None, None]:
    """A timeline to collect what the units do, written to the file afterwards; None without a file."""
    from ..sim import Timeline

    require_new_file("timeline", file)
    timeline = None if file is None else Timeline(load_architecture(options.arch).clock_hz)
    yield timeline
    if timeline is not None and file is not None:
        timeline.write(Path(file))


def _name(value: Any) -> str:
    return str(getattr(value, "name", value))


def _gemm_record(run: GemmRun) -> dict[str, Any]:
    document: dict[str, Any] = {
        "module": run.gemm.module,
        "tokens": run.gemm.tokens,
        "in_channels": run.gemm.in_channels,
        "out_channels": run.gemm.out_channels,
        "repeat": run.gemm.repeat,
        "mantissa_bits": run.mapped.mantissa_bits,
        "tiling": str(run.tiling),
        "cycles": run.cycles,
        "array_cycles": run.array_cycles,
    }
    if run.report is not None:
        document["dram_utilisation"] = run.report.dram.utilisation(run.cycles)
        document["row_hit_rate"] = run.report.dram.row_hit_rate
    return document
