"""Points of a sweep: one simulation each, its key, and its row."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ... import formats, sim, workloads
from ...formats import InputError
from ...sim import load_weights
from ...workloads import MODULES, Precision
from .. import simulation
from .evaluation import (
    OWN_FORMAT,
    Evaluation,
    activation_hook,
    evaluate_hook,
    format_bits,
    format_source,
    group_cycles,
)
from .overrides import (
    Settings,
    architecture_columns,
    architecture_with,
    file_content,
    technology_columns,
    technology_with,
)

if TYPE_CHECKING:
    import pandas as pd

    from ...sim import Architecture

MEASURES = ("cycles", "seconds", "macs", "bops_saving", "dram_bytes", "sram_bytes", "area_mm2")
ENERGIES = ("compute", "sram", "dram", "total")
RESULT_COLUMNS = ("key", *MEASURES, *(f"energy_{part}_pj" for part in ENERGIES))
"""Columns of a row beside those of `Point.columns`; `evaluation.LOSS_COLUMNS` join where perplexity is evaluated."""
OWN_WEIGHTS = "own"
"""In a sweep file: the weight format of the architecture."""
ZERO_PLANES = ("sent", "skipped")
TASK_COLUMNS = ("model", "phase", "tokens", "context", "batch", "scope")
"""What there is to do: rows that differ in one of these are not compared."""
LAST_INPUT = "reconstruct"
"""The last of the input columns that every row has."""
SCOPES = ("gemms", "model")


@dataclass(frozen=True)
class Point:
    """One simulation: the arguments of `simulation.simulate_model`."""

    model: str
    arch: str
    precision: str | None
    """Mantissa bits of qkv, o, u and d; None on an architecture of fixed width."""
    phase: str = "prefill"
    tokens: int = 2048
    context: int = 0
    batch: int = 1
    level: str = "analytical"
    technology: str = "paper-16nm"
    objective: str = "energy"
    tiling: str = "search"
    memory: str = "flat"
    weights: str | None = None
    """A weight format; None for the architecture's own."""
    kv_cache: str = "fp16"
    scope: str = "gemms"
    """``gemms``, the FP-INT GeMMs, or ``model``: attention and vector unit too."""
    rounding: str = "truncate"
    reconstruct: str = "truncate"
    zero_planes: str = "sent"
    """``sent``, or ``skipped``: an all-zero plane costs no cycle, as counted on the evaluated model."""
    format: str = OWN_FORMAT
    """The activation format that perplexity is measured with; by default what the architecture computes with."""
    evaluation: Evaluation | None = None
    """Where perplexity is measured, if it is."""
    architecture_settings: Settings = ()
    technology_settings: Settings = ()

    def __post_init__(self) -> None:
        choices = (("scopes", self.scope, SCOPES), ("zero_planes", self.zero_planes, ZERO_PLANES))
        for field, value, known in choices:
            if value not in known:
                raise InputError(f"{field}: {value!r} is unknown; use {' or '.join(known)}")

    @property
    def key(self) -> str:
        """Of this point as this version of the program computes it."""
        named = (self.arch, self.technology, self.memory, self.weights or "")
        files = [*(file_content(name) for name in named), format_source(self.format)]
        text = json.dumps([asdict(self), files, model_version()], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:24]

    def columns(self) -> dict[str, Any]:
        """The input as columns: known before the simulation, so that constraints on them save it.

        Raises:
            InputError: the weight format is unknown, or the fields that the sweep sets do not fit the architecture or
                the technology.
        """
        machine = architecture_with(self.arch, self.architecture_settings)
        technology_with(self.technology, self.technology_settings)
        if self.weights is not None:
            load_weights(self.weights)
        asked = Precision.uniform(16) if self.precision is None else Precision.parse(self.precision)
        bits = machine.precision(asked)
        return {
            "model": self.model,
            "arch": self.arch,
            "precision": str(bits),
            **{f"mantissa_bits_{module}": value for module, value in zip(MODULES, bits, strict=True)},
            "phase": self.phase,
            "tokens": self.tokens,
            "context": self.context,
            "batch": self.batch,
            "level": self.level,
            "technology": self.technology,
            "objective": self.objective,
            "tiling": self.tiling,
            "memory": self.memory,
            "weights": self.weights or OWN_WEIGHTS,
            "kv_cache": self.kv_cache,
            "scope": self.scope,
            "format": self.format,
            "format_bits": format_bits(self.format, machine, bits),
            "zero_planes": self.zero_planes,
            "rounding": self.rounding,
            "reconstruct": self.reconstruct,
            **architecture_columns(self.arch, self.architecture_settings),
            **technology_columns(self.technology_settings),
        }


