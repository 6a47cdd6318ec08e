"""Shapes of decoder-only transformers: sizes, kinds of layers, experts; those of published models from ``data/models.yaml``."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, fields, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

from pydantic import ConfigDict, Field

from ...formats import InputError
from ...formats.checks import check_choice, check_flags, check_integer, check_number, did_you_mean
from ...formats.documents.schema import INTEGER, Name

MOST_CHANNELS = 1 << 24
MOST_HEADS = 1 << 13
MOST_LAYERS = 1 << 12
MOST_EXPERTS = 1 << 14
Size = Annotated[int, Field(ge=1, le=MOST_CHANNELS)]
Heads = Annotated[int, Field(ge=1, le=MOST_HEADS)]
Layers = tuple[Annotated[int, Field(ge=0, lt=MOST_LAYERS)], ...]
Activation = Literal["silu", "gelu", "relu"]
BiasedModule = Literal["qkv", "o", "u", "d"]
STRICT = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)
"""In a file, a field that does not exist is an error, and a number is no text."""


@dataclass(frozen=True, kw_only=True)
class Experts:
    """Mixture of experts in place of the FFN: a router sends each token to a few of the experts."""

    __pydantic_config__: ClassVar = STRICT
    count: Annotated[int, Field(ge=1, le=MOST_EXPERTS)]
    """Experts that the router chooses from."""
    per_token: Annotated[int, Field(ge=1, le=MOST_EXPERTS)]
    """Experts that compute each token."""
    ffn: Size
    """Channels between the up and the down projection of one expert."""
    shared_ffn: Annotated[int, Field(ge=0, le=MOST_CHANNELS)] = 0
    """Channels of the shared experts, which compute every token, added up; 0 without them."""
    shared_gate: bool = False
    """True if a weight vector of the hidden size gates the shared experts' output (Qwen2-MoE)."""

    def __post_init__(self) -> None:
        check_integer("experts.count", self.count, 1, MOST_EXPERTS)
        if check_integer("experts.per_token", self.per_token, 1) > self.count:
            raise InputError(f"experts.per_token: {self.per_token} is more than there are; use {self.count} at most")
        check_integer("experts.ffn", self.ffn, 1, MOST_CHANNELS)
        check_integer("experts.shared_ffn", self.shared_ffn, 0, MOST_CHANNELS)
        if self.shared_gate and not self.shared_ffn:
            raise InputError("experts.shared_gate: gates shared experts, and there are none; give shared_ffn")

    def distinct(self, tokens: int) -> float:
        """Expected number of experts that some tokens need together, if all experts are equally likely and tokens independent."""
        return self.count * (1 - (1 - self.per_token / self.count) ** tokens)


class LayerPart(NamedTuple):
    """Equal layers of a model."""

    shape: ModelShape
    """The model, with these layers alone."""
    layers: tuple[int, ...]
    """Places of the layers in the model."""


