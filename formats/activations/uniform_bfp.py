"""Block floating point with element-wise storage: the uni- and multi-length formats of the Anda paper's Table I.

All of them share one definition. With the shared exponent ``E`` of a group, the largest element's, and ``B`` magnitude
bits, an element is the integer ``q = round(x * 2^(B - 1 - E))``, saturating at ``2^B - 1``, and stands for
``q * 2^(E - B + 1)``. They differ in the bits, in the group and in how their sources count: where the sign is part of
the "mantissa length" that Table I (arXiv 2411.15982) prints, ``B`` is one less.

Choices of this project, where a source is silent or trains with another rule: rounding to nearest even; an exponent
of 5 bits, FP16's own, for which subnormals count with exponent -14, or of 8 bits, for which they are normalised; groups
of 64 along the channels, as Anda's, so that a comparison shows the mantissas.
"""

from dataclasses import asdict, dataclass
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from ..numeric.alignment import GROUP_SIZE
from ..options import Rounding
from .base import (
    LEAST_EXPONENT,
    LEAST_NORMAL_EXPONENT,
    Parameters,
    bit_parallel_cycles,
    group_exponents,
    join_groups,
    power_of_two,
    require_choice,
    require_grouping,
    require_integer,
    round_to_integers,
    split_groups,
)

CHUNK_BITS = 2
"""What FAST's multiplier takes of a mantissa at a time."""


class _BlockFormat(Protocol):
    @property
    def magnitude_bits(self) -> int: ...
    @property
    def group_size(self) -> int: ...


@dataclass(frozen=True, eq=False)
class BfpTensor:
    """A tensor of signed integers under shared exponents.

    Attributes
    ----------
    format
        Its parameters; ``B`` below are the magnitude bits.
    shape
        ``(..., channels)``, the true length of the channel axis.
    integers
        Signed ``[..., groups, group_size]``, padding included; magnitudes below ``2^B``.
    exponents
        int8 ``[..., groups]``: an element stands for ``integer * 2^(exponent - B + 1)``.
    """

    format: _BlockFormat
    shape: tuple[int, ...]
    integers: NDArray[np.signedinteger]
    exponents: NDArray[np.int8]

    def decode(self) -> NDArray[np.float16]:
        """The values, exact: FP16 holds every value that rounding an FP16 number on these grids can give."""
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
    """Encode ``[..., groups, group_size]``, each group under the exponent of its largest element.

    The scaling by a power of two is exact in float32, so the rounding is that of the real quotient.
    """
    exponents = group_exponents(groups, least_exponent)
    bits = fmt.magnitude_bits
    scales = power_of_two(bits - 1 - exponents.astype(np.int32))
    integers = round_to_integers(groups * scales[..., None], (1 << bits) - 1, rounding)
    dtype = np.int8 if bits < 8 else np.int16 if bits < 16 else np.int64
    return BfpTensor(fmt, shape, integers.astype(dtype), exponents)


@dataclass(frozen=True, kw_only=True)
class _UniformBfp:
    """What the formats of this module have in common; ``mantissa_bits`` counts as their sources do."""

    name: ClassVar[str]
    source: ClassVar[str]
    sign_in_mantissa: ClassVar[bool] = True
    exponent_bits: ClassVar[int] = 5

    mantissa_bits: int
    group_size: int = GROUP_SIZE
    rounding: Rounding = "nearest"

    def __post_init__(self) -> None:
        require_integer("mantissa_bits", self.mantissa_bits, 2, 16)
        require_grouping(self.group_size, self.rounding)

    @property
    def parameters(self) -> Parameters:
        """The fields, by name."""
        return asdict(self)

    @property
    def magnitude_bits(self) -> int:
        """Bits of an element without its sign."""
        return self.mantissa_bits - self.sign_in_mantissa

    @property
    def bits_per_value(self) -> float:
        """Sign, magnitude, and the share of the group's exponent."""
        return self.magnitude_bits + 1 + self.exponent_bits / self.group_size

    @property
    def cycles_per_group(self) -> int:
        """The mantissa length, on a bit-parallel datapath of equal area."""
        return bit_parallel_cycles(self.mantissa_bits)

    def encode(self, x: NDArray[np.float16]) -> BfpTensor:
        """Encode float16 ``[..., channels]``; `InputError` for other dtypes, shapes and non-finite values."""
        groups = split_groups(x, self.group_size)
        least = LEAST_NORMAL_EXPONENT if self.exponent_bits == 5 else LEAST_EXPONENT
        return encode_groups(self, x.shape, groups, least, self.rounding)


