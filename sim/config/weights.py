"""Weight formats on the machine: bits in memory, passes of the array, and work of the side unit.

The dispatcher decodes codes on their way to the array; look-up tables and bilevel scales cost no cycle. A side unit
multiplies the sparse weights beside the array and adds to its results.
"""

from functools import cache
from pathlib import Path
from typing import Any

from pydantic import Field

from ...formats.documents.schema import Config
from .yaml_config import config_names, find_config, load_config

FOLDER = Path(__file__).parents[1] / "weights"


class WeightConfig(Config):
    """Dense codes with group parameters or a table, and a sparse rest."""

    name: str
    title: str
    source: str
    bits: int = Field(ge=1, le=8)
    """Bits of a dense code."""
    group_size: int = Field(ge=1)
    """Input channels that share parameters; a short last group has its own, too."""
    scale_bits: int = Field(ge=0)
    """Bits of a group's parameters."""
    table_bits: int = Field(default=0, ge=0)
    """Bits of each output channel's look-up table."""
    digits: int = Field(default=1, ge=1, le=4)
    """4-bit integers that a code decodes to; an integer array takes them one after the other."""
    sparse_fraction: float = Field(default=0.0, ge=0, le=1)
    """Share of the weights that are in the sparse part."""
    sparse_bits: int = Field(default=0, ge=0)
    """Bits of one sparse weight, its position included."""
    pointer_bits: int = Field(default=0, ge=0)
    """Bits of each output channel's pointer to its sparse weights."""
    sparse_lanes: int = Field(default=1, ge=1)
    """Products of the side unit in a cycle."""

    def sparse_weights(self, in_channels: int) -> int:
        """Sparse weights of one output channel: the mean, rounded up."""
        return -int(-in_channels * self.sparse_fraction // 1)

    def channel_bits(self, in_channels: int) -> int:
        """Bits of one output channel's stored weights."""
        groups = -(-in_channels // self.group_size)
        dense = in_channels * self.bits + groups * self.scale_bits + self.table_bits
        return dense + self.sparse_weights(in_channels) * self.sparse_bits + self.pointer_bits


def weight_format_names() -> list[str]:
    """The built-in weight formats."""
    return list(config_names(FOLDER))


def load_weights(name: Any) -> WeightConfig:
    """A built-in weight format by name, or your own by the path of its YAML file; an object is returned as it is.

    Raises
    ------
    InputError
        There is no such format, or its file has an unknown key or a bad value.
    """
    if isinstance(name, WeightConfig):
        return name
    path = find_config(str(name), FOLDER, "weight format")
    return _load_builtin(path) if path.parent == FOLDER else load_config(WeightConfig, path, "weight format")


@cache
def _load_builtin(path: Path) -> WeightConfig:
    return load_config(WeightConfig, path, "weight format")
