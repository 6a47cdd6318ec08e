"""Shapes of published models, from ``data/models.yaml``."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from ...formats import InputError


@dataclass(frozen=True, kw_only=True)
class ModelShape:
    """Sizes of a decoder-only transformer, in channels, heads, layers and tokens."""

    name: str
    family: str
    """Architecture: ``"opt"`` or ``"llama"``."""
    hidden: int
    ffn: int
    layers: int
    heads: int
    """Query heads."""
    kv_heads: int
    """Key/value heads; grouped-query attention has fewer than `heads`."""
    vocabulary: int
    gated: bool
    """True if the FFN has a gate projection beside its up projection."""
    max_length: int
    """Longest context that the model was trained for, in tokens."""
    tied: bool = False
    """True if the language-model head is the embedding table."""
    head_size: int | None = None
    """Channels of one head if they are not ``hidden / heads``."""
    source: str = ""
    """Where the numbers are published."""

    @property
    def head_dim(self) -> int:
        """Number of channels of one head."""
        return self.head_size or self.hidden // self.heads

    @property
    def query_channels(self) -> int:
        """Number of output channels of the query projection, and of input channels of the output projection."""
        return self.heads * self.head_dim

    @property
    def learned_positions(self) -> bool:
        """True if a table of position embeddings is added to the token embeddings."""
        return self.family == "opt"

    @property
    def kv_channels(self) -> int:
        """Number of output channels of the key projection, and of the value projection."""
        return self.kv_heads * self.head_dim


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
        raise InputError(f"model: {name!r} is unknown; choose one of {', '.join(model_names())}") from None


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
