"""A sweep file: what to vary, checked, and the points that it means."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

from pydantic import Field

from ... import formats, sim, workloads
from ...formats import InputError
from ...sim import load_architecture
from ...sim.config import Config, load_config
from ...workloads import Precision, model_shape


@dataclass(frozen=True)
class Point:
    """One simulation: the arguments of `simulation.simulate_model`."""

    model: str
    arch: str
    precision: str | None
    """Mantissa bits of qkv, o, u and d; None on an architecture of fixed width."""
    phase: str
    tokens: int
    context: int
    level: str
    technology: str

    @property
    def key(self) -> str:
        """Of this point as this version of the program computes it."""
        text = json.dumps([asdict(self), model_version()], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:24]


class Range(Config):
    """Whole numbers from `start` to `stop`, both included."""

    start: int = Field(alias="from")
    stop: int = Field(alias="to")
    step: int = Field(default=1, ge=1)

    def values(self) -> list[int]:
        """The numbers."""
        return list(range(self.start, self.stop + 1, self.step))


class SweepSpec(Config):
    """What varies. Every combination is a point; on architectures of fixed width, precisions count once."""

    models: tuple[str, ...] = Field(min_length=1)
    archs: tuple[str, ...] = Field(min_length=1)
    precisions: tuple[str, ...] = ()
    """Tuples such as ``"7,5,6,6"``."""
    mantissa_bits: tuple[int, ...] | Range = ()
    """Widths that all four modules share."""
    phases: tuple[str, ...] = ("prefill",)
    tokens: tuple[int, ...] | Range = (2048,)
    contexts: tuple[int, ...] | Range = (0,)
    levels: tuple[str, ...] = ("closed",)
    technologies: tuple[str, ...] = ("paper-16nm",)

    def points(self) -> list[Point]:
        """All points, in the order of the file's lists.

        Raises:
            InputError: a model, architecture or precision does not exist, or there is no point at all.
        """
        models = [model_shape(name).name for name in self.models]
        machines = [(arch, precision) for arch in self.archs for precision in self._precisions(arch)]
        rest = itertools.product(
            self.phases, _numbers(self.tokens), _numbers(self.contexts), self.levels, self.technologies
        )
        points = [
            Point(model, *machine, *settings)
            for model, machine, settings in itertools.product(models, machines, list(rest))
        ]
        if not points:
            raise InputError("sweep: has no points; every list and range needs a value")
        return list(dict.fromkeys(points))

    def _precisions(self, arch: str) -> Iterator[str | None]:
        if load_architecture(arch).processing_element.mantissa_bits != "variable":
            yield None
            return
        texts = [*self.precisions, *(str(Precision.uniform(bits)) for bits in _numbers(self.mantissa_bits))]
        if not texts:
            raise InputError(
                f"precisions: {arch} needs some; list tuples under precisions or widths under mantissa_bits"
            )
        for text in texts:
            yield str(Precision.parse(text))


def load_spec(path: Path | str) -> SweepSpec:
    """Read and check a sweep file.

    Raises:
        InputError: the file is missing, is not YAML, or has an unknown key or a bad value.
    """
    return load_config(SweepSpec, Path(path), "sweep")


@cache
def model_version() -> str:
    """Hash of everything that a simulation's result depends on beside its point: code and data of three rooms."""
    folders = [Path(room.__file__ or "").parent for room in (formats, workloads, sim)]
    files = sorted(path for folder in folders for path in folder.rglob("*") if path.suffix in (".py", ".yaml", ".csv"))
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:24]


def _numbers(values: tuple[int, ...] | Range) -> Sequence[int]:
    return values.values() if isinstance(values, Range) else values
