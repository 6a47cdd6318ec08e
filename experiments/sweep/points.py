"""Points of a sweep: one simulation each, its key, and its row."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ... import formats, sim, workloads
from ...formats import InputError
from ...formats.checks import check_choice
from ...formats.named_format import NamedFormat
from ...sim import load_weights
from ...sim.config.kv_cache import KvCache
from ...sim.models.ends import head_weights
from ...workloads import MODULES, Precision, load_shape
from ...workloads.models.gemms import check_batch
from .. import simulation
from ..options.option import described
from ..options.simulation import SimulationOptions
from ..options.sweep import PointOptions
from ..precisions import LayerPrecisions, asked_precision
from ..requests import check_request
from .evaluation import (
    OWN_FORMAT,
    Evaluation,
    activation_hook,
    evaluate_hook,
    format_bits,
    group_cycles,
    weights_are_evaluated,
)
from .overrides import (
    Settings,
    architecture_columns,
    architecture_with,
    file_content,
    technology_columns,
    technology_with,
)
from .space.dimensions import OWN_WEIGHTS, SCOPES
from .space.keys import digest, key_of

if TYPE_CHECKING:
    from ...sim import Architecture

MEASURES = ("cycles", "seconds", "macs", "bops_saving", "dram_bytes", "sram_bytes", "area_mm2")
ENERGIES = ("compute", "sram", "dram", "background", "total")
RESULT_COLUMNS = ("key", *MEASURES, *(f"energy_{part}_pj" for part in ENERGIES))
"""Columns of a row beside those of `Point.columns`; `evaluation.LOSS_COLUMNS` join where perplexity is evaluated."""
INFERENCE_COLUMNS = (
    "ttft_seconds",
    "tpot_mean_seconds",
    "tpot_last_seconds",
    "tokens_per_second",
    "energy_per_token_pj",
    "kv_cache_bytes",
    "memory_bytes",
)
"""Further columns of a sweep over whole inferences."""
ZERO_PLANES = ("sent", "skipped")
TASK_COLUMNS = (
    *("model", "phase", "tokens", "context", "batch", "scope", "prompt", "generate"),
    *("vector_traffic", "head"),
)
"""Columns of the task; rows that differ in one of them are not compared."""
COPIED_COLUMNS = (
    *("phase", "tokens", "context", "batch", "level", "technology", "objective", "mapping", "memory"),
    *("dram_background", "idle", "clock_gating", "vector_unit", "vector_traffic", "head"),
)
"""Options of a point that are columns as they are."""
LAST_INPUT = "reconstruct"
"""The last of the input columns that every row has."""
NAMED_FILES = ("arch", "technology", "memory", "weights", "head", "precision")
"""Options that may name a file of the user's own."""


