"""The fields of a sweep file, and the point of a value for each dimension."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, TypeAlias

from pydantic import Field

from ...formats import InputError
from ...formats.documents.schema import Config
from ...sim import Architecture
from ...workloads import MODULES, Precision, load_shape, model_names
from ..precisions import given_precision
from .evaluation import Evaluation
from .overrides import Settings, architecture_with
from .points import Point
from .space.dimensions import ANDA_DIMENSIONS, CHECKS, DIMENSIONS, OPTIONS, OWN_WEIGHTS, option_value, values_of
from .space.formulas import Formulas
from .space.sampling import Sampling
from .space.values import Names, Numbers, Scalars, Texts
from .uncertainty import Uncertainty

Choice: TypeAlias = dict[str, Any]
"""A value for each dimension."""


class SweepFields(Config, strict=False):
    """The fields of a sweep file.

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

    @property
    def formulas(self) -> Formulas:
        """Metrics, derived columns and constraints of the rows."""
        return Formulas(self.metrics, self.derived, self.constraints)

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
                field: option_value(name, choice[name])
                for name, field in DIMENSIONS.items()
                if name not in ANDA_DIMENSIONS or not fixed
            },
            allow_overflow=self.allow_overflow
            and (choice["prompts"] is not None or option_value("scopes", choice["scopes"])),
            evaluation=self.evaluation,
            architecture_settings=settings["architecture"],
            technology_settings=settings["technology"],
        )

    def machine(self, choice: Choice) -> Architecture:
        """The architecture of a value for each dimension."""
        activations = option_value("activations", choice["activations"])
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


def _precision_text(text: str) -> str:
    """The text of a precision, as it is printed; the name of a file stays."""
    found = given_precision(text)
    return str(found) if isinstance(found, Precision) else text


@lru_cache(maxsize=16)
def _uncertain(uncertainty: str, technology: str) -> dict[str, Sequence[Any]]:
    return dict(Uncertainty.model_validate_json(uncertainty).constants(technology))