@dataclass(frozen=True, kw_only=True)
class ModelShape:
    """Sizes of a decoder-only transformer, in channels, heads, layers and tokens."""

    __pydantic_config__: ClassVar = STRICT
    name: Name
    """The model's name in results."""
    family: str
    """Architecture, such as ``"opt"`` or ``"llama"``; a name alone, all that it implies is stated in the other fields."""
    hidden: Size
    """Channels of the residual stream."""
    ffn: Size
    """Channels between the up and the down projection of an FFN without experts."""
    layers: Annotated[int, Field(ge=1, le=MOST_LAYERS)]
    """Transformer blocks."""
    heads: Heads
    """Query heads."""
    kv_heads: Heads
    """Key/value heads; grouped-query attention has fewer than `heads`."""
    vocabulary: Size
    """Tokens of the vocabulary: rows of the embedding table, and outputs of the head."""
    gated: bool
    """True if the FFN has a gate projection beside its up projection."""
    max_length: Size
    """Longest context that the model was trained for, in tokens."""
    tied: bool = False
    """True if the language-model head is the embedding table."""
    head_size: Annotated[int, Field(ge=1, le=1 << 16)] | None = None
    """Channels of one head if they are not ``hidden / heads``."""
    activation: Activation = "silu"
    """Activation function of the FFN."""
    norm: Literal["rms", "layer"] = "rms"
    """RMSNorm, or LayerNorm with a bias."""
    block_norms: Annotated[Literal[1, 2, 4], INTEGER] = 2
    """Norms of a block: 2 before attention and FFN, 4 also after them (Gemma 2), or 1 that both share (parallel blocks)."""
    qk_norm: bool = False
    """True if each query and key head is normalised before its rotation, with one gain for all heads (Qwen3)."""
    biases: tuple[BiasedModule, ...] = ()
    """Modules whose projections have a bias."""
    parallel: bool = False
    """True if attention and FFN read the same residual stream, and their sum is added to it (GPT-NeoX, Falcon)."""
    rotary_share: Annotated[float, Field(ge=0, le=1)] = 1.0
    """Share of each head's channels that the rotary position embedding turns; 0 without it."""
    position_rows: Annotated[int, Field(ge=0, le=MOST_CHANNELS)] = 0
    """Rows of a table of learned position embeddings; 0 without it."""
    window: Size | None = None
    """Tokens that a token attends to, its own among them; None for all tokens before it."""
    global_layers: Layers = ()
    """Layers, from 0, that attend to all tokens in spite of `window`."""
    shared_kv_layers: Layers = ()
    """Layers that use keys and values of an earlier layer: they have neither projections nor a cache for them."""
    score_cap: Annotated[float, Field(gt=0)] | None = None
    """Attention scores are limited to it by a hyperbolic tangent (Gemma 2)."""
    logit_cap: Annotated[float, Field(gt=0)] | None = None
    """Outputs of the head are limited to it by a hyperbolic tangent (Gemma 2)."""
    experts: Experts | None = None
    """Experts in place of the FFN."""
    dense_layers: Layers = ()
    """Layers, from 0, with an FFN of `ffn` channels in spite of `experts`."""
    left_out: str = ""
    """Parts of the model that the shape leaves out, such as a vision encoder; every result notes them."""
    source: str = ""
    """Where the numbers are published."""

    def __post_init__(self) -> None:
        if isinstance(self.experts, dict):  # as plain data have it
            object.__setattr__(self, "experts", Experts(**self.experts))
        for name in ("biases", "global_layers", "shared_kv_layers", "dense_layers"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        _check_sizes(self)
        _check_kinds(self)

    @property
    def head_dim(self) -> int:
        """Number of channels of one head."""
        return self.head_size or self.hidden // self.heads

    @property
    def query_channels(self) -> int:
        """Number of output channels of the query projection, and of input channels of the output projection."""
        return self.heads * self.head_dim

    @property
    def kv_channels(self) -> int:
        """Number of output channels of the key projection, and of the value projection."""
        return self.kv_heads * self.head_dim

    @property
    def shares_kv(self) -> bool:
        """True if no layer has keys and values of its own; of interest where all layers are equal (`parts`)."""
        return len(self.shared_kv_layers) == self.layers

    @property
    def projected_kv_channels(self) -> int:
        """Number of output channels of the key and value projections together, where all layers are equal."""
        return 0 if self.shares_kv else 2 * self.kv_channels

    @property
    def active_ffn(self) -> int:
        """Channels between up and down projections that compute one token, where all layers are equal."""
        experts = self.experts
        return self.ffn if experts is None else experts.per_token * experts.ffn + experts.shared_ffn

    @property
    def rotary_channels(self) -> int:
        """Channels of one head that the rotary position embedding turns."""
        return int(self.head_dim * self.rotary_share)

    @property
    def learned_positions(self) -> bool:
        """True if a table of position embeddings is added to the token embeddings."""
        return self.position_rows > 0

    def cached_tokens(self, tokens: int) -> int:
        """Tokens of a sequence whose keys and values a layer keeps, where all layers are equal."""
        return 0 if self.shares_kv else min(tokens, self.window or tokens)

    @cached_property
    def parts(self) -> tuple[LayerPart, ...]:
        """Equal layers together, in the order in which they first come; a model of equal layers is its only part."""
        own, shared, dense = set(self.global_layers), set(self.shared_kv_layers), set(self.dense_layers)
        kinds: defaultdict[tuple[bool, bool, bool], list[int]] = defaultdict(list)
        for layer in range(self.layers):
            kinds[layer in own, layer in shared, layer in dense].append(layer)
        if len(kinds) == 1 and not own | dense:
            return (LayerPart(self, tuple(range(self.layers))),)
        return tuple(
            LayerPart(
                replace(
                    self,
                    layers=len(layers),
                    window=None if is_global else self.window,
                    global_layers=(),
                    shared_kv_layers=range(len(layers)) if shares else (),
                    experts=None if is_dense else self.experts,
                    dense_layers=(),
                ),
                tuple(layers),
            )
            for (is_global, shares, is_dense), layers in kinds.items()
        )

    def without_windows(self) -> ModelShape:
        """The model with attention to all tokens in every layer, which has the same weights and GeMMs."""
        return self if self.window is None else replace(self, window=None, global_layers=())

    def with_layers(self, count: int) -> ModelShape:
        """The model with so many layers, where all layers are equal."""
        return replace(self, layers=count, shared_kv_layers=range(count) if self.shares_kv else ())


def _check_sizes(shape: ModelShape) -> None:
    most = {"heads": MOST_HEADS, "kv_heads": MOST_HEADS, "layers": MOST_LAYERS}
    for field in ("hidden", "ffn", "layers", "heads", "kv_heads", "vocabulary", "max_length"):
        check_integer(field, getattr(shape, field), 1, most.get(field, MOST_CHANNELS))
    check_integer("position_rows", shape.position_rows, 0, MOST_CHANNELS)
    check_number("rotary_share", shape.rotary_share, 0, 1)
    if shape.heads % shape.kv_heads:
        raise InputError(f"kv_heads: {shape.kv_heads} do not divide {shape.heads} heads; give a divisor of heads")
    if shape.head_size is not None:
        check_integer("head_size", shape.head_size, 1, 1 << 16)
    elif shape.hidden % shape.heads:
        raise InputError(
            f"heads: {shape.heads} do not divide {shape.hidden} hidden channels; give a divisor, or head_size"
        )
    if shape.window is not None:
        check_integer("window", shape.window, 1, MOST_CHANNELS)


def _check_kinds(shape: ModelShape) -> None:
    check_flags(shape)
    check_choice("activation", shape.activation, ("silu", "gelu", "relu"))
    check_choice("norm", shape.norm, ("rms", "layer"))
    check_choice("block_norms", shape.block_norms, (1, 2, 4))
    for module in shape.biases:
        check_choice("biases", module, ("qkv", "o", "u", "d"))
    if shape.block_norms == 1 and not shape.parallel:
        raise InputError("block_norms: 1 serves attention and FFN of parallel blocks; set parallel, or give 2")
    for field, needs in (("global_layers", "window"), ("dense_layers", "experts"), ("shared_kv_layers", None)):
        places: tuple[int, ...] = getattr(shape, field)
        if places and needs is not None and getattr(shape, needs) is None:
            raise InputError(f"{field}: has no effect without {needs}; leave it out")
        for place in places:
            check_integer(field, place, 0, shape.layers - 1)
        if len(set(places)) < len(places):
            raise InputError(f"{field}: names a layer twice; name each once")


def model_names() -> list[str]:
    """Names of the known models, in the order of the data file."""
    return [shape.name for shape in _shapes().values()]


def model_shape(name: str) -> ModelShape:
    """Return the shape of a published model; the case of the name does not matter.

    Raises
    ------
    InputError
        There is no such model; the message lists the known ones.
    """
    try:
        return _shapes()[name.lower()]
    except KeyError:
        known = model_names()
        raise InputError(
            f"model: {name!r} is unknown; choose one of {', '.join(known)}{did_you_mean(name, known)}"
        ) from None


def differences(shape: ModelShape) -> dict[str, Any]:
    """Fields that a file has to state, by name: those without a default, and those that differ from it."""
    stated = {field.name: getattr(shape, field.name) for field in fields(shape)}
    return {field.name: stated[field.name] for field in fields(shape) if stated[field.name] != field.default}


@cache
def _shapes() -> dict[str, ModelShape]:
    from ...formats.documents.yaml_file import read_yaml

    data: dict[str, Any] = read_yaml(Path(__file__).parents[1] / "data" / "models.yaml", "models")
    shapes: dict[str, ModelShape] = {}
    for family in data["families"]:
        models: dict[str, dict[str, Any]] = family.pop("models")
        for name, numbers in models.items():
            shapes[name.lower()] = ModelShape(name=name, **family, **numbers)
    return shapes