@dataclass(frozen=True, kw_only=True)
class Point(PointOptions):
    """One simulation, by names and numbers alone.

    Attributes
    ----------
    precision
        Mantissa bits of qkv, o, u and d, or a file with those of each layer; None for the architecture's own width or default.
    evaluation
        Model and text on which perplexity is measured; None if it is not.
    architecture_settings, technology_settings
        Fields of architecture and technology that the sweep sets.
    """

    format: NamedFormat = OWN_FORMAT
    evaluation: Evaluation | None = None
    architecture_settings: Settings = ()
    technology_settings: Settings = ()

    def __post_init__(self) -> None:
        check_choice("zero_planes", self.zero_planes, ZERO_PLANES)

    @property
    def scope(self) -> str:
        """``model`` for a whole model, ``gemms`` for its FP-INT GeMMs alone."""
        return next(name for name, whole in SCOPES.items() if whole == (self.whole or self.prompt is not None))

    @property
    def machine(self) -> Architecture:
        """The architecture, with the fields and the activation format that the sweep sets."""
        return architecture_with(str(self.arch), self.architecture_settings, self.activations)

    @property
    def machine_refusal(self) -> str | None:
        """Why the machine cannot be set up as asked; None if it can."""
        group_cycles: Any = {} if self.zero_planes == "skipped" else None
        try:
            options = SimulationOptions(**(_options(self) | {"group_cycles": group_cycles}))
            setup, _ = simulation.prepare_machine(options)
            KvCache.parse(str(self.kv_cache)).check(setup.machine)
        except InputError as error:
            return str(error)
        return None

    @property
    def request_refusal(self) -> str | None:
        """Why the model cannot run as asked on any machine; None if it can."""
        try:
            check_batch(self.batch)
            check_request(self, load_shape(str(self.model)))
        except InputError as error:
            return str(error)
        return None

    @property
    def key(self) -> str:
        """Hash of the point, of the files that it names, and of this version of the program."""
        return key_of(digest(*field) for field in self.key_fields().items())

    def key_fields(self) -> dict[str, Any]:
        """Everything that decides the result, as plain data by field: `keys.digest` takes one at a time."""
        values = asdict(self)
        for group in ("architecture", "technology"):
            settings = values.pop(f"{group}_settings")
            values |= {f"{group}.{field}": [value, file_content(value)] for field, value in settings}
        for name in NAMED_FILES:
            values[name] = [values[name], file_content(values[name])]
        values["model"] = [values["model"], described_model(str(self.model))]
        cache = KvCache.parse(str(self.kv_cache))
        return values | {
            "format": [self.format.text, self.format.source_sha256],
            "activations": [self.activations and str(self.activations), self.machine.activations.source_sha256],
            "kv_cache": [self.kv_cache, cache.format.source_sha256],
            "version": model_version(),
        }

    def columns(self) -> dict[str, Any]:
        """The input as columns: known before the simulation, so that constraints on them save it.

        Raises
        ------
        InputError
            The weight format is unknown, or the fields that the sweep sets do not fit the architecture or
            the technology.
        """
        machine, bits = _machine(self)
        own = isinstance(bits, Precision)
        means = bits if own else [sum(widths) / len(bits) for widths in zip(*bits, strict=True)]
        technology_with(str(self.technology), self.technology_settings)
        if self.weights is not None:
            load_weights(self.weights)
        return {
            "model": self.model,
            "arch": self.arch,
            "precision": str(bits) if own else str(self.precision),
            **{f"mantissa_bits_{module}": value for module, value in zip(MODULES, means, strict=True)},
            **{name: getattr(self, name) for name in COPIED_COLUMNS},
            "weights": self.weights or OWN_WEIGHTS,
            "activations": self.activations or OWN_WEIGHTS,
            "kv_cache": self.kv_cache,
            "scope": self.scope,
            "format": self.format.text,
            "format_bits": format_bits(self.format, machine, [bits] if own else bits),
            "zero_planes": self.zero_planes,
            "rounding": self.rounding,
            "reconstruct": self.reconstruct,
            **architecture_columns(str(self.arch), self.architecture_settings),
            **technology_columns(self.technology_settings),
            **self._inference_columns(),
        }

    def _inference_columns(self) -> dict[str, Any]:
        """Prompt and generated tokens, and what stands in the columns of a pass; none for a pass."""
        if self.prompt is None or self.generate is None:
            return {}
        tokens = self.prompt + self.generate
        return {"phase": "inference", "tokens": tokens, "prompt": self.prompt, "generate": self.generate}


def described_model(model: str) -> str | None:
    """The shape of a model that a file or folder describes, on which a point's key depends; None for a known name."""
    from ...workloads.models.shape_files import shape_yaml

    return None if model in workloads.model_names() else shape_yaml(workloads.load_shape(model))


def setting_columns(names: Sequence[str]) -> list[str]:
    """The columns of architecture and technology fields that a sweep sets: between the other inputs and the results."""
    if "cycles" not in names or LAST_INPUT not in names:
        return []
    return list(names[names.index(LAST_INPUT) + 1 : names.index("cycles")])


class RefusedPoint(InputError):
    """A point that cannot be simulated; the message names it."""

    def __init__(self, reason: str, inputs: Mapping[str, Any]) -> None:
        super().__init__(f"{reason} (at the point {', '.join(f'{name} {value}' for name, value in inputs.items())})")
        self.reason = reason


@dataclass(frozen=True)
class SimulatedPoints:
    """Rows of points, and for the other points, which cannot be simulated, the reason by their key."""

    rows: list[dict[str, Any]]
    left_out: dict[str, str]


def simulate_points(points: Sequence[Point]) -> list[dict[str, Any]]:
    """Simulate points: one flat row each, the key first.

    Raises
    ------
    RefusedPoint
        A point cannot be simulated, such as one with too small a buffer; the message says which.
    """
    return [_row(point) for point in points]


