"""BOOST's block minifloat: bm(2, 5) elements under a shared exponent bias."""

from dataclasses import asdict, dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ..checks import check_integer
from ..numeric.alignment import GROUP_SIZE
from .base import (
    LEAST_EXPONENT,
    MAX_GROUP_SIZE,
    Parameters,
    bit_parallel_cycles,
    group_exponents,
    join_groups,
    power_of_two,
    split_groups,
)

EXPONENT_BITS = 2
FRACTION_BITS = 5
BIAS_BITS = 8
TOP_FIELD = (1 << EXPONENT_BITS) - 1
LARGEST_CODE = (TOP_FIELD << FRACTION_BITS) | ((1 << FRACTION_BITS) - 1)
SIGN_BIT = 0x80


@dataclass(frozen=True, kw_only=True)
class BoostFormat:
    """Block minifloat bm(2, 5): sign, 2 exponent bits, 5 mantissa bits, and one shared exponent for each group.

    With ``E`` the exponent of the group's largest element, exponent field ``f`` and fraction ``m``, an element is
    ``(32 + m) * 2^(E - 8 + f)`` for f = 1, 2 or 3, and the subnormal ``m * 2^(E - 7)`` for f = 0. Field 3 is the binade
    of the largest element; there is no infinity or NaN. Values round to nearest even and saturate.

    Choices of this project: groups of 64 along the channels, an 8-bit shared exponent, rounding to nearest even. The 5
    in Table I of Anda (arXiv 2411.15982) is the mantissa without sign and exponent.
    """

    name: ClassVar[str] = "boost"
    source: ClassVar[str] = "Guo et al., ICCAD 2023 (10.1109/ICCAD57390.2023.10323638); Fox et al., ICLR 2021"
    shared_bits: ClassVar[int] = BIAS_BITS

    group_size: int = GROUP_SIZE

    def __post_init__(self) -> None:
        check_integer("group_size", self.group_size, 1, MAX_GROUP_SIZE)

    @property
    def parameters(self) -> Parameters:
        """Parameters by name, as `activation_format` takes them."""
        return asdict(self)

    @property
    def bits_per_value(self) -> float:
        """8 bits and the share of the group's exponent."""
        return 1 + EXPONENT_BITS + FRACTION_BITS + BIAS_BITS / self.group_size

    @property
    def cycles_per_group(self) -> int:
        """8 cycles: the width of an element, on a bit-parallel datapath of equal area."""
        return bit_parallel_cycles(1 + EXPONENT_BITS + FRACTION_BITS)

    def encode(self, x: NDArray[np.float16]) -> "BoostTensor":
        """Encode float16 ``[..., channels]``; `InputError` for another dtype, no channels, infinities or NaN."""
        groups = split_groups(x, self.group_size)
        exponents = group_exponents(groups, LEAST_EXPONENT)
        # In units of the largest element's binade; below field 1 the grid stays that of field 1.
        magnitudes = np.abs(groups) * power_of_two(-exponents.astype(np.int32))[..., None]
        below_top = np.frexp(np.maximum(magnitudes, 2.0 ** (1 - TOP_FIELD)))[1] - 1
        significands = np.rint(np.ldexp(magnitudes, FRACTION_BITS - below_top)).astype(np.int32)
        # A significand of 32 and more carries into the exponent field by itself.
        codes = np.minimum(((below_top + TOP_FIELD - 1) << FRACTION_BITS) + significands, LARGEST_CODE)
        signs = np.where(np.signbit(groups), SIGN_BIT, 0)
        return BoostTensor(self, x.shape, (codes | signs).astype(np.uint8), exponents)


@dataclass(frozen=True, eq=False)
class BoostTensor:
    """Tensor of ``codes`` uint8 ``[..., groups, group_size]`` and ``exponents`` int8 ``[..., groups]``."""

    format: BoostFormat
    shape: tuple[int, ...]
    codes: NDArray[np.uint8]
    exponents: NDArray[np.int8]

    def decode(self) -> NDArray[np.float16]:
        """Decode exactly."""
        scales = power_of_two(self.exponents)
        values = _VALUES[self.codes] * scales[..., None]
        return join_groups(values, self.shape, self.format.group_size).astype(np.float16)


def _code_values() -> NDArray[np.float32]:
    """Values of all 256 codes with the shared exponent 0."""
    codes = np.arange(256)
    fields, fractions = (codes >> FRACTION_BITS) & TOP_FIELD, codes & ((1 << FRACTION_BITS) - 1)
    significands = fractions + np.where(fields > 0, 1 << FRACTION_BITS, 0)
    magnitudes = np.ldexp(significands.astype(np.float32), np.maximum(fields, 1) - TOP_FIELD - FRACTION_BITS)
    return np.where(codes & SIGN_BIT, -magnitudes, magnitudes)


_VALUES = _code_values()
