"""Rotary embedding of a Hugging Face configuration, in the forms of old and new ``config.json``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, NamedTuple, Self

from pydantic import Field, model_validator

from ...formats import InputError
from ...formats.documents.schema import Document, check
from ..models.rope import DynamicScaling, LinearScaling, Llama3Scaling, RopeScaling, YarnScaling, yarn_magnitude

Size = Annotated[int, Field(ge=1, le=1 << 24)]
Positive = Annotated[float, Field(gt=0)]
Factor = Annotated[float, Field(ge=1)]

LAYER_KINDS = ("full_attention", "sliding_attention")
"""Kinds of layers that may have rotary embeddings of their own."""


class HfRope(NamedTuple):
    """Rotary embedding of a configuration; see `DecoderWeights`."""

    theta: float
    scaling: RopeScaling | None
    local_theta: float | None


class _Default(Document):
    """Rotary embedding without scaling."""

    def scaling(self) -> RopeScaling | None:
        return None


class _Linear(Document):
    factor: Factor

    def scaling(self) -> RopeScaling | None:
        return LinearScaling(factor=self.factor)


class _Dynamic(Document):
    factor: Factor
    max_position_embeddings: Size

    def scaling(self) -> RopeScaling | None:
        return DynamicScaling(factor=self.factor, original_length=self.max_position_embeddings)


class _Llama3(Document):
    factor: Factor
    original_max_position_embeddings: Size
    low_freq_factor: Positive
    high_freq_factor: Positive

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if self.low_freq_factor >= self.high_freq_factor:
            raise ValueError(f"low_freq_factor: is {self.low_freq_factor}; give less than high_freq_factor")
        return self

    def scaling(self) -> RopeScaling | None:
        return Llama3Scaling(
            factor=self.factor,
            original_length=self.original_max_position_embeddings,
            low_frequency_factor=self.low_freq_factor,
            high_frequency_factor=self.high_freq_factor,
        )


class _Yarn(Document):
    factor: Factor
    original_max_position_embeddings: Size
    beta_fast: Positive | None = None
    beta_slow: Positive | None = None
    truncate: bool = True
    attention_factor: Positive | None = None
    mscale: float | None = None
    mscale_all_dim: float | None = None

    def scaling(self) -> RopeScaling | None:
        magnitude = self.attention_factor
        if magnitude is None and self.mscale and self.mscale_all_dim:
            magnitude = yarn_magnitude(self.factor, self.mscale) / yarn_magnitude(self.factor, self.mscale_all_dim)
        return YarnScaling(
            factor=self.factor,
            original_length=self.original_max_position_embeddings,
            beta_fast=self.beta_fast or 32.0,
            beta_slow=self.beta_slow or 1.0,
            whole_channels=self.truncate,
            magnitude=magnitude,
        )


_SCALINGS: dict[str, type[_Default | _Linear | _Dynamic | _Llama3 | _Yarn]] = {
    "default": _Default,
    "linear": _Linear,
    "dynamic": _Dynamic,
    "llama3": _Llama3,
    "yarn": _Yarn,
}


def read_rope(config: Mapping[str, Any], path: Path, default: HfRope) -> HfRope:
    """Read base and scaling from a configuration; `default` has the bases of missing entries.

    Raises
    ------
    InputError
        The decoder does not compute this kind, an entry is missing, or two entries contradict each other.
    """
    rope: dict[str, Any] = _agreed(config, path, "rope_parameters", "rope_scaling") or {}
    nested = {kind: rope.pop(kind) or {} for kind in LAYER_KINDS if kind in rope}
    for kind, own in nested.items():
        if not isinstance(own, dict):
            raise InputError(
                f"checkpoint: {path}: rope_parameters.{kind}: is {own!r}; input should be a valid dictionary"
            )
    if nested and rope:
        raise InputError(f"checkpoint: {path} has {min(rope)!r} beside {min(nested)!r}; move it into the right layers")
    theta, scaling = _one(nested.get("full_attention", rope), config, path, default.theta)
    if default.local_theta is None and "sliding_attention" not in nested:
        return HfRope(theta, scaling, None)
    local = dict(config) | {"rope_theta": config.get("rope_local_base_freq")}
    local_theta, stretched = _one(nested.get("sliding_attention", {}), local, path, default.local_theta or theta)
    if stretched is not None:
        raise InputError(f"checkpoint: {path} scales the rotary embedding of sliding layers; use a model that does not")
    return HfRope(theta, scaling, local_theta)


def _one(
    rope: dict[str, Any], config: Mapping[str, Any], path: Path, default: float
) -> tuple[float, RopeScaling | None]:
    """Base and scaling of one rotary embedding."""
    theta = _agreed_value("rope_theta", rope.get("rope_theta"), config.get("rope_theta"), path)
    kind = _agreed_value("rope_type", rope.get("rope_type"), rope.get("type"), path) or "default"
    original = "original_max_position_embeddings"
    length = _agreed_value(original, rope.get(original), config.get(original), path)
    if not isinstance(kind, str) or kind not in _SCALINGS:
        raise InputError(f"checkpoint: {path} has rope_type {kind!r}; use a model with {', '.join(_SCALINGS)}")
    if rope.get("partial_rotary_factor", 1) != 1:
        raise InputError(f"checkpoint: {path} rotates a part of each head; use a model with partial_rotary_factor 1")
    model, given = _SCALINGS[kind], dict(rope)
    given["max_position_embeddings"] = config["max_position_embeddings"]
    given[original] = config["max_position_embeddings"] if length is None else length
    for name, field in model.model_fields.items():
        if field.is_required() and name not in given:
            raise InputError(f"checkpoint: {path} lacks {name!r} of rope_type {kind!r}; copy it again")
    base = check(_Base, {"rope_theta": default if theta is None else theta}, f"checkpoint: {path}").rope_theta
    if kind == "yarn" and base <= 1:
        raise InputError(f"checkpoint: {path}: rope_theta: is {base}; give more than 1 with rope_type 'yarn'")
    return base, check(model, given, f"checkpoint: {path}").scaling()


class _Base(Document):
    rope_theta: Positive


def _agreed(config: Mapping[str, Any], path: Path, new: str, old: str) -> Any:
    """Value of an entry that has two names; keys that both state must agree."""
    first, second = config.get(new), config.get(old)
    for name, value in ((new, first), (old, second)):
        if value is not None and not isinstance(value, dict):
            raise InputError(f"checkpoint: {path}: {name}: is {value!r}; input should be a valid dictionary")
    if first and second:
        for key in first.keys() & second.keys():
            _agreed_value(f"{new}.{key}", first[key], second[key], path)
        return second | first
    return dict(first or second or {})


def _agreed_value(name: str, first: Any, second: Any, path: Path) -> Any:
    """Value that may be stated twice; `InputError` if the two differ."""
    if first is not None and second is not None and first != second:
        raise InputError(f"checkpoint: {path} states {name} twice, {first!r} and {second!r}; remove the wrong one")
    return second if first is None else first
