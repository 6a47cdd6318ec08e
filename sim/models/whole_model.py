"""Whole models: FP-INT GeMMs, attention, vector unit and the ends of the model, layer by layer, in prefill or decode.

The parts run one after the other; only the softmax runs beside the rest of the attention. Equal layers are simulated once.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self, TypeAlias

from ...formats import InputError
from ...formats.checks import check_choice
from ...workloads import ModelShape, Precision, gemms
from ...workloads.models.gemms import check_batch
from ..analytical.vector_work import check_vector_unit
from ..config.architecture import Architecture
from ..config.kv_cache import KvCache
from ..cost.energy import Energy
from ..result import GemmRun, SimulationResult
from ..run import add_runs, run_gemms
from ..settings import Level, ModelSettings, with_settings
from ..setup import Setup, prepare
from .ends import end_rows, head_run, head_weights, with_side_unit
from .experts import router_run
from .layer import ModelLayer, layer_rows, token_bits
from .rows import Kind, ModelRow, add_rows, gemm_row

LayerPrecision: TypeAlias = Precision | Sequence[Precision]
"""Mantissa bits of the modules, the same in all layers or one precision a layer."""


@dataclass(frozen=True, slots=True)
class ModelResult:
    """A model on a machine."""

    model: str
    level: Level
    rows: tuple[ModelRow, ...]
    gemms: SimulationResult
    """The FP-INT GeMMs in detail."""
    head: GemmRun | None = None
    """The language-model head in detail."""
    router: GemmRun | None = None
    """The routers of experts in detail."""

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
        """All rows but the FP-INT GeMMs."""
        return tuple(row for row in self.rows if row.kind != "fp-int")

    @property
    def fp16_runs(self) -> tuple[GemmRun, ...]:
        """Routers and head, which have a precision of their own."""
        return tuple(run for run in (self.router, self.head) if run is not None)

    @property
    def macs(self) -> int:
        """Multiply-accumulates of the FP-INT GeMMs, the attention, the routers and the head."""
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
            "idle_pj": self.energy_pj.idle,
            "area_mm2": self.gemms.to_dict()["area_mm2"],
            "rows": [row.to_dict() for row in self.rows],
        }


def run_model(shape: ModelShape, setup: Setup, precision: LayerPrecision, settings: ModelSettings) -> ModelResult:
    """Time a pass through a whole model.

    Parameters
    ----------
    shape
        The model.
    setup
        The machine.
    precision
        Mantissa bits of the modules, or those of each layer; used where the architecture's are variable.
    settings
        The pass.

    Raises
    ------
    InputError
        A GeMM is invalid (`run_gemms`), there is no sequence or there are too many steps, the cache format, vector unit or head is unknown, the number of
        precisions is not that of the layers, or the technology has no energies for that vector unit.
    """
    check_batch(settings.batch)
    if settings.phase == "decode":
        check_steps("tokens", settings.tokens)
    unit = check_vector_unit(settings.vector_unit)
    traffic = check_choice("vector_traffic", settings.vector_traffic, VECTOR_TRAFFIC) == "dram"
    cache = KvCache.parse(settings.kv_cache) if isinstance(settings.kv_cache, str) else settings.kv_cache
    cache.check(setup.machine)
    weights = head_weights(settings.head)
    setup = with_side_unit(setup.in_phase(settings.phase), weights)
    precision = _own_precision(precision, setup)
    batch, tokens = settings.batch, settings.batch * settings.tokens
    rows: list[ModelRow] = []
    found: dict[EqualLayers, SimulationResult] = {}
    for layers in equal_layers(shape.without_windows(), precision):
        found[layers.one] = _layer_gemms(layers, setup, cache, settings)
    for layers in equal_layers(shape, precision):
        runs = found[layers.one].runs
        moved = token_bits(layers.shape, setup, cache, runs) if traffic else None
        output_bits = setup.machine.precision(layers.own).o
        request = (settings.phase, settings.tokens, settings.context, batch)
        rows += layer_rows(ModelLayer(layers.shape, setup, cache, *request, output_bits, unit, moved))
    fp_int = add_runs(
        [*found.values()], setup.machine.precision(precision) if isinstance(precision, Precision) else precision, setup
    )
    head = None
    passes = 1 if settings.phase == "prefill" else settings.tokens
    router = router_run(shape, setup, tokens // passes, passes)
    if weights is not None:
        head = head_run(shape, setup, weights, batch, passes)
        rows += end_rows(shape, setup, head, tokens // passes, passes, unit, traffic)
    gemm_rows = [gemm_row(run, setup.costs) for run in fp_int.runs]
    if router is not None:
        gemm_rows.append(gemm_row(router, setup.costs, "router"))
    return ModelResult(shape.name, setup.level, (*add_rows(gemm_rows), *add_rows(rows)), fp_int, head, router)


VECTOR_TRAFFIC = ("dram", "none")
MOST_STEPS = 1 << 18
"""Decode steps of one run."""


def check_steps(field: str, steps: int) -> None:
    """Refuse more decode steps than are timed in half a minute.

    Raises
    ------
    InputError
        There are more.
    """
    if steps > MOST_STEPS:
        raise InputError(
            f"{field}: {steps:,} decode steps are too many, since each is timed at its own context; use at most {MOST_STEPS:,}, "
            "or a part of them with phase decode and a context"
        )


@dataclass(frozen=True)
class EqualLayers:
    """Equal layers with one precision, each followed by a layer with the same other one."""

    shape: ModelShape
    """The model, with these layers alone."""
    own: Precision
    next: Precision
    """Precision of the layer after each: that of the results of ``d``."""

    @property
    def one(self) -> Self:
        """One of the layers without its window: layers with the same GeMMs have the same one."""
        return replace(self, shape=self.shape.without_windows().with_layers(1))


def equal_layers(shape: ModelShape, precision: LayerPrecision) -> Iterator[EqualLayers]:
    """Layers that are simulated once, in the order in which they first come.

    Raises
    ------
    InputError
        The number of precisions is not that of the layers.
    """
    if isinstance(precision, Precision):
        yield from (EqualLayers(part.shape, precision, precision) for part in shape.parts)
        return
    if len(precision) != shape.layers:
        raise InputError(
            f"precision: {len(precision)} layers have one and {shape.name} has {shape.layers} layers; give one for each"
        )
    kinds = {layer: part.shape.with_layers(1) for part in shape.parts for layer in part.layers}
    after = [*precision[1:], precision[-1]]
    counts = Counter(EqualLayers(kinds[layer], precision[layer], after[layer]) for layer in range(shape.layers))
    for one, count in counts.items():
        yield replace(one, shape=one.shape.with_layers(count))


def run_model_gemms(
    shape: ModelShape, setup: Setup, precision: LayerPrecision, settings: ModelSettings
) -> SimulationResult:
    """Time the FP-INT GeMMs of a pass alone, with the parameters of `run_model`; their results are in FP16 or Anda."""
    setup = setup.in_phase(settings.phase)
    precision = _own_precision(precision, setup)
    layers = equal_layers(shape.without_windows(), precision)
    parts = [_layer_gemms(one, setup, KvCache(), settings) for one in layers]
    return add_runs(parts, setup.machine.precision(precision) if isinstance(precision, Precision) else precision, setup)


def _own_precision(precision: LayerPrecision, setup: Setup) -> LayerPrecision:
    """The precision asked for, or any where the machine has its own."""
    return precision if isinstance(precision, Precision) or setup.machine.takes_precision else precision[0]


def _layer_gemms(layers: EqualLayers, setup: Setup, cache: KvCache, settings: ModelSettings) -> SimulationResult:
    work = gemms(layers.shape, settings.phase, settings.tokens, settings.context, batch=settings.batch)
    cached = cache.stored(setup.machine)
    if layers.own == layers.next:
        return run_gemms(work, setup, layers.own, cached)
    last = layers.own._replace(qkv=layers.next.qkv)
    others, downs = ([gemm for gemm in work if (gemm.module == "d") == is_down] for is_down in (False, True))
    parts = [run_gemms(others, setup, layers.own, cached), run_gemms(downs, setup, last)]
    return add_runs(parts, setup.machine.precision(layers.own), setup)


@with_settings(ModelSettings)
def simulate_model(
    shape: ModelShape, architecture: str | Path | Architecture, precision: LayerPrecision, settings: ModelSettings
) -> ModelResult:
    """Time a pass through a whole model; the fields of `ModelSettings` are arguments.

    Parameters
    ----------
    shape
        The model.
    architecture
        A name, the path of a YAML file, or an object.
    precision
        Mantissa bits of the modules, or those of each layer; used where the architecture's are variable.
    settings
        The pass, and how the machine is timed and priced.

    Raises
    ------
    InputError
        An input of `prepare` or `run_model` is invalid.
    """
    return run_model(shape, prepare(architecture, settings), precision, settings)
