"""Whole models: FP-INT GeMMs, attention and vector unit, layer by layer, in prefill or decode.

The parts run one after the other. At level `analytical` the attention takes the longer of its work and its DRAM traffic,
and the vector unit overlaps with nothing. At level `events` the softmax of one strip overlaps with the array's work on the
next (`events.layer`). Embedding and language-model head are not included.
"""

import math
from collections.abc import Iterator
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from ...formats.checks import check_integer
from ...formats.latency.vector import VECTOR_PIPELINE_CYCLES
from ...workloads import ModelShape, Precision, gemms
from ...workloads.models.gemms import FP16_BITS
from ..analytical.attention import AttentionWork, attention_pieces, attention_work
from ..analytical.gemm import SramBits
from ..analytical.vector import layer_work, softmax_cycles
from ..analytical.vector_work import Scores, VectorUnit, VectorWork, check_vector_unit
from ..config.architecture import Architecture
from ..config.kv_cache import KvCache
from ..cost.energy import Energy, Work
from ..cost.search import gemm_work
from ..result import GemmRun, SimulationResult
from ..run import run_gemms
from ..settings import Level, ModelSettings, with_settings
from ..setup import Setup, prepare

Kind = Literal["fp-int", "attention", "vector"]


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
    work: Work
    groups: int = 0
    """Groups of the array's tiles; only for attention."""
    unit_cycles: int = 0
    """Busy cycles of the vector unit; only for its own parts."""

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
        }


@dataclass(frozen=True, slots=True)
class ModelResult:
    """A model on a machine."""

    model: str
    level: Level
    rows: tuple[ModelRow, ...]
    gemms: SimulationResult
    """The FP-INT GeMMs in detail."""

    @property
    def machine(self) -> Architecture:
        """The accelerator."""
        return self.gemms.machine

    @property
    def architecture(self) -> str:
        """Name of the machine."""
        return self.gemms.architecture

    @property
    def seconds(self) -> float:
        """Time of all parts in seconds."""
        return self.cycles / self.machine.clock_hz

    @property
    def other_rows(self) -> tuple[ModelRow, ...]:
        """Attention and vector unit."""
        return tuple(row for row in self.rows if row.kind != "fp-int")

    @property
    def macs(self) -> int:
        """Multiply-accumulates of the FP-INT GeMMs and the attention."""
        return sum(row.operations for row in self.rows if row.kind != "vector")

    @property
    def dram_bytes(self) -> int:
        """Total DRAM traffic in bytes."""
        return sum(row.dram_bytes for row in self.rows)

    @property
    def sram_bytes(self) -> int:
        """Total buffer traffic in bytes."""
        return sum(row.sram_bytes for row in self.rows)

    @property
    def cycles(self) -> int:
        """Total cycles; the parts run one after the other."""
        return sum(row.cycles for row in self.rows)

    @property
    def energy_pj(self) -> Energy:
        """Total energy in picojoules."""
        return Energy.sum((row.energy_pj, 1) for row in self.rows)

    @property
    def fp_int_share(self) -> float:
        """Share of the FP-INT GeMMs in the model's multiply-accumulates (Fig. 2 of the Anda paper)."""
        return self.gemms.macs / self.macs

    def cycle_share(self, kind: Kind) -> float:
        """Share of one kind of part in the total cycles."""
        return sum(row.cycles for row in self.rows if row.kind == kind) / self.cycles

    def to_dict(self) -> dict[str, Any]:
        """Plain Python numbers, for JSON."""
        return {
            "model": self.model,
            "arch": self.architecture,
            "level": self.level,
            "cycles": self.cycles,
            "seconds": self.seconds,
            "macs": self.macs,
            "fp_int_share": self.fp_int_share,
            "dram_bytes": self.dram_bytes,
            "sram_bytes": self.sram_bytes,
            "energy_pj": self.energy_pj.to_dict(),
            "area_mm2": self.gemms.area_mm2,
            "rows": [row.to_dict() for row in self.rows],
        }


def run_model(shape: ModelShape, setup: Setup, precision: Precision, settings: ModelSettings) -> ModelResult:
    """Time a pass through a whole model.

    Parameters
    ----------
    shape
        The model.
    setup
        The machine.
    precision
        Mantissa bits of the modules; used where the architecture's are variable.
    settings
        The pass.

    Raises
    ------
    InputError
        A GeMM is invalid (`run_gemms`), there is no sequence, the cache format or vector unit is unknown, or the
        technology has no energies for that vector unit.
    """
    check_integer("batch", settings.batch, 1)
    unit = check_vector_unit(settings.vector_unit)
    cache = KvCache.parse(settings.kv_cache) if isinstance(settings.kv_cache, str) else settings.kv_cache
    cache.check(setup.machine)
    batch, request = settings.batch, (settings.phase, settings.tokens, settings.context)
    work = [replace(gemm, tokens=gemm.tokens * batch) for gemm in gemms(shape, *request)]
    fp_int = run_gemms(work, setup, precision, cache.mantissa_bits if cache.format == "anda" else None)
    layer = ModelLayer(shape, setup, cache, *request, batch, setup.machine.precision(precision).o, unit)
    others = analytical_rows(layer) if setup.level == "analytical" else event_rows(layer)
    return ModelResult(
        model=shape.name, level=setup.level, rows=(*map(_fp_int_row, fp_int.runs), *others), gemms=fp_int
    )


