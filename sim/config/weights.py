"""Weight formats on the machine: bits in memory, passes of the array, and work of the side unit.

The dispatcher decodes codes on their way to the array; look-up tables and bilevel scales cost no cycle unless a format says so. A
side unit multiplies the sparse weights beside the array and adds to its results.
"""

from functools import cache, lru_cache
from pathlib import Path
from typing import Any, Self

import numpy as np
from pydantic import Field, model_validator

from ...formats import InputError
from ...formats.documents.schema import Config, Name, check
from ...formats.named_weights import NamedWeights
from ...formats.weights.int4 import BITS as INT4_BITS
from ...workloads.models.gemms import FP16_BITS
from .yaml_config import config_names, find_config, load_config

FOLDER = Path(__file__).parents[1] / "weights"
MAX_INTEGER_BITS = 8
"""Bits of the widest integer weights."""
MOST_DECODE_CYCLES = 1 << 20
"""Most cycles to decode a group: far more than any stream takes."""


class WeightConfig(Config):
    """Dense codes with group parameters or a table, and a sparse rest."""

    name: Name
    title: str
    source: str
    bits: int = Field(ge=1, le=FP16_BITS)
    """Bits of a dense code: 1 to 8 of an integer, or 16 of a FP16 weight."""
    group_size: int = Field(ge=1)
    """Input channels that share parameters; a short last group has its own, too."""
    scale_bits: int = Field(ge=0)
    """Bits of a group's parameters."""
    table_bits: int = Field(default=0, ge=0)
    """Bits of each output channel's look-up table."""
    digits: int | None = Field(default=None, ge=1, le=4)
    """4-bit digits of the integer that a code decodes to, such as the entry of a table; None if a code is the integer."""
    sparse_fraction: float = Field(default=0.0, ge=0, le=1)
    """Share of the weights that are in the sparse part."""
    sparse_bits: int = Field(default=0, ge=0)
    """Bits of one sparse weight, its position included."""
    pointer_bits: int = Field(default=0, ge=0)
    """Bits of each output channel's pointer to its sparse weights."""
    sparse_lanes: int = Field(default=1, ge=1)
    """Products of the side unit in a cycle."""
    decode_cycles: int = Field(default=0, ge=0, le=MOST_DECODE_CYCLES)
    """Cycles of the dispatcher to decode one group of channels, an element's lanes, of all columns; 0 if it follows the port."""
    method: str | None = None
    """Registered method with its parameters that quantises to this format, such as ``gptq bits=3``; None if none is known."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if MAX_INTEGER_BITS < self.bits < FP16_BITS:
            raise ValueError(f"bits: {self.bits} is out of range; use 1 to 8, or 16 for FP16 weights")
        if self.digits is None or self.table_bits:
            return self
        if self.is_fp16 or self.digits * INT4_BITS < self.bits:
            needed = "" if self.is_fp16 else f" or give {-(-self.bits // INT4_BITS)}"
            raise ValueError(f"digits: {self.digits} do not hold codes of {self.bits} bits; leave digits out{needed}")
        return self

    @property
    def is_fp16(self) -> bool:
        """True if the weights are FP16 numbers, not integers."""
        return self.bits == FP16_BITS

    @property
    def value_bits(self) -> int:
        """Bits of the integer that a code stands for, or of the FP16 weight."""
        return self.bits if self.digits is None else self.digits * INT4_BITS

    def sparse_weights(self, in_channels: Any) -> Any:
        """Sparse weights of one output channel: the mean, rounded up."""
        if not self.sparse_fraction:
            return 0
        count = np.ceil(in_channels * self.sparse_fraction)
        return count.astype(np.int64) if np.ndim(count) else int(count)

    def channel_bits(self, in_channels: Any) -> Any:
        """Bits of one output channel's stored weights; `in_channels` may be an array."""
        groups = -(-in_channels // self.group_size)
        dense = in_channels * self.bits + groups * self.scale_bits + self.table_bits
        return dense + self.sparse_weights(in_channels) * self.sparse_bits + self.pointer_bits


def weight_format_names() -> list[str]:
    """The built-in weight formats."""
    return list(config_names(FOLDER))


def load_weights(name: Any) -> WeightConfig:
    """A weight format: a built-in name, the path of your own YAML file, or a registered method with parameters.

    An object is returned as it is.

    Raises
    ------
    InputError
        There is no such format, its file has an unknown key or a bad value, or a method says something impossible of itself.
    """
    if isinstance(name, WeightConfig):
        return name
    text = str(name)
    if text not in weight_format_names() and Path(text).suffix not in (".yaml", ".yml"):
        named = NamedWeights.parse(text)
        if (registered := named.registered) is None:
            raise InputError(
                f"weight format: {text!r} is unknown; choose one of {', '.join(weight_format_names())}, a method of `anda plugins` or of "
                "--plugin FILE, or give a path to a YAML file"
            )
        return _load_method(named, registered)
    path = find_config(text, FOLDER, "weight format")
    return _load_builtin(path) if path.parent == FOLDER else load_config(WeightConfig, path, "weight format")


@lru_cache(maxsize=256)
def _load_method(named: NamedWeights, _: Any) -> WeightConfig:
    """The format of a method; another class under the same name, of another plugin, is another one."""
    config = check(WeightConfig, named.config(), f"weights: {named.text}")
    named.check_honest(config.channel_bits)
    return config


@cache
def _load_builtin(path: Path) -> WeightConfig:
    return load_config(WeightConfig, path, "weight format")
