"""Block floating point with one integer per element: formats of Table I of the Anda paper.

All formats share one definition. With ``E`` the exponent of the group's largest element and ``B`` magnitude bits, an
element is the integer ``q = round(x * 2^(B - 1 - E))``, saturating at ``2^B - 1``; its value is ``q * 2^(E - B + 1)``.
The formats differ in width, in group size and in how their sources count: if the "mantissa length" in Table I (arXiv
2411.15982) includes the sign, ``B`` is one less.

Choices of this project, where a source does not say or trains with another rule: rounding to nearest even; an exponent
of 5 bits as in FP16, where subnormals have the exponent -14, or of 8 bits, where they are normalised; groups of 64 along
the channels as in Anda, so that a comparison shows the effect of the mantissas.
"""

from dataclasses import asdict, dataclass
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from ..checks import check_choice, check_integer
from ..numeric.alignment import GROUP_SIZE
from ..options import Rounding
from .base import (
    LEAST_EXPONENT,
    LEAST_NORMAL_EXPONENT,
    Parameters,
    bit_parallel_cycles,
    check_grouping,
    group_exponents,
    join_groups,
    power_of_two,
    round_to_integers,
    split_groups,
)

CHUNK_BITS = 2
"""Mantissa bits that the multiplier of FAST takes at a time."""


class _BlockFormat(Protocol):
    @property
    def magnitude_bits(self) -> int: ...
    @property
    def group_size(self) -> int: ...


@dataclass(frozen=True, eq=False)
class BfpTensor:
    """Tensor of signed integers with shared exponents.

    Attributes
    ----------
    format
        The format; ``B`` is its number of magnitude bits.
    shape
        ``(..., channels)``, without padding.
    integers
        Signed ``[..., groups, group_size]`` with padding; magnitudes are below ``2^B``.
    exponents
        int8 ``[..., groups]``; the value of an element is ``integer * 2^(exponent - B + 1)``.
    """

    format: _BlockFormat
    shape: tuple[int, ...]
    integers: NDArray[np.signedinteger]
    exponents: NDArray[np.int8]

    def decode(self) -> NDArray[np.float16]:
        """Decode exactly: FP16 holds every FP16 number that is rounded to one of these grids."""
        scales = power_of_two(self.exponents.astype(np.int32) - (self.format.magnitude_bits - 1))
        values = self.integers.astype(np.float32) * scales[..., None]
        return join_groups(values, self.shape, self.format.group_size or 1).astype(np.float16)


def encode_groups(
    fmt: _BlockFormat,
    shape: tuple[int, ...],
    groups: NDArray[np.float32],
    least_exponent: int,
    rounding: Rounding,
) -> BfpTensor:
    """Encode ``[..., groups, group_size]`` with the exponent of the largest element of each group.

    Scaling by a power of two is exact in float32, so each value is rounded once.
    """
    exponents = group_exponents(groups, least_exponent)
    bits = fmt.magnitude_bits
    scales = power_of_two(bits - 1 - exponents.astype(np.int32))
    integers = round_to_integers(groups * scales[..., None], (1 << bits) - 1, rounding)
    dtype = np.int8 if bits < 8 else np.int16 if bits < 16 else np.int64
    return BfpTensor(fmt, shape, integers.astype(dtype), exponents)


@dataclass(frozen=True, kw_only=True)
class _UniformBfp:
    """Base of the formats; ``mantissa_bits`` is counted as in their sources."""

    name: ClassVar[str]
    source: ClassVar[str]
    sign_in_mantissa: ClassVar[bool] = True
    exponent_bits: ClassVar[int] = 5

    mantissa_bits: int
    group_size: int = GROUP_SIZE
    rounding: Rounding = "nearest"

    def __post_init__(self) -> None:
        check_integer("mantissa_bits", self.mantissa_bits, 2, 16)
        check_grouping(self.group_size, self.rounding)

    @property
    def parameters(self) -> Parameters:
        """Parameters by name, as `activation_format` takes them."""
        return asdict(self)

    @property
    def magnitude_bits(self) -> int:
        """Width of an element without its sign."""
        return self.mantissa_bits - self.sign_in_mantissa

    @property
    def shared_bits(self) -> int:
        """Bits of a group's exponent."""
        return self.exponent_bits

    @property
    def bits_per_value(self) -> float:
        """Sign, magnitude, and the share of the group's exponent."""
        return self.magnitude_bits + 1 + self.exponent_bits / self.group_size

    @property
    def cycles_per_group(self) -> int:
        """The mantissa length, on a bit-parallel datapath of equal area."""
        return bit_parallel_cycles(self.mantissa_bits)

    def encode(self, x: NDArray[np.float16]) -> BfpTensor:
        """Encode float16 ``[..., channels]``; `InputError` for another dtype, no channels, infinities or NaN."""
        groups = split_groups(x, self.group_size)
        least = LEAST_NORMAL_EXPONENT if self.exponent_bits == 5 else LEAST_EXPONENT
        return encode_groups(self, x.shape, groups, least, self.rounding)


