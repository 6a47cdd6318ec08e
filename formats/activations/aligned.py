"""FIGNA and iFPU: FP16 in memory, integers aligned to the largest exponent of a tile in the datapath.

Both align just before the GeMM. With ``E`` the largest exponent of a tile, every significand (hidden bit included)
moves right by ``E - e`` and keeps ``M`` bits. So ``x ~ a * 2^(E - M + 1)`` with a signed integer ``a``, and
``sum w x`` is an integer dot product. Truncated values equal those of the Anda format with ``M`` mantissa bits, but
they are computed on every read of an FP16 operand, not once on writing.

The sources do not state tile and rounding. Choices of this project: 64 values (the array height in their comparisons)
and truncation.
"""

from dataclasses import asdict, dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ..anda.format import GROUP_SIZES, AndaFormat
from ..checks import check_integer
from ..latency.elements import FP16_GROUP_CYCLES
from ..numeric.alignment import GROUP_SIZE, MAX_MANTISSA_BITS
from ..options import Rounding
from .base import (
    LEAST_NORMAL_EXPONENT,
    Parameters,
    bit_parallel_cycles,
    check_grouping,
    split_groups,
)
from .uniform_bfp import BfpTensor, encode_groups

FIGNA_MANTISSA_BITS = 13
LOSSLESS_BITS = 40
"""Mantissa bits that lose nothing: 11 of the significand, and 29 between the smallest and the largest exponent."""


@dataclass(frozen=True, kw_only=True)
class _AlignedFormat:
    name: ClassVar[str]
    source: ClassVar[str]
    needs_compressor: ClassVar[bool] = False

    mantissa_bits: int
    group_size: int = GROUP_SIZE
    rounding: Rounding = "truncate"

    def __post_init__(self) -> None:
        check_integer("mantissa_bits", self.mantissa_bits, 1, LOSSLESS_BITS)
        check_grouping(self.group_size, self.rounding)

    @property
    def parameters(self) -> Parameters:
        """Parameters by name, as `activation_format` takes them."""
        return asdict(self)

    @property
    def magnitude_bits(self) -> int:
        """M, the width of an aligned integer without its sign."""
        return self.mantissa_bits

    @property
    def bits_per_value(self) -> float:
        """16 bits: activations stay FP16 in memory."""
        return 16.0

    @property
    def same_values(self) -> AndaFormat | None:
        """Anda format that keeps the same values: it truncates at the same bit. None if Anda has no such width, group or rounding."""
        if self.rounding != "truncate" or self.mantissa_bits > MAX_MANTISSA_BITS or self.group_size not in GROUP_SIZES:
            return None
        return AndaFormat(self.mantissa_bits, group_size=self.group_size)

    def encode(self, x: NDArray[np.float16]) -> BfpTensor:
        """Align float16 ``[..., channels]`` as the datapath does.

        Raises
        ------
        InputError
            ``x`` is not float16, has no channels, or holds an infinity or NaN.
        """
        groups = split_groups(x, self.group_size)
        return encode_groups(self, x.shape, groups, LEAST_NORMAL_EXPONENT, self.rounding)


@dataclass(frozen=True, kw_only=True)
class FignaFormat(_AlignedFormat):
    """FIGNA: bit-parallel products of 13 mantissa bits and sign; 11 and 8 bits are the variants -M11 and -M8.

    Two parts of FIGNA are left out, for which no public source states the arithmetic: the allocation of mantissas in
    chunks, which splits long inputs, and the weight code without a zero, which keeps precision under truncation. Groups
    are this project's choice.
    """

    name: ClassVar[str] = "figna"
    source: ClassVar[str] = "Jang et al., HPCA 2024 (10.1109/HPCA57654.2024.00064); M11, M8: Anda (arXiv 2411.15982)"

    mantissa_bits: int = FIGNA_MANTISSA_BITS

    @property
    def cycles_per_group(self) -> int:
        """M cycles below M = 13; from 13 on 16, since FIGNA is published with a speedup of 1.00."""
        if self.mantissa_bits < FIGNA_MANTISSA_BITS:
            return bit_parallel_cycles(self.mantissa_bits)
        return FP16_GROUP_CYCLES


@dataclass(frozen=True, kw_only=True)
class IfpuFormat(_AlignedFormat):
    """iFPU: a long mantissa, added or subtracted once for each bit of the weight.

    No public source states the aligned width. 24 bits are this project's choice (the error is far below that of FP16
    arithmetic); 40 bits lose nothing.
    """

    name: ClassVar[str] = "ifpu"
    source: ClassVar[str] = "Kim et al., ICLR 2023 (OpenReview z92lBy1ehjI)"

    mantissa_bits: int = 24

    @property
    def cycles_per_group(self) -> int:
        """16 cycles for 4-bit weights and any mantissa: serial in the weight bits, at the throughput of the baseline."""
        return FP16_GROUP_CYCLES
