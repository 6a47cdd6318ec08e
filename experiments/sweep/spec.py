"""A sweep file: what to vary, checked, and the points that it means."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, TypeAlias

from pydantic import Field

from ...formats import InputError
from ...sim import load_architecture
from ...sim.config import Config, config_names, find_config, load_config
from ...workloads import Precision, model_shape
from .expressions import Expression
from .points import RESULT_COLUMNS, Point
from .values import Numbers, Scalars, Texts

QUESTIONS = Path(__file__).with_name("questions")
GRID_LIMIT = 1_000_000
TRIES = 100
"""Random draws for each point asked for, before the rest of the budget is given up."""

Choice: TypeAlias = dict[str, Any]
"""A value for each dimension."""


class Sampling(Config):
    """Which combinations to take."""

    method: Literal["grid", "random", "latin-hypercube"] = "grid"
    points: int | None = Field(default=None, ge=1)
    """Samples; all combinations of the dimensions under `for_each` are taken at each."""
    seed: int = 0
    for_each: tuple[str, ...] = ()
    """Dimensions that are not sampled: ``archs``, ``technology.dram.energy``."""


class SweepSpec(Config):
    """What varies. Every combination is a point; on architectures of fixed width, precisions count once.

    A field is one value, a list, ``{from, to, step}`` or, spaced by equal ratios, ``{from, to, points}``.
    """

    title: str = ""
    """The question."""
    models: Texts
    archs: Texts
    precisions: tuple[str, ...] = ()
    """Tuples such as ``"7,5,6,6"``."""
    mantissa_bits: Numbers | None = None
    """Widths that all four modules share."""
    phases: Texts = ("prefill",)
    tokens: Numbers = (2048,)
    contexts: Numbers = (0,)
    batches: Numbers = (1,)
    levels: Texts = ("closed",)
    technologies: Texts = ("paper-16nm",)
    objectives: Texts = ("energy",)
    tilings: Texts = ("search",)
    architecture: dict[str, Scalars] = Field(default_factory=dict)
    """Dotted fields of an architecture file, set on every architecture: ``activation_buffer.capacity``."""
    technology: dict[str, Scalars] = Field(default_factory=dict)
    """Dotted constants of a technology file, whose value is set: ``dram.bandwidth``."""
    constraints: tuple[str, ...] = ()
    """Formulas that every row has to meet; those over inputs alone save the simulation."""
    derived: dict[str, str] = Field(default_factory=dict)
    """Further columns, as formulas over the others."""
    sampling: Sampling = Sampling()

    def points(self) -> list[Point]:
        """All points that meet the constraints on inputs, in the order of the file's lists, or as sampled.

        Raises:
            InputError: something named does not exist, a formula is wrong, or there is no point at all.
        """
        formulas = self.constraint_formulas()
        points = [self._point(choice) for choice in self._choices(formulas)]
        self._check_names(points[:1], formulas)
        distinct = list(dict.fromkeys(points))
        kept = [point for point in distinct if meets(formulas, point.columns())]
        if not kept:
            raise InputError("constraints: no point meets them all; loosen one or vary more")
        return kept

    def constraint_formulas(self) -> list[Expression]:
        """The constraints, parsed."""
        return [Expression(text, "constraints") for text in self.constraints]

    def derived_formulas(self) -> dict[str, Expression]:
        """The derived metrics, parsed; each may use those before it."""
        return {name: Expression(text, f"derived.{name}") for name, text in self.derived.items()}

    def _check_names(self, points: Iterable[Point], constraints: Iterable[Expression]) -> None:
        """Refuse a formula over what is no column, before anything is simulated."""
        columns = {name for point in points for name in point.columns()} | set(RESULT_COLUMNS)
        for name, formula in self.derived_formulas().items():
            if not name.isidentifier() or name in columns:
                raise InputError(
                    f"derived.{name}: is no new name; use letters, digits and underscores, and no column's"
                )
            formula.require(columns)
            columns.add(name)
        for formula in constraints:
            formula.require(columns)

    def dimensions(self) -> dict[str, tuple[Any, ...]]:
        """The values of each dimension by its name in the file."""
        widths = [str(Precision.uniform(bits)) for bits in self.mantissa_bits or ()]
        fields = {
            "models": tuple(model_shape(name).name for name in self.models),
            "archs": self.archs,
            "precisions": tuple(str(Precision.parse(text)) for text in [*self.precisions, *widths]) or (None,),
            **{name: getattr(self, name) for name in _PLAIN},
        }
        return fields | {
            f"{group}.{field}": values
            for group in ("architecture", "technology")
            for field, values in getattr(self, group).items()
        }

    def _choices(self, formulas: list[Expression]) -> Iterable[Choice]:
        dimensions = self.dimensions()
        sampling = self.sampling
        if unknown := sorted(set(sampling.for_each) - set(dimensions)):
            raise InputError(f"sampling.for_each: {unknown[0]!r} is no dimension; use one of {', '.join(dimensions)}")
        if sampling.method == "grid":
            if sampling.points is not None:
                raise InputError("sampling.points: a grid takes every combination; use random or latin-hypercube")
            return _grid(dimensions)
        if sampling.points is None:
            raise InputError(f"sampling.points: is missing; say how many samples {sampling.method} takes")
        sampled = {name: values for name, values in dimensions.items() if name not in sampling.for_each}
        each = list(_grid({name: dimensions[name] for name in sampling.for_each}))
        draw = _random if sampling.method == "random" else _latin_hypercube

        def wanted(choice: Choice) -> bool:
            return any(meets(formulas, self._point(choice | other).columns()) for other in each)

        return [choice | other for choice in draw(sampled, sampling.points, sampling.seed, wanted) for other in each]

    def _point(self, choice: Choice) -> Point:
        arch: str = choice["archs"]
        fixed = load_architecture(arch).processing_element.mantissa_bits != "variable"
        if not fixed and choice["precisions"] is None:
            raise InputError(
                f"precisions: {arch} needs some; list tuples under precisions or widths under mantissa_bits"
            )
        settings = {
            group: tuple((field, choice[f"{group}.{field}"]) for field in getattr(self, group))
            for group in ("architecture", "technology")
        }
        return Point(
            model=choice["models"],
            arch=arch,
            precision=None if fixed else choice["precisions"],
            **{field: choice[name] for name, field in _PLAIN.items()},
            architecture_settings=settings["architecture"],
            technology_settings=settings["technology"],
        )


_PLAIN = {
    "phases": "phase",
    "tokens": "tokens",
    "contexts": "context",
    "batches": "batch",
    "levels": "level",
    "technologies": "technology",
    "objectives": "objective",
    "tilings": "tiling",
}
"""Fields of a sweep file that are a field of `Point` as they are."""


def load_spec(path: Path | str) -> SweepSpec:
    """Read and check a sweep file, or a built-in question by its name.

    Raises:
        InputError: the file is missing, is not YAML, or has an unknown key or a bad value.
    """
    return load_config(SweepSpec, find_config(path, QUESTIONS, "sweep"), "sweep")


def question_names() -> list[str]:
    """The built-in questions."""
    return list(config_names(QUESTIONS))


def sweep_schema() -> str:
    """The JSON schema of sweep files, for editors."""
    return json.dumps(SweepSpec.model_json_schema(by_alias=True), indent=2)


def meets(formulas: Iterable[Expression], columns: Mapping[str, Any]) -> bool:
    """Whether a row of input columns meets the formulas that speak of inputs alone."""
    return all(formula.evaluate(columns) for formula in formulas if formula.names <= set(columns))


def _grid(dimensions: Mapping[str, tuple[Any, ...]]) -> Iterator[Choice]:
    size = 1
    for values in dimensions.values():
        size *= len(values)
    if size > GRID_LIMIT:
        raise InputError(
            f"sampling: the grid has {size:,} combinations, more than {GRID_LIMIT:,}; take random or latin-hypercube"
        )
    return (dict(zip(dimensions, values, strict=True)) for values in itertools.product(*dimensions.values()))


def _random(
    dimensions: Mapping[str, tuple[Any, ...]], count: int, seed: int, wanted: Callable[[Choice], bool]
) -> list[Choice]:
    """Distinct combinations, each dimension drawn on its own."""
    rng = random.Random(seed)
    found: dict[tuple[Any, ...], Choice] = {}
    for _ in range(TRIES * count):
        values = tuple(rng.choice(choices) for choices in dimensions.values())
        choice = dict(zip(dimensions, values, strict=True))
        if values not in found and wanted(choice):
            found[values] = choice
        if len(found) == count:
            break
    return list(found.values())


def _latin_hypercube(
    dimensions: Mapping[str, tuple[Any, ...]], count: int, seed: int, wanted: Callable[[Choice], bool]
) -> list[Choice]:
    """`count` samples that take the values of each dimension equally often, as far as that divides."""
    rng = random.Random(seed)
    columns: list[list[Any]] = []
    for values in dimensions.values():
        column = [values[int((index + rng.random()) * len(values) / count)] for index in range(count)]
        rng.shuffle(column)
        columns.append(column)
    samples = [dict(zip(dimensions, sample, strict=True)) for sample in zip(*columns, strict=True)]
    return [sample for sample in samples if wanted(sample)]