@with_settings(ModelSettings)
def simulate_model(
    shape: ModelShape, architecture: str | Path | Architecture, precision: Precision, settings: ModelSettings
) -> ModelResult:
    """Time a pass through a whole model; the fields of `ModelSettings` are arguments.

    Parameters
    ----------
    shape
        The model.
    architecture
        A name, the path of a YAML file, or an object.
    precision
        Mantissa bits of the modules; used where the architecture's are variable.
    settings
        The pass, and how the machine is timed and priced.

    Raises
    ------
    InputError
        An input of `prepare` or `run_model` is invalid.
    """
    return run_model(shape, prepare(architecture, settings), precision, settings)


@dataclass(frozen=True, slots=True)
class ModelLayer:
    """One layer of a model, and the setup of its run: the source of its attention and vector work."""

    shape: ModelShape
    setup: Setup
    cache: KvCache
    phase: str
    tokens: int
    context: int
    batch: int
    output_mantissa_bits: int
    unit: VectorUnit

    @property
    def passes(self) -> list[tuple[int, int]]:
        """New and cached tokens of each pass through the layer."""
        if self.phase == "prefill":
            return [(self.tokens, self.context)]
        return [(1, self.context + step) for step in range(self.tokens)]

    def attention(self) -> list[AttentionWork]:
        """Attention of each pass."""
        machine = self.setup.machine
        return [
            attention_work(self.shape, machine, self.cache, new, old, self.batch, self.output_mantissa_bits)
            for new, old in self.passes
        ]

    def vector(self, attention: list[AttentionWork]) -> tuple[VectorWork, ...]:
        """Vector work of all passes."""
        scores = Scores(
            sum(work.rows for work in attention),
            sum(work.scores for work in attention),
            sum(work.score_vectors for work in attention),
        )
        return layer_work(self.shape, self.batch * self.tokens, scores, self.setup.machine.vector_lanes, self.unit)


def analytical_rows(layer: ModelLayer) -> Iterator[ModelRow]:
    """Rows at level `analytical`: attention takes its work or its DRAM traffic, the vector unit its programs' cycles."""
    costs, attention, layers = layer.setup.costs, layer.attention(), layer.shape.layers
    cycles = sum(math.ceil(max(work.array_cycles, work.dram_bits / costs.dram_bits_per_cycle)) for work in attention)
    yield _attention_row(layer, attention, layers * cycles)
    for work in layer.vector(attention):
        yield _vector_row(layer, work, layers * (work.cycles + len(layer.passes) * VECTOR_PIPELINE_CYCLES))


def event_rows(layer: ModelLayer) -> Iterator[ModelRow]:
    """Rows at level `events`: the softmax overlaps with the array and counts only the cycles that the array waits."""
    from ..events.layer import run_attention, run_vector

    machine, layers, timeline = layer.setup.machine, layer.shape.layers, layer.setup.timeline
    softmax = softmax_cycles(layer.unit, machine.vector_lanes)
    cycles = waited = 0
    for new, old in layer.passes:
        work = attention_pieces(layer.shape, machine, layer.cache, new, old, layer.batch, layer.output_mantissa_bits)
        run = run_attention(work, machine, layer.setup.dram(), softmax, timeline)
        if timeline:
            timeline.finish("attention", run.cycles)
        cycles, waited = cycles + run.cycles, waited + run.softmax_cycles
    attention = layer.attention()
    yield _attention_row(layer, attention, layers * (cycles - waited))
    passes = len(layer.passes)
    for work in layer.vector(attention):
        if work.name == "softmax":
            yield _vector_row(layer, work, layers * waited)
            continue
        tokens = layer.batch * layer.tokens // passes
        taken = run_vector(
            work.name, work.cycles // passes, work.values * FP16_BITS // passes, tokens, machine, timeline
        )
        if timeline:
            timeline.finish(work.name, taken)
        yield _vector_row(layer, work, layers * passes * taken)


def _fp_int_row(run: GemmRun) -> ModelRow:
    repeat = run.gemm.repeat
    return ModelRow(
        name=run.gemm.module,
        kind="fp-int",
        operations=run.gemm.total_macs,
        cycles=run.cycles * repeat,
        dram_bytes=-(-run.traffic.dram_bits // 8) * repeat,
        sram_bytes=-(-run.traffic.sram.total // 8) * repeat,
        energy_pj=Energy.sum([(run.energy_pj, repeat)]),
        work=gemm_work(run.mapped, run.traffic),
    )


def _attention_row(layer: ModelLayer, steps: list[AttentionWork], cycles: int) -> ModelRow:
    layers = layer.shape.layers
    work = Work(
        element_cycles=layers * sum(step.element_cycles for step in steps),
        array_cycles=layers * sum(step.array_cycles for step in steps),
        sram=SramBits(*(layers * sum(bits) for bits in zip(*(astuple(step.sram) for step in steps), strict=True))),
        dram_bits=layers * sum(step.dram_bits for step in steps),
    )
    return ModelRow(
        name="attention",
        kind="attention",
        operations=layers * sum(step.macs for step in steps),
        cycles=cycles,
        dram_bytes=-(-work.dram_bits // 8),
        sram_bytes=-(-work.sram.total // 8),
        energy_pj=layer.setup.costs.energy(work, cycles),
        work=work,
        groups=layers * sum(step.groups for step in steps),
    )


def _vector_row(layer: ModelLayer, part: VectorWork, cycles: int) -> ModelRow:
    work = Work(operations={kind: count * layer.shape.layers for kind, count in part.operations.items()})
    operations = part.total * layer.shape.layers
    energy = layer.setup.costs.energy(work, cycles)
    busy = layer.shape.layers * part.cycles
    return ModelRow(part.name, "vector", operations, cycles, 0, 0, energy, work, unit_cycles=busy)