@dataclass(frozen=True, kw_only=True)
class LianFormat(_UniformBfp):
    """8-bit BFP of an FPGA accelerator for CNNs: sign and 7 bits.

    The source keeps feature maps in 16 bits off chip and converts on chip; ``bits_per_value`` is that of the BFP
    elements, as Table I of Anda lists them. Group, exponent width and rounding are this project's choices.
    """

    name: ClassVar[str] = "lian"
    source: ClassVar[str] = "Lian et al., IEEE Trans. VLSI Systems 27(8), 2019, p. 1874"

    mantissa_bits: int = 8


@dataclass(frozen=True, kw_only=True)
class FanFormat(_UniformBfp):
    """15-bit BFP: sign and 14 bits, by Table I of Anda; that the sign counts, and all else, are choices."""

    name: ClassVar[str] = "fan"
    source: ClassVar[str] = "Fan et al., as listed in Anda (arXiv 2411.15982), Table I"

    mantissa_bits: int = 15


@dataclass(frozen=True, kw_only=True)
class FlexpointFormat(_UniformBfp):
    """flex16+5: 16-bit integers and one 5-bit exponent for a whole tensor.

    The source predicts the exponent from the tensor's history; here it is that of the tensor's largest element, the
    prediction's target (choice). The two's-complement code -2^15 stays unused, which keeps the format symmetric
    (choice). ``group_size`` 0 says that the group is the tensor, and is the only value.
    """

    name: ClassVar[str] = "flexpoint"
    source: ClassVar[str] = "Koster et al., NeurIPS 2017 (arXiv 1711.02213)"

    mantissa_bits: int = 16
    group_size: int = 0

    def __post_init__(self) -> None:
        require_choice("group_size", self.group_size, (0,))
        require_integer("mantissa_bits", self.mantissa_bits, 2, 16)
        require_grouping(1, self.rounding)

    @property
    def bits_per_value(self) -> float:
        """The element; the tensor's one exponent vanishes in the average."""
        return float(self.mantissa_bits)

    def encode(self, x: NDArray[np.float16]) -> BfpTensor:
        """Encode float16 ``[..., channels]`` as one group; `InputError` for other dtypes, shapes, non-finite values."""
        whole = split_groups(x, 1).reshape(1, -1)
        return encode_groups(self, x.shape, whole, LEAST_NORMAL_EXPONENT, self.rounding)


@dataclass(frozen=True, kw_only=True)
class FlexBlockFormat(_UniformBfp):
    """FlexBlock's three modes: elements of 4, 8 or 16 bits.

    That these bits include the sign, the 8-bit shared exponent, the group and the rounding are this project's choices.
    """

    name: ClassVar[str] = "flexblock"
    source: ClassVar[str] = "Noh et al., IEEE Trans. Computers 72(9), 2023 (arXiv 2203.06673)"
    exponent_bits: ClassVar[int] = 8

    mantissa_bits: int = 8

    def __post_init__(self) -> None:
        require_choice("mantissa_bits", self.mantissa_bits, (4, 8, 16))
        super().__post_init__()


@dataclass(frozen=True, kw_only=True)
class FastFormat(_UniformBfp):
    """FAST: mantissas of 2 or 4 bits beside the sign, stored and multiplied in chunks of 2 bits.

    Groups of 16 are customary for formats this short. That, the exponent's width and nearest even instead of the
    stochastic rounding of FAST's training are choices.
    """

    name: ClassVar[str] = "fast"
    source: ClassVar[str] = "Zhang, McDanel and Kung, HPCA 2022 (arXiv 2110.15456)"
    sign_in_mantissa: ClassVar[bool] = False

    mantissa_bits: int = 4
    group_size: int = 16

    def __post_init__(self) -> None:
        require_choice("mantissa_bits", self.mantissa_bits, (2, 4))
        super().__post_init__()

    @property
    def cycles_per_group(self) -> int:
        """One pass of the chunk-serial MAC per 2-bit chunk, at the rate of a 2-bit datapath."""
        return self.mantissa_bits // CHUNK_BITS * bit_parallel_cycles(CHUNK_BITS)
