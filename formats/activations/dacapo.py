"""DaCapo's MX4, MX6 and MX9: block floating point with shared microexponents."""

from dataclasses import asdict, dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ..checks import check_choice
from ..errors import InputError
from ..options import Rounding
from .base import (
    LEAST_EXPONENT,
    Parameters,
    bit_parallel_cycles,
    check_grouping,
    group_exponents,
    join_groups,
    power_of_two,
    round_to_integers,
    split_groups,
)

GROUP_SIZE = 16
PAIR = 2
EXPONENT_BITS = 8
MICROEXPONENT_BITS = 1
MAGNITUDE_BITS = {2: 2, 4: 4, 8: 7}
"""Width of an element without its sign, by the mantissa length of Table I, which counts the sign only for MX9."""


@dataclass(frozen=True, kw_only=True)
class DacapoFormat:
    """DaCapo's MX: groups of 16 with an 8-bit exponent, and a 1-bit microexponent for each pair of elements.

    With ``E`` the largest exponent of the group, the microexponent ``u`` of a pair is 1 if both its exponents are below
    ``E``, otherwise 0. An element with ``B`` magnitude bits is ``x * 2^(B - 1 - E + u)``, truncated as in the authors'
    emulator, saturating at ``2^B - 1``. ``mantissa_bits`` takes the lengths printed in Table I of Anda (arXiv 2411.15982): 2, 4 and 8 are MX4,
    MX6 and MX9, with 2, 4 and 7 magnitude bits beside the sign, and 4, 6 and 9 bits per value.

    Choices of this project: the three printed lengths are MX4, MX6 and MX9;
    ``cycles_per_group`` is proportional to the printed length.
    """

    name: ClassVar[str] = "dacapo"
    source: ClassVar[str] = "Kim et al., ISCA 2024; shared microexponents: Rouhani et al., ISCA 2023 (arXiv 2302.08007)"
    shared_bits: ClassVar[int] = EXPONENT_BITS

    mantissa_bits: int = 4
    group_size: int = GROUP_SIZE
    rounding: Rounding = "truncate"

    def __post_init__(self) -> None:
        check_choice("mantissa_bits", self.mantissa_bits, MAGNITUDE_BITS)
        check_grouping(self.group_size, self.rounding)
        if self.group_size % PAIR:
            raise InputError(
                f"group_size: {self.group_size} is odd; choose an even number, since pairs share a microexponent"
            )

    @property
    def parameters(self) -> Parameters:
        """Parameters by name, as `activation_format` takes them."""
        return asdict(self)

    @property
    def magnitude_bits(self) -> int:
        """Width of an element without its sign."""
        return MAGNITUDE_BITS[self.mantissa_bits]

    @property
    def bits_per_value(self) -> float:
        """Sign, magnitude, and the shares of the microexponent and of the group's exponent."""
        return self.magnitude_bits + 1 + MICROEXPONENT_BITS / PAIR + EXPONENT_BITS / self.group_size

    @property
    def cycles_per_group(self) -> int:
        """The printed mantissa length, on a bit-parallel datapath of equal area."""
        return bit_parallel_cycles(self.mantissa_bits)

    def encode(self, x: NDArray[np.float16]) -> "DacapoTensor":
        """Encode float16 ``[..., channels]``; `InputError` for another dtype, no channels, infinities or NaN."""
        groups = split_groups(x, self.group_size)
        exponents = group_exponents(groups, LEAST_EXPONENT)
        pairs = groups.reshape(*groups.shape[:-1], self.group_size // PAIR, PAIR)
        microexponents = group_exponents(pairs, LEAST_EXPONENT) < exponents[..., None]
        scales = _pair_scales(exponents, microexponents, self.magnitude_bits)
        integers = round_to_integers(pairs / scales[..., None], (1 << self.magnitude_bits) - 1, self.rounding)
        return DacapoTensor(self, x.shape, integers.astype(np.int8), exponents, microexponents)


@dataclass(frozen=True, eq=False)
class DacapoTensor:
    """Tensor of integers with two levels of exponents.

    Attributes
    ----------
    integers
        int8 ``[..., groups, pairs, 2]``.
    exponents
        int8 ``[..., groups]``.
    microexponents
        bool ``[..., groups, pairs]``: True if the scale of the pair is half that of the group.
    """

    format: DacapoFormat
    shape: tuple[int, ...]
    integers: NDArray[np.int8]
    exponents: NDArray[np.int8]
    microexponents: NDArray[np.bool_]

    def decode(self) -> NDArray[np.float16]:
        """Decode exactly."""
        scales = _pair_scales(self.exponents, self.microexponents, self.format.magnitude_bits)
        values = self.integers * scales[..., None]
        return join_groups(values, self.shape, self.format.group_size).astype(np.float16)


def _pair_scales(
    exponents: NDArray[np.int8], microexponents: NDArray[np.bool_], magnitude_bits: int
) -> NDArray[np.float32]:
    """Value of one unit of each pair's integers, ``[..., groups, pairs]``."""
    return power_of_two(exponents.astype(np.int32)[..., None] - microexponents - (magnitude_bits - 1))
