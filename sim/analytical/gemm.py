"""Cycles and traffic of one GeMM from formulas.

Cycles are a lower bound, reached if loading, work and storing overlap perfectly::

    cycles = max(first group + start + array + tail + last results, all DRAM traffic)

With an infinitely fast memory this is ``start + array + tail``, exactly as in the event model. With a finite bandwidth the
event model adds the cycles that do not overlap.
"""

import math
from dataclasses import dataclass

from ..mapping.mapped_gemm import MappedGemm
from ..mapping.tiling import Tiling
from ..memory.dram import Tensor


@dataclass(frozen=True, slots=True)
class SramBits:
    """Bits read from and written to both buffers."""

    activation_reads: int = 0
    activation_writes: int = 0
    weight_reads: int = 0
    weight_writes: int = 0

    @property
    def total(self) -> int:
        """Bits of all accesses."""
        return self.activation_reads + self.activation_writes + self.weight_reads + self.weight_writes


@dataclass(frozen=True, slots=True)
class Traffic:
    """Bits moved in one GeMM."""

    tensor_bits: dict[Tensor, int]
    """Stored size of each tensor in DRAM."""
    activations: int
    """Bits from DRAM to the activation buffer."""
    weights: int
    """Bits from DRAM to the weight buffer."""
    results: int
    """Bits from the compressor, or the array, through the activation buffer to DRAM."""
    activation_reads: int
    """Bits from the activation buffer to the array."""
    weight_reads: int
    """Bits from the weight buffer to the array."""

    @property
    def dram_bits(self) -> int:
        """Bits over the DRAM interface, reads and writes."""
        return self.activations + self.weights + self.results

    @property
    def sram(self) -> SramBits:
        """Bits in and out of the buffers; results are written to the activation buffer once and read once."""
        return SramBits(
            activation_reads=self.activation_reads + self.results,
            activation_writes=self.activations + self.results,
            weight_reads=self.weight_reads,
            weight_writes=self.weights,
        )


def traffic(mapped: MappedGemm, tiling: Tiling) -> Traffic:
    """Bits moved with a tiling, for real tokens and channels only; edge tiles still take the cycles of whole ones."""
    activations = mapped.tokens * mapped.token_bits
    weights = mapped.out_channels * mapped.channel_bits
    results = mapped.tokens * mapped.result_bits
    return Traffic(
        tensor_bits={"activations": activations, "weights": weights, "results": results},
        activations=activations * tiling.activation_passes(mapped),
        weights=weights * tiling.weight_passes(mapped),
        results=results,
        activation_reads=math.ceil(activations * mapped.read_share) * mapped.column_tiles,
        weight_reads=weights * mapped.row_tiles,
    )


def cycles(mapped: MappedGemm, dram_bits: int, dram_bits_per_cycle: float) -> int:
    """Cycles of one GeMM.

    Parameters
    ----------
    mapped
        The GeMM on its architecture.
    dram_bits
        DRAM traffic of the GeMM.
    dram_bits_per_cycle
        DRAM bandwidth; may be infinite.
    """
    exposed_bits = _first_group_bits(mapped) + _last_result_bits(mapped)
    work = mapped.start_cycles + mapped.array_cycles + mapped.tail_cycles
    busy = work + exposed_bits / dram_bits_per_cycle
    return math.ceil(max(busy, dram_bits / dram_bits_per_cycle))


def _first_group_bits(mapped: MappedGemm) -> int:
    """Bits that the array needs before it can begin: one group of its first rows and columns."""
    array = mapped.architecture.array
    rows, columns = min(array.rows, mapped.tokens), min(array.columns, mapped.out_channels)
    return (rows * mapped.token_bits + columns * mapped.channel_bits) // mapped.groups


def _last_result_bits(mapped: MappedGemm) -> int:
    """Bits of the results of the array's last tile, which are stored after all other work."""
    array, architecture = mapped.architecture.array, mapped.architecture
    rows = mapped.tokens - (mapped.row_tiles - 1) * array.rows
    columns = mapped.out_channels - (mapped.column_tiles - 1) * array.columns
    if mapped.result_mantissa_bits is not None:
        columns = min(columns, architecture.group_size)
    return rows * architecture.token_bits(columns, mapped.result_mantissa_bits)
