"""Simulations of a model or a single GeMM: `simulate`, `simulate_gemm` and `explain`."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..formats import InputError
from ..workloads import Gemm, ModelShape, Precision, load_shape
from ..workloads.models.gemms import check_batch
from .files import require_new_file
from .options.question import question
from .options.result import Result
from .options.simulation import ExplainOptions, GemmOptions, MachineOptions, PassOptions, SimulationOptions
from .precisions import LayerPrecisions, as_precision, asked_precision
from .requests import check_request, gemm_options

if TYPE_CHECKING:
    from ..sim import (
        Architecture,
        Energy,
        Explained,
        Footprint,
        GemmRun,
        InferenceResult,
        MappingCost,
        ModelResult,
        ModelSettings,
        Setup,
        SimulationResult,
        Timeline,
    )


@dataclass(frozen=True)
class MemoryNeed:
    """Memory that a whole model needs.

    Attributes
    ----------
    needed
        Bytes of each part.
    notes
        A line if it does not fit and runs anyway.
    """

    needed: Footprint
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Simulation(Result):
    """A simulation of a model or a GeMM.

    Attributes
    ----------
    inputs
        The work: the first fields of the document.
    run
        The simulator's result with all its parts.
    memory
        Memory that a whole model needs; None for GeMMs alone.
    notes
        What the work assumes, in one line each.
    """

    inputs: dict[str, Any]
    run: SimulationResult | ModelResult | InferenceResult
    memory: MemoryNeed | None = None
    notes: tuple[str, ...] = ()

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
    def total(self) -> SimulationResult | ModelResult:
        """The run; of a whole inference, prefill and decode added up."""
        from ..sim import InferenceResult

        return self.run.total if isinstance(self.run, InferenceResult) else self.run

    @property
    def fp_int(self) -> SimulationResult:
        """The FP-INT GeMMs alone."""
        from ..sim import ModelResult

        total = self.total
        return total.gemms if isinstance(total, ModelResult) else total

    def to_dict(self) -> dict[str, Any]:
        """The record that ``anda simulate --json -`` prints."""
        from ..sim import InferenceResult, ModelResult, not_modelled

        fp_int, total = self.fp_int, self.total
        document = {
            **self.inputs,
            "arch": fp_int.architecture,
            "precision": _plain(fp_int.precision),
            "technology": fp_int.technology,
            "weights": fp_int.machine.weights.name,
            "activations": fp_int.machine.activations.text,
            "array": fp_int.machine.array.shape,
            "dataflow": fp_int.machine.array.dataflow,
            **fp_int.to_dict(),
            "gemms": [_gemm_record(run) for run in fp_int.runs],
        }
        notes = [*fp_int.costs.notes, *self.notes]
        if isinstance(total, ModelResult):
            totals = total.to_dict()
            parts = totals.pop("rows")
            document |= {key: totals[key] for key in totals if key not in ("model", "arch")}
            document["parts"] = parts
        if isinstance(self.run, InferenceResult):
            document |= self.run.to_dict()
            document["parts"] = [
                {"phase": phase, **row.to_dict()} for phase, part in self.run.phases for row in part.rows
            ]
        if self.memory is not None:
            needed = self.memory.needed
            document |= {
                "kv_cache_bytes": needed.kv_cache,
                "memory_bytes": needed.total,
                "memory_parts": needed.to_dict(),
            }
            notes += self.memory.notes
        document["notes"] = notes
        document["not_modelled"] = not_modelled(total)
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
    mappings
        For each GeMM its mapping, the best alternative of every family, and their costs at level `analytical`.
    """

    simulation: Simulation
    rows: list[Explained]
    mappings: list[MappingCost]

    def to_dict(self) -> dict[str, Any]:
        """The document that ``anda explain --json -`` prints."""
        from ..sim import not_modelled

        return {
            "rows": self.records(),
            "mappings": [asdict(mapping) for mapping in self.mappings],
            "not_modelled": not_modelled(self.simulation.run),
        }

    def records(self) -> list[dict[str, Any]]:
        """One row a summand."""
        return [asdict(row) | {"total": row.total, "total_unit": row.total_unit} for row in self.rows]


