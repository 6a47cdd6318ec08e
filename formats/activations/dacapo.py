"""DaCapo's MX4, MX6 and MX9: block floating point with shared microexponents."""

from dataclasses import asdict, dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..options import Rounding
from .base import (
    LEAST_EXPONENT,
    Parameters,
    bit_parallel_cycles,
    group_exponents,
    join_groups,
    power_of_two,
    require_choice,
    require_grouping,
    round_to_integers,
    split_groups,
)

GROUP_SIZE = 16
PAIR = 2
EXPONENT_BITS = 8
MICROEXPONENT_BITS = 1
MAGNITUDE_BITS = {2: 2, 4: 4, 8: 7}
"""Bits of an element without its sign, by the mantissa length of Table I; only MX9's length counts the sign."""


@dataclass(frozen=True, kw_only=True)
class DacapoFormat:
    """Groups of 16 with an 8-bit exponent; each pair of elements has a 1-bit microexponent.

    With ``E`` the group's largest exponent, a pair whose own largest exponent is below ``E`` has the microexponent
    ``u = 1``, otherwise 0. An element of ``B`` magnitude bits is ``round(x * 2^(B - 1 - E + u))``, saturating at
    ``2^B - 1``. ``mantissa_bits`` 2, 4 and 8, the lengths that Table I of Anda (arXiv 2411.15982) prints, are MX4, MX6
    and MX9: 2, 4 and 7 magnitude bits beside the sign; 4, 6 and 9 bits per value.

    Choices of this project: reading the three printed lengths as MX4, MX6 and MX9, nearest even, and
    ``cycles_per_group`` proportional to the printed length.
    """

    name: ClassVar[str] = "dacapo"
    source: ClassVar[str] = "Kim et al., ISCA 2024; shared microexponents: Rouhani et al., ISCA 2023 (arXiv 2302.08007)"

    mantissa_bits: int = 4
    group_size: int = GROUP_SIZE
    rounding: Rounding = "nearest"

    def __post_init__(self) -> None:
        require_choice("mantissa_bits", self.mantissa_bits, tuple(MAGNITUDE_BITS))
        require_grouping(self.group_size, self.rounding)
        if self.group_size % PAIR:
            raise InputError(f"group_size: {self.group_size} is odd; choose an even one, pairs share a microexponent")

    @property
    def parameters(self) -> Parameters:
        """The fields, by name."""
        return asdict(self)

    @property
    def magnitude_bits(self) -> int:
        """Bits of an element without its sign."""
        return MAGNITUDE_BITS[self.mantissa_bits]

    @property
    def bits_per_value(self) -> float:
        """Sign and magnitude, and the shares of the microexponent and of the group's exponent."""
        return self.magnitude_bits + 1 + MICROEXPONENT_BITS / PAIR + EXPONENT_BITS / self.group_size

    @property
    def cycles_per_group(self) -> int:
        """The printed mantissa length, on a bit-parallel datapath of equal area."""
        return bit_parallel_cycles(self.mantissa_bits)

    def encode(self, x: NDArray[np.float16]) -> "DacapoTensor":
        """Encode float16 ``[..., channels]``; `InputError` for other dtypes, shapes and non-finite values."""
        groups = split_groups(x, self.group_size)
        exponents = group_exponents(groups, LEAST_EXPONENT)
        pairs = groups.reshape(*groups.shape[:-1], self.group_size // PAIR, PAIR)
        microexponents = group_exponents(pairs, LEAST_EXPONENT) < exponents[..., None]
        scales = _pair_scales(exponents, microexponents, self.magnitude_bits)
        integers = round_to_integers(pairs / scales[..., None], (1 << self.magnitude_bits) - 1, self.rounding)
        return DacapoTensor(self, x.shape, integers.astype(np.int8), exponents, microexponents)


@dataclass(frozen=True, eq=False)
class DacapoTensor:
    """A tensor of integers under two levels of exponents.

    Attributes
    ----------
    integers
        int8 ``[..., groups, pairs, 2]``.
    exponents
        int8 ``[..., groups]``.
    microexponents
        bool ``[..., groups, pairs]``: whether the pair's scale is half the group's.
    """

    format: DacapoFormat
    shape: tuple[int, ...]
    integers: NDArray[np.int8]
    exponents: NDArray[np.int8]
    microexponents: NDArray[np.bool_]

    def decode(self) -> NDArray[np.float16]:
        """The values, exact."""
        scales = _pair_scales(self.exponents, self.microexponents, self.format.magnitude_bits)
        values = self.integers * scales[..., None]
        return join_groups(values, self.shape, self.format.group_size).astype(np.float16)


def _pair_scales(
    exponents: NDArray[np.int8], microexponents: NDArray[np.bool_], magnitude_bits: int
) -> NDArray[np.float32]:
    """What one unit of a pair's integers stands for, ``[..., groups, pairs]``."""
    return power_of_two(exponents.astype(np.int32)[..., None] - microexponents - (magnitude_bits - 1))