@dataclass(frozen=True, kw_only=True)
class LianFormat(_UniformBfp):
    """8-bit BFP of an FPGA accelerator for CNNs: sign and 7 bits.

    The source keeps feature maps in 16 bits off chip and converts on chip; ``bits_per_value`` counts the BFP elements,
    as Table I of Anda does. Group, exponent width and rounding are this project's choices.
    """

    name: ClassVar[str] = "lian"
    source: ClassVar[str] = "Lian et al., IEEE Trans. VLSI Systems 27(8), 2019, p. 1874"

    mantissa_bits: int = 8


@dataclass(frozen=True, kw_only=True)
class FanFormat(_UniformBfp):
    """15-bit BFP of Table I of Anda: sign and 14 bits; this and all other properties are this project's choices."""

    name: ClassVar[str] = "fan"
    source: ClassVar[str] = "Fan et al., as listed in Anda (arXiv 2411.15982), Table I"

    mantissa_bits: int = 15


@dataclass(frozen=True, kw_only=True)
class FlexpointFormat(_UniformBfp):
    """flex16+5: 16-bit integers and one 5-bit exponent for a whole tensor.

    The source predicts the exponent from the tensor's history. Here it is the exponent of the largest element, which
    the prediction aims at. The code -2^15 is unused, so the format is symmetric. Both are this project's choices.
    ``group_size`` is always 0: the whole tensor is one group.
    """

    name: ClassVar[str] = "flexpoint"
    source: ClassVar[str] = "Koster et al., NeurIPS 2017 (arXiv 1711.02213)"

    mantissa_bits: int = 16
    group_size: int = 0

    def __post_init__(self) -> None:
        check_choice("group_size", self.group_size, (0,))
        check_integer("mantissa_bits", self.mantissa_bits, 2, 16)
        check_grouping(1, self.rounding)

    @property
    def bits_per_value(self) -> float:
        """Width of an element; the one exponent of the tensor is negligible."""
        return float(self.mantissa_bits)

    def encode(self, x: NDArray[np.float16]) -> BfpTensor:
        """Encode float16 ``[..., channels]`` as one group; `InputError` as for the other formats."""
        whole = split_groups(x, 1).reshape(1, -1)
        return encode_groups(self, x.shape, whole, LEAST_NORMAL_EXPONENT, self.rounding)


@dataclass(frozen=True, kw_only=True)
class FlexBlockFormat(_UniformBfp):
    """FlexBlock: elements of 4, 8 or 16 bits.

    Choices of this project: these bits include the sign; 8-bit shared exponent; group and rounding.
    """

    name: ClassVar[str] = "flexblock"
    source: ClassVar[str] = "Noh et al., IEEE Trans. Computers 72(9), 2023 (arXiv 2203.06673)"
    exponent_bits: ClassVar[int] = 8

    mantissa_bits: int = 8

    def __post_init__(self) -> None:
        check_choice("mantissa_bits", self.mantissa_bits, (4, 8, 16))
        super().__post_init__()


@dataclass(frozen=True, kw_only=True)
class FastFormat(_UniformBfp):
    """FAST: mantissas of 2 or 4 bits beside the sign, stored and multiplied in chunks of 2 bits, each with its own sign.

    Activations are truncated, in groups of 16; FAST's stochastic rounding is for gradients. The width of the exponent is
    this project's choice: 5 bits, as FP16 has.
    """

    name: ClassVar[str] = "fast"
    source: ClassVar[str] = "Zhang, McDanel and Kung, HPCA 2022 (arXiv 2110.15456)"
    sign_in_mantissa: ClassVar[bool] = False

    mantissa_bits: int = 4
    group_size: int = 16
    rounding: Rounding = "truncate"

    def __post_init__(self) -> None:
        check_choice("mantissa_bits", self.mantissa_bits, (2, 4))
        super().__post_init__()

    @property
    def bits_per_value(self) -> float:
        """Chunks of 2 bits with a sign each, and the share of the group's exponent."""
        return self.mantissa_bits + self.mantissa_bits // CHUNK_BITS + self.exponent_bits / self.group_size

    @property
    def cycles_per_group(self) -> int:
        """One pass of the chunk-serial MAC for each 2-bit chunk, at the rate of a 2-bit datapath."""
        return self.mantissa_bits // CHUNK_BITS * bit_parallel_cycles(CHUNK_BITS)