def setting_columns(frame: pd.DataFrame) -> list[str]:
    """The columns of architecture and technology fields that a sweep sets: between the other inputs and the results."""
    names = [str(name) for name in frame.columns]
    if "cycles" not in names or LAST_INPUT not in names:
        return []
    return names[names.index(LAST_INPUT) + 1 : names.index("cycles")]


def simulate_points(points: Sequence[Point]) -> list[dict[str, Any]]:
    """Simulate points: one flat row each, the key first.

    Raises:
        InputError: a point cannot be simulated, such as one with too small a buffer; the message says which.
    """
    return [_row(point) for point in points]


def _row(point: Point) -> dict[str, Any]:
    inputs = point.columns()
    try:
        record = simulation.simulate(
            model=point.model,
            arch=architecture_with(point.arch, point.architecture_settings),
            precision=point.precision,
            phase=point.phase,
            tokens=point.tokens,
            context=point.context,
            batch=point.batch,
            level=point.level,  # pyright: ignore[reportArgumentType]  # the simulator checks it
            technology=technology_with(point.technology, point.technology_settings),
            objective=point.objective,  # pyright: ignore[reportArgumentType]
            tiling=point.tiling,
            **_machine_options(point),
        ).to_dict()
        loss = _loss(point)
    except InputError as error:
        settings = ", ".join(f"{name} {value}" for name, value in inputs.items())
        raise InputError(f"{error} (at the point {settings}; a constraint can leave it out)") from None
    energy: dict[str, float] = record["energy_pj"]
    return {
        "key": point.key,
        **inputs,
        **{name: record[name] for name in MEASURES},
        **{f"energy_{part}_pj": energy[part] for part in ENERGIES},
        **loss,
    }


def _machine_options(point: Point) -> dict[str, Any]:
    """Options of the machine that are not the simulator's defaults."""
    given = {"memory": (point.memory, "flat"), "weights": (point.weights, None), "kv_cache": (point.kv_cache, "fp16")}
    options: dict[str, Any] = {name: value for name, (value, default) in given.items() if value != default}
    if point.scope == "model":
        options["whole"] = True
    if point.reconstruct == "midpoint":
        options["midpoint"] = True
    if point.zero_planes == "skipped" and point.evaluation is not None:
        options["group_cycles"] = group_cycles(point.evaluation, *_machine(point), point.rounding)
    return options


def _machine(point: Point) -> tuple[Architecture, Precision]:
    """The architecture of a point and the widths that it computes with."""
    machine = architecture_with(point.arch, point.architecture_settings)
    asked = Precision.uniform(16) if point.precision is None else Precision.parse(point.precision)
    return machine, machine.precision(asked)


def _loss(point: Point) -> dict[str, float]:
    """The perplexity columns of a point; none where it is not evaluated."""
    if point.evaluation is None:
        return {}
    machine, precision = _machine(point)
    hook = activation_hook(machine, precision, point.rounding, point.reconstruct, point.format)
    return evaluate_hook(point.evaluation, hook)


@cache
def model_version() -> str:
    """Hash of everything that a simulation's result depends on beside its point: code and data of three rooms."""
    folders = [Path(room.__file__ or "").parent for room in (formats, workloads, sim)]
    files = sorted(path for folder in folders for path in folder.rglob("*") if path.suffix in (".py", ".yaml", ".csv"))
    own = [Path(simulation.__file__), Path(__file__).with_name("evaluation.py")]
    return hashlib.sha256(b"".join(path.read_bytes() for path in [*files, *own])).hexdigest()[:24]