def simulate_possible(points: Sequence[Point]) -> SimulatedPoints:
    """Simulate the points that can be simulated."""
    rows: list[dict[str, Any]] = []
    left_out: dict[str, str] = {}
    for point in points:
        try:
            rows += simulate_points([point])
        except RefusedPoint as error:
            left_out[point.key] = error.reason
    return SimulatedPoints(rows, left_out)


def _row(point: Point) -> dict[str, Any]:
    inputs = point.columns()
    try:
        result = _simulation(point).to_dict()
        loss = _loss(point)
    except InputError as error:
        raise RefusedPoint(str(error), inputs) from None
    energy: dict[str, float] = result["energy_pj"]
    return {
        "key": point.key,
        **inputs,
        **{name: _fitting(result[name]) for name in MEASURES},
        **{f"energy_{part}_pj": energy[part] for part in ENERGIES},
        **_inference(result),
        **loss,
    }


def _inference(result: dict[str, Any]) -> dict[str, Any]:
    """The columns of a whole inference from its record; none of a pass."""
    if "tpot_seconds" not in result:
        return {}
    tokens = {f"tpot_{name}_seconds": value for name, value in result["tpot_seconds"].items()}
    return {name: {**result, **tokens}[name] for name in INFERENCE_COLUMNS}


def _fitting(count: float | None) -> float:
    """A count as a table takes it: one that does not fit 64 bits as a float, an unknown one as NaN."""
    if count is None:
        return math.nan
    return float(count) if abs(count) >= 1 << 63 else count


def _options(point: Point) -> dict[str, Any]:
    """The options of a point's simulation, but the cycles of skipped planes, which are measured."""
    options: dict[str, Any] = {field.name: getattr(point, field.name) for field in described(SimulationOptions)}
    options |= {"arch": point.machine, "activations": None}
    options["technology"] = technology_with(str(point.technology), point.technology_settings)
    options["midpoint"] = point.reconstruct == "midpoint"
    return options


def _simulation(point: Point) -> simulation.Simulation:
    options = _options(point)
    if point.zero_planes == "skipped" and point.evaluation is not None:
        options["group_cycles"] = group_cycles(point.evaluation, *_uniform(point), point.rounding)
    return simulation.simulate(**options)


def _machine(point: Point) -> tuple[Architecture, Precision | LayerPrecisions]:
    """The architecture of a point and the widths that it computes with, of all layers or of each."""
    machine = point.machine
    asked = asked_precision(machine, point.precision)
    return machine, machine.precision(asked) if isinstance(asked, Precision) else tuple(map(machine.precision, asked))


def _uniform(point: Point) -> tuple[Architecture, Precision]:
    """The architecture of a point that is evaluated and the widths of all layers.

    Raises
    ------
    InputError
        Layers have widths of their own.
    """
    machine, bits = _machine(point)
    if not isinstance(bits, Precision):
        raise InputError("evaluation: takes one precision for all layers; leave out the file with one for each")
    return machine, bits


def _loss(point: Point) -> dict[str, float]:
    """The perplexity columns of a point; none where it is not evaluated."""
    if point.evaluation is None:
        return {}
    machine, precision = _uniform(point)
    hook = activation_hook(machine, precision, point.rounding, point.reconstruct, point.format)
    weights = machine.weights if point.weights is None else load_weights(point.weights)
    head = head_weights(point.head) if point.whole or point.prompt is not None else None
    own_head = head is not None and head.method is not None
    if own_head or (weights.method is not None and not weights_are_evaluated(weights, hook)):
        hook = None
    return evaluate_hook(point.evaluation, hook, weights.method)


@cache
def model_version() -> str:
    """Hash of everything that rows depend on beside their points: code and data of three rooms, and of sweeps."""
    folders = [Path(room.__file__ or "").parent for room in (formats, workloads, sim)]
    found = [path for folder in folders for path in folder.rglob("*") if path.suffix in (".py", ".yaml", ".csv")]
    found += [*Path(simulation.__file__).parent.glob("*.py"), *Path(__file__).parent.rglob("*.py")]
    return hashlib.sha256(b"".join(path.read_bytes() for path in sorted(found))).hexdigest()[:24]