@question(SimulationOptions)
def simulate(options: SimulationOptions) -> Simulation:
    """Simulate a model on an accelerator: cycles, traffic, energy and area; with `prompt` and `generate` a whole inference.

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
    return Explanation(simulation, sim.explain(simulation.run), sim.mapping_costs(simulation.fp_int))


def run_model(model: str | Path | ModelShape, options: PassOptions, timeline: Timeline | None = None) -> Simulation:
    """Simulate a pass through a model, or a whole inference; what the units do goes into a timeline, if there is one."""
    from .. import sim

    shape = load_shape(model)
    check_batch(options.batch)
    inference = check_request(options, shape)
    setup, bits = prepare_machine(options, timeline)
    if inference is not None:
        return _run_inference(shape, setup, bits, options, *inference)
    request: dict[str, Any] = {name: getattr(options, name) for name in ("phase", "tokens", "context", "batch")}
    inputs = {"model": shape.name, **request, "memory": _name(options.memory)}
    pass_tokens = options.batch * (1 if options.phase == "decode" else options.tokens)
    notes = _notes(shape, [pass_tokens])
    if options.whole:
        inputs |= _whole_inputs(options)
        own = _model_settings(options)
        memory = _memory(shape, setup, bits, options, pass_tokens, options.context + options.tokens)
        return Simulation(inputs, sim.run_model(shape, setup, bits, own), memory, notes)
    run = sim.run_model_gemms(shape, setup, bits, _model_settings(options))
    return Simulation(inputs, run, notes=notes)


def _run_inference(
    shape: ModelShape, setup: Setup, bits: Precision | LayerPrecisions, options: PassOptions, prompt: int, generate: int
) -> Simulation:
    from .. import sim

    memory = _memory(shape, setup, bits, options, options.batch * prompt, prompt + generate)
    run = sim.run_inference(shape, setup, bits, _model_settings(options), prompt, generate)
    notes = _notes(shape, [options.batch * prompt, *([options.batch] if generate > 1 else [])])
    inputs = {"model": shape.name, "prompt": prompt, "generate": generate, "batch": options.batch}
    return Simulation(inputs | {"memory": _name(options.memory), **_whole_inputs(options)}, run, memory, notes)


def _notes(shape: ModelShape, passes: Sequence[int]) -> tuple[str, ...]:
    """Parts that a shape leaves out, and what is expected of experts in passes of so many tokens."""
    from ..sim.models.experts import expert_notes

    left_out = (f"model: {shape.name} without {shape.left_out}",) if shape.left_out else ()
    return (*left_out, *expert_notes(shape, passes))


def _whole_inputs(options: PassOptions) -> dict[str, str]:
    """Options that only whole models have, by name."""
    return {name: _name(getattr(options, name)) for name in ("kv_cache", "vector_unit", "vector_traffic", "head")}


def _model_settings(options: PassOptions) -> ModelSettings:
    from ..sim import ModelSettings

    names = ("phase", "tokens", "context", "batch", "kv_cache", "vector_unit", "vector_traffic", "head")
    return ModelSettings(**{name: getattr(options, name) for name in names})


def _memory(
    shape: ModelShape,
    setup: Setup,
    bits: Precision | LayerPrecisions,
    options: PassOptions,
    pass_tokens: int,
    tokens: int,
) -> MemoryNeed:
    """The memory that a model needs, and whether it fits."""
    from ..sim import Footprint, check_capacity
    from ..sim.config.kv_cache import KvCache
    from ..sim.models.ends import head_weights

    cache = options.kv_cache if isinstance(options.kv_cache, KvCache) else KvCache.parse(options.kv_cache)
    cache.check(setup.machine)
    head = head_weights(options.head)
    needed = Footprint.of(shape, setup, bits, cache, head, pass_tokens, tokens, options.batch)
    return MemoryNeed(needed, check_capacity(needed, setup, shape.name, options.allow_overflow))


def run_gemm(gemm: str | Gemm, options: MachineOptions, timeline: Timeline | None = None) -> Simulation:
    """Simulate a single GeMM; what the units do goes into a timeline, if there is one."""
    from .. import sim

    product = gemm if isinstance(gemm, Gemm) else Gemm.parse(gemm)
    setup, bits = prepare_machine(options, timeline)
    if options.precision is None:
        bits = as_precision(max(bits))
    elif len(set(bits)) > 1 or not isinstance(bits, Precision):
        raise InputError("precision: a single GeMM has one width; give one number")
    run = sim.run_gemms([product], setup, bits)
    text = f"{product.tokens}x{product.in_channels}x{product.out_channels}" if isinstance(gemm, Gemm) else gemm
    inputs = {"model": None, "gemm": text, "tokens": product.tokens, "memory": _name(options.memory)}
    return Simulation(inputs, run)


def load_architecture(arch: str | Path | Architecture) -> Architecture:
    """An architecture by name or by the path of its YAML file; an object stays as it is."""
    from .. import sim

    return arch if isinstance(arch, sim.Architecture) else sim.load_architecture(arch)


def prepare_machine(
    options: MachineOptions, timeline: Timeline | None = None
) -> tuple[Setup, Precision | LayerPrecisions]:
    """The machine, ready to be timed, and the mantissa bits that the options ask for."""
    from ..sim import Settings, prepare

    machine = _machine(options)
    bits = asked_precision(machine, options.precision)
    shared: dict[str, Any] = {name: value for name, value in vars(options).items() if name in Settings.__match_args__}
    shared["timeline"] = timeline
    return prepare(machine, Settings(**shared)), bits


def _machine(options: MachineOptions) -> Architecture:
    """The architecture, with the activation format and midpoint reconstruction that the options ask for."""
    machine = load_architecture(options.arch)
    if options.activations is not None:
        machine = machine.with_activations(options.activations)
    if not options.midpoint:
        return machine
    element = machine.processing_element
    if element.timing != "bit-serial":
        raise InputError(f"midpoint: {machine.name} has no mantissa planes; leave it out")
    if not machine.takes_precision:
        raise InputError(f"midpoint: {machine.activations.text} has no mantissas that are cut; leave it out")
    return machine.model_copy(update={"processing_element": element.model_copy(update={"midpoint": True})})


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


def _plain(precision: Precision | Sequence[Precision]) -> list[Any]:
    """Four numbers, or four for each layer."""
    return list(precision) if isinstance(precision, Precision) else [list(one) for one in precision]


def _gemm_record(run: GemmRun) -> dict[str, Any]:
    document: dict[str, Any] = {
        "module": run.gemm.module,
        "tokens": run.gemm.tokens,
        "in_channels": run.gemm.in_channels,
        "out_channels": run.gemm.out_channels,
        "repeat": run.gemm.repeat,
        "mantissa_bits": run.mapped.mantissa_bits,
        "mapping": str(run.mapping),
        "cycles": run.cycles,
        "array_cycles": run.array_cycles,
    }
    if run.report is not None:
        document["dram_utilisation"] = run.report.dram.utilisation(run.cycles)
        document["row_hit_rate"] = run.report.dram.row_hit_rate
    return document
