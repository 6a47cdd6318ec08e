"""A sweep file: its checked fields, and the points that they describe."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

from pydantic import Field

from ...formats import InputError
from ...formats.checks import check_choice
from ...formats.documents.schema import Config
from ...formats.named_format import NamedFormat
from ...sim import Architecture
from ...sim.analytical.vector_work import check_vector_unit
from ...sim.config.kv_cache import KvCache
from ...sim.config.yaml_config import config_names, find_config, load_config
from ...sim.cost.objective import MAPPING_OBJECTIVES
from ...sim.mapping.mapping_rule import MappingRule
from ...sim.memory.hbm import load_memory
from ...sim.models.ends import head_weights
from ...sim.models.whole_model import VECTOR_TRAFFIC
from ...sim.settings import DramBackground, Level
from ...sim.settings import Settings as SimulationSettings
from ...workloads import MODULES, Precision, load_shape, model_names
from ...workloads.models.gemms import PHASES, check_batch, check_tokens
from ..options.option import described
from ..options.sweep import PointOptions
from ..precisions import given_precision
from .evaluation import LOSS_COLUMNS, Evaluation
from .overrides import Settings, architecture_with
from .points import INFERENCE_COLUMNS, OWN_WEIGHTS, RESULT_COLUMNS, SCOPES, Point
from .space.combinations import GRID_LIMIT
from .space.formulas import Formulas
from .stream import PointStream
from .uncertainty import Uncertainty
from .values import Names, Numbers, Scalars, Texts

QUESTIONS = Path(__file__).with_name("questions")
Choice: TypeAlias = dict[str, Any]
"""A value for each dimension."""


OPTIONS = {field.name: field for field in described(PointOptions)}
"""Options of a point, by name."""
DIMENSIONS = {
    "phases": "phase",
    "tokens": "tokens",
    "contexts": "context",
    "batches": "batch",
    "prompts": "prompt",
    "generates": "generate",
    "levels": "level",
    "technologies": "technology",
    "objectives": "objective",
    "mappings": "mapping",
    "memories": "memory",
    "dram_background": "dram_background",
    "idle": "idle",
    "clock_gating": "clock_gating",
    "kv_caches": "kv_cache",
    "vector_unit": "vector_unit",
    "vector_traffic": "vector_traffic",
    "head": "head",
    "activations": "activations",
    "scopes": "whole",
    "formats": "format",
    "roundings": "rounding",
    "reconstructions": "reconstruct",
    "zero_planes": "zero_planes",
}
"""Fields of a sweep file that list the values of an option; others have names or values of their own."""
ANDA_DIMENSIONS = ("roundings", "reconstructions", "zero_planes")
"""Options of the Anda format, without effect elsewhere."""


CHECKS: dict[str, Callable[[Any], object]] = {
    "phases": partial(check_choice, "phases", choices=PHASES),
    "levels": partial(check_choice, "levels", choices=get_args(Level)),
    "objectives": partial(check_choice, "objectives", choices=MAPPING_OBJECTIVES),
    "tokens": partial(check_tokens, "tokens", lowest=1),
    "contexts": partial(check_tokens, "contexts", lowest=0),
    "prompts": lambda count: count is None or check_tokens("prompts", count, lowest=1),
    "generates": lambda count: count is None or check_tokens("generates", count, lowest=1),
    "batches": check_batch,
    "mappings": MappingRule.parse,
    "dram_background": partial(check_choice, "dram_background", choices=get_args(DramBackground)),
    "memories": lambda name: name == SimulationSettings.memory or load_memory(name),
    "kv_caches": KvCache.parse,
    "vector_unit": check_vector_unit,
    "vector_traffic": partial(check_choice, "vector_traffic", choices=VECTOR_TRAFFIC),
    "head": head_weights,
    "activations": lambda text: text == OWN_WEIGHTS or NamedFormat.read(text, "activations"),
}
"""Checks of the values of a field, by its name."""


def values_of(dimension: str) -> Any:
    """A field of a sweep file: the values of an option, by default its own default."""
    option = OPTIONS[DIMENSIONS[dimension]]
    return Field((option.default,), description=option.option.help)


class Sampling(Config):
    """The combinations of a sweep: all of them, a sample, or a search."""

    method: Literal["grid", "random", "latin-hypercube", "search"] = "grid"
    points: int | None = Field(default=None, ge=1, le=GRID_LIMIT)
    """Samples; all combinations of the dimensions under `for_each` are taken at each. In a search: the budget."""
    seed: int = Field(default=0, ge=0, lt=1 << 32)
    minimise: Names = ()
    """Columns that a search minimises together; ``-name`` where larger is better."""
    for_each: Names = ()
    """Dimensions that are not sampled: ``archs``, ``technology.dram.energy``."""


class SweepSpec(Config, strict=False):
    """A sweep. Every combination of values is a point; on architectures of fixed width, precisions count once.

    A field is one value, a list, ``{from, to, step}`` or, spaced by equal ratios, ``{from, to, points}``.
    """

    title: str = ""
    """The question."""
    models: Texts = Field(description=OPTIONS["model"].option.help)
    archs: Texts = Field(description=OPTIONS["arch"].option.help)
    precisions: Texts | None = Field(
        None,
        description='Mantissa bits of qkv, o, u and d, such as "7,5,6,6", or a file with one precision a layer; without any, the '
        "architecture's default.",
    )
    mantissa_bits: Numbers | None = Field(None, description="Mantissa bits that all four modules share.")
    modules: dict[str, Numbers] = Field(
        default_factory=dict,
        description="Mantissa bits of qkv, o, u and d, each a dimension of its own, in place of the two above.",
    )
    phases: Texts = values_of("phases")
    tokens: Numbers = values_of("tokens")
    contexts: Numbers = values_of("contexts")
    batches: Numbers = values_of("batches")
    prompts: Numbers = values_of("prompts")
    generates: Numbers = values_of("generates")
    levels: Texts = values_of("levels")
    technologies: Texts = values_of("technologies")
    objectives: Texts = values_of("objectives")
    mappings: Texts = values_of("mappings")
    memories: Texts = values_of("memories")
    dram_background: Texts = values_of("dram_background")
    idle: Texts = values_of("idle")
    clock_gating: tuple[bool, ...] = values_of("clock_gating")
    weights: Texts = Field((OWN_WEIGHTS,), description=OPTIONS["weights"].option.help)
    activations: Texts = Field((OWN_WEIGHTS,), description=OPTIONS["activations"].option.help)
    kv_caches: Texts = values_of("kv_caches")
    vector_unit: Texts = values_of("vector_unit")
    vector_traffic: Texts = values_of("vector_traffic")
    head: Texts = values_of("head")
    scopes: Texts = Field(("gemms",), description="gemms, the FP-INT GeMMs, or model: attention and vector unit too.")
    formats: Texts = values_of("formats")
    roundings: Texts = values_of("roundings")
    reconstructions: Texts = values_of("reconstructions")
    zero_planes: Texts = values_of("zero_planes")
    allow_overflow: bool = False
    """Run whole models that the memory cannot hold."""
    evaluation: Evaluation | None = None
    """Measure perplexity on this model and text."""
    architecture: dict[str, Scalars] = Field(default_factory=dict)
    """Dotted fields of an architecture file, set on every architecture: ``activation_buffer.capacity``."""
    technology: dict[str, Scalars] = Field(default_factory=dict)
    """Dotted constants of a technology file, whose value is set: ``dram.bandwidth``."""
    uncertainty: Uncertainty | None = None
    """Vary the constants of the one technology over their uncertainty, beside those under `technology`."""
    constraints: Names = ()
    """Formulas that every row has to meet; those over inputs alone save the simulation."""
    derived: dict[str, str] = Field(default_factory=dict)
    """Further columns, as formulas over the others."""
    metrics: Names = ()
    """Further columns, each computed from a row by a registered metric."""
    sampling: Sampling = Sampling()

    def points(self) -> list[Point]:
        """All points that meet the constraints on inputs, in the order of the file's lists, or as sampled.

        Raises
        ------
        InputError
            Something named does not exist, a formula is wrong, or there is no point at all.
        """
        stream = self.stream()
        return list(stream.block(stream.numbers()).points())

    def stream(self) -> PointStream:
        """The points of a grid or a sample, as columns; its values and formulas are checked.

        Raises
        ------
        InputError
            Something named does not exist, a formula is wrong, or the grid is too large.
        """
        dimensions = self.dimensions()
        self.check_values()
        self._check_sampling(dimensions)
        stream = PointStream(self, DIMENSIONS, ANDA_DIMENSIONS)
        self.check_formulas([stream.first])
        return stream

    @property
    def formulas(self) -> Formulas:
        """What is calculated from the rows."""
        return Formulas(self.metrics, self.derived, self.constraints)

    def asks_for(self, column: str) -> bool:
        """True if a formula, or what a search minimises, names a column."""
        return column in self.formulas.names.union(name.removeprefix("-") for name in self.sampling.minimise)

    def size(self) -> int:
        """Number of points; for a search, its budget."""
        return self.sampling.points or 0 if self.sampling.method == "search" else len(self.stream().numbers())

    def allows(self, point: Point) -> bool:
        """True if a point meets the constraints on inputs, and its settings go together."""
        possible = point.machine_refusal is None and point.request_refusal is None
        return possible and self.formulas.allow(point.columns())

    def check_formulas(self, points: Sequence[Point]) -> dict[str, Any]:
        """Evaluate all formulas once, before anything is simulated: with the inputs of the first point, and results of 1.

        Returns
        -------
        dict
            The columns of that row, derived ones included.

        Raises
        ------
        InputError
            A formula has a name that is not a column or cannot be calculated, a constraint is no condition, or a derived
            column's name is taken.
        """
        columns: dict[str, Any] = dict.fromkeys(self.result_columns(), 1.0) | {"key": ""}
        columns |= {name: value for point in points for name, value in point.columns().items()}
        return self.formulas.check(columns)

    def result_columns(self) -> tuple[str, ...]:
        """Result columns of a row."""
        inference = INFERENCE_COLUMNS if self.prompts != (None,) else ()
        return (*RESULT_COLUMNS, *inference, *(() if self.evaluation is None else LOSS_COLUMNS))

    def dimensions(self) -> dict[str, Sequence[Any]]:
        """The values of each dimension by its name in the file."""
        if self.modules and (set(self.modules) != set(MODULES) or self.precisions or self.mantissa_bits):
            raise InputError("modules: give widths of qkv, o, u and d, and neither precisions nor mantissa_bits")
        widths = [str(Precision.uniform(bits)) for bits in self.mantissa_bits or ()]
        fields: dict[str, Sequence[Any]] = {
            "models": tuple(model_text(name) for name in self.models),
            "archs": self.archs,
            "precisions": tuple(_precision_text(text) for text in [*(self.precisions or ()), *widths]) or (None,),
            **{name: getattr(self, name) for name in DIMENSIONS},
            "weights": self.weights,
        }
        return fields | {
            f"{group}.{field}": values
            for group in ("modules", "architecture", "technology")
            for field, values in self.settings(group).items()
        }

    def check_values(self) -> None:
        """Refuse a value that no point can have, before anything is simulated.

        Raises
        ------
        InputError
            There is one.
        """
        for name, check in CHECKS.items():
            for value in dict.fromkeys(getattr(self, name)):
                check(value)
        layered = [text for text in self.precisions or () if not isinstance(given_precision(text), Precision)]
        if layered and self.evaluation is not None:
            raise InputError(f"precisions: {layered[0]} has one for each layer; leave it out, or leave out evaluation")
        if self.allow_overflow and set(self.scopes) == {"gemms"} and set(self.prompts) == {None}:
            raise InputError("allow_overflow: applies to whole models only; add scopes: model, or leave it out")

    def settings(self, group: str) -> Mapping[str, Sequence[Any]]:
        """The dotted fields of a group that vary, ``modules``, ``architecture`` or ``technology``, with their values.

        Raises
        ------
        InputError
            Constants are uncertain, of several technologies.
        """
        given: dict[str, Sequence[Any]] = dict(getattr(self, group))
        if group != "technology" or self.uncertainty is None:
            return given
        if len(self.technologies) > 1:
            raise InputError("uncertainty: varies the constants of one technology; name one under technologies")
        return _uncertain(self.uncertainty.model_dump_json(), next(iter(self.technologies))) | given

    def _check_sampling(self, dimensions: Mapping[str, Sequence[Any]]) -> None:
        sampling = self.sampling
        if sampling.minimise:
            raise InputError(f"sampling.minimise: a {sampling.method} sample minimises nothing; use method: search")
        if unknown := sorted(set(sampling.for_each) - set(dimensions)):
            raise InputError(
                f"sampling.for_each: {unknown[0]!r} is not a dimension; use one of {', '.join(dimensions)}"
            )
        if sampling.method == "grid":
            if sampling.points is not None:
                raise InputError("sampling.points: a grid takes every combination; use random or latin-hypercube")
        elif sampling.points is None:
            raise InputError(f"sampling.points: is missing; say how many samples {sampling.method} takes")

    def point(self, choice: Choice) -> Point:
        """The point of a value for each dimension.

        Raises
        ------
        InputError
            A precision is missing where the architecture has no default, or an option has no effect without perplexity.
        """
        arch: str = choice["archs"]
        machine = self.machine(choice)
        fixed = not machine.takes_precision
        if not fixed and self._precision(choice) is None and machine.default_precision is None:
            raise InputError(
                f"precisions: {arch} needs some; list tuples under precisions or widths under mantissa_bits"
            )
        for name in (*ANDA_DIMENSIONS, "formats"):
            if choice[name] != OPTIONS[DIMENSIONS[name]].default and self.evaluation is None:
                raise InputError(f"{name}: {choice[name]} is measured on a model; add evaluation, or leave it out")
        settings = {group: self._settings(choice, group) for group in ("architecture", "technology")}
        return Point(
            model=choice["models"],
            arch=arch,
            precision=None if fixed else self._precision(choice),
            **{
                field: _value(name, choice[name])
                for name, field in DIMENSIONS.items()
                if name not in ANDA_DIMENSIONS or not fixed
            },
            weights=None if choice["weights"] == OWN_WEIGHTS else choice["weights"],
            allow_overflow=self.allow_overflow
            and (choice["prompts"] is not None or _value("scopes", choice["scopes"])),
            evaluation=self.evaluation,
            architecture_settings=settings["architecture"],
            technology_settings=settings["technology"],
        )

    def machine(self, choice: Choice) -> Architecture:
        """The architecture of a value for each dimension."""
        activations = _value("activations", choice["activations"])
        return architecture_with(choice["archs"], self._settings(choice, "architecture"), activations)

    def _settings(self, choice: Choice, group: str) -> Settings:
        """The fields of architecture or technology that a choice sets."""
        return tuple((field, choice[f"{group}.{field}"]) for field in self.settings(group))

    def _precision(self, choice: Choice) -> str | None:
        """The mantissa bits of a choice, from its tuple or from the width of each module."""
        if not self.modules:
            return choice["precisions"]
        return str(Precision(*(choice[f"modules.{module}"] for module in MODULES)))


def model_text(model: str) -> str:
    """The name of a known model as it is written there; a checked file or folder as it is given."""
    name = load_shape(model).name
    return name if name in model_names() and name.lower() == model.lower() else model


def load_spec(path: Path | str) -> SweepSpec:
    """Read and check a sweep file, or a built-in question by its name.

    Raises
    ------
    InputError
        The file is missing, is not YAML, or has an unknown key or a bad value.
    """
    return load_config(SweepSpec, find_config(path, QUESTIONS, "sweep"), "sweep")


def question_names() -> list[str]:
    """The built-in questions."""
    return list(config_names(QUESTIONS))


def sweep_schema() -> str:
    """The JSON schema of sweep files, for editors."""
    return json.dumps(SweepSpec.model_json_schema(by_alias=True), indent=2)


def _precision_text(text: str) -> str:
    """The text of a precision, as it is printed; the name of a file stays."""
    found = given_precision(text)
    return str(found) if isinstance(found, Precision) else text


def _value(dimension: str, value: Any) -> Any:
    """An option's value from its value in a sweep file."""
    if dimension == "formats":
        return NamedFormat.parse(value)
    if dimension == "activations":
        return None if value == OWN_WEIGHTS else value
    return SCOPES[check_choice("scopes", value, SCOPES)] if dimension == "scopes" else value


@lru_cache(maxsize=16)
def _uncertain(uncertainty: str, technology: str) -> dict[str, Sequence[Any]]:
    return dict(Uncertainty.model_validate_json(uncertainty).constants(technology))
