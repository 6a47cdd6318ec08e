"""FIGNA and iFPU: FP16 in memory, integers aligned to a tile's largest exponent in the datapath.

Both pre-align just before the GeMM: with ``E`` the largest exponent of a tile, every significand (hidden bit included)
moves right by ``E - e`` and keeps ``M`` bits, so that ``x ~ a * 2^(E - M + 1)`` with a signed integer ``a``, and
``sum w x`` is an integer dot product. Cut toward zero, a tile holds what the Anda format with ``M`` mantissa bits
holds; the difference is where it happens: on every read of an FP16 operand, not once on writing.

The sources leave the tile and the rounding open. Choices: 64 values (the height of the array in their comparisons) and
truncation toward zero.
"""

from dataclasses import asdict, dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ..latency.elements import FP16_GROUP_CYCLES
from ..numeric.alignment import GROUP_SIZE
from ..options import Rounding
from .base import (
    LEAST_NORMAL_EXPONENT,
    Parameters,
    bit_parallel_cycles,
    require_grouping,
    require_integer,
    split_groups,
)
from .uniform_bfp import BfpTensor, encode_groups

FIGNA_MANTISSA_BITS = 13
LOSSLESS_BITS = 40
"""11 bits of significand and the 29 that separate FP16's largest and smallest exponents: nothing is cut off."""


@dataclass(frozen=True, kw_only=True)
class _AlignedFormat:
    name: ClassVar[str]
    source: ClassVar[str]

    mantissa_bits: int
    group_size: int = GROUP_SIZE
    rounding: Rounding = "truncate"

    def __post_init__(self) -> None:
        require_integer("mantissa_bits", self.mantissa_bits, 1, LOSSLESS_BITS)
        require_grouping(self.group_size, self.rounding)

    @property
    def parameters(self) -> Parameters:
        """The fields, by name."""
        return asdict(self)

    @property
    def magnitude_bits(self) -> int:
        """M: bits of an aligned integer without its sign."""
        return self.mantissa_bits

    @property
    def bits_per_value(self) -> float:
        """16: activations stay FP16 in memory and are aligned on every read."""
        return 16.0

    def encode(self, x: NDArray[np.float16]) -> BfpTensor:
        """The integers of the datapath for float16 ``[..., channels]``.

        Raises
        ------
        InputError
            ``x`` is not float16, has no channels, or holds an infinity or NaN.
        """
        groups = split_groups(x, self.group_size)
        return encode_groups(self, x.shape, groups, LEAST_NORMAL_EXPONENT, self.rounding)


@dataclass(frozen=True, kw_only=True)
class FignaFormat(_AlignedFormat):
    """FIGNA: 13 mantissa bits and the sign, multiplied bit-parallel; 11 and 8 bits are its -M11 and -M8 variants."""

    name: ClassVar[str] = "figna"
    source: ClassVar[str] = "Jang et al., HPCA 2024 (10.1109/HPCA57654.2024.00064); M11, M8: Anda (arXiv 2411.15982)"

    mantissa_bits: int = FIGNA_MANTISSA_BITS

    @property
    def cycles_per_group(self) -> int:
        """M below 13; from 13 on the 16 of the baseline, as FIGNA itself is published at a speedup of 1.00."""
        if self.mantissa_bits < FIGNA_MANTISSA_BITS:
            return bit_parallel_cycles(self.mantissa_bits)
        return FP16_GROUP_CYCLES


@dataclass(frozen=True, kw_only=True)
class IfpuFormat(_AlignedFormat):
    """iFPU: an extended mantissa, added or subtracted bit-serially over the weight's binary planes.

    No public source states the aligned width; 24 bits are this project's choice (an error far below that of FP16
    arithmetic), and 40 lose nothing.
    """

    name: ClassVar[str] = "ifpu"
    source: ClassVar[str] = "Kim et al., ICLR 2023 (OpenReview z92lBy1ehjI)"

    mantissa_bits: int = 24

    @property
    def cycles_per_group(self) -> int:
        """16 for 4-bit weights at any mantissa width: serial in the weight's bits, at the baseline's throughput."""
        return FP16_GROUP_CYCLES
