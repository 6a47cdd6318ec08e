"""An activation format of one's own: integers under a shared exponent, rounded to nearest (docs/activation_formats.md)."""

from dataclasses import asdict, dataclass
from typing import ClassVar

import numpy as np

from anda_codesign import register


@register
@dataclass(frozen=True, kw_only=True)
class MyFormat:
    """The format: what memory and array take, and how it encodes."""

    name: ClassVar[str] = "my-format"
    source: ClassVar[str] = "examples/my_format.py"
    shared_bits: ClassVar[int] = 5  # the exponent of a group

    bits: int = 6  # of an integer, with its sign
    group_size: int = 32

    @property
    def parameters(self):
        return asdict(self)

    @property
    def bits_per_value(self):
        return self.bits + self.shared_bits / self.group_size

    @property
    def cycles_per_group(self):  # of 64 values in a bit-serial array
        return self.bits

    def encode(self, x):
        channels = x.shape[-1]
        padding = [(0, 0)] * (x.ndim - 1) + [(0, -channels % self.group_size)]
        groups = np.pad(x.astype(np.float32), padding).reshape(*x.shape[:-1], -1, self.group_size)
        exponents = np.frexp(np.abs(groups).max(axis=-1, keepdims=True))[1].clip(-13, 18)
        units = np.ldexp(np.float32(1), exponents - self.bits + 1)
        most = 2 ** (self.bits - 1) - 1
        return MyTensor(x.shape, np.rint(groups / units).clip(-most, most), units)


@dataclass(frozen=True, eq=False)
class MyTensor:
    """A tensor in the format."""

    shape: tuple[int, ...]
    integers: np.ndarray
    units: np.ndarray

    def decode(self):
        values = (self.integers * self.units).reshape(*self.shape[:-1], -1)
        return values[..., : self.shape[-1]].astype(np.float16)
