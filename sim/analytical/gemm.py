"""The closed form: cycles and traffic of one GeMM from formulas.

Cycles are a lower bound, which perfect overlap of loading, work and storing reaches::

    cycles = max(first group + start + array + tail + last results, all DRAM traffic)

With an infinitely fast memory that is ``start + array + tail``, and the event model gives exactly the same. With a finite one
the event model shows what does not overlap.
"""

import math
from dataclasses import dataclass

from ..mapping.mapped_gemm import MappedGemm
from ..mapping.tiling import Tiling
from ..memory.dram import Tensor


@dataclass(frozen=True, slots=True)
class SramBits:
    """Bits read from and written to the two buffers."""

    activation_reads: int = 0
    activation_writes: int = 0
    weight_reads: int = 0
    weight_writes: int = 0

    @property
    def total(self) -> int:
        """All of them."""
        return self.activation_reads + self.activation_writes + self.weight_reads + self.weight_writes


@dataclass(frozen=True, slots=True)
class Traffic:
    """Bits that move in one GeMM."""

    tensor_bits: dict[Tensor, int]
    """Stored size of each tensor in DRAM."""
    activations: int
    """From DRAM to the activation buffer."""
    weights: int
    """From DRAM to the weight buffer."""
    results: int
    """From the compressor, or the array, through the activation buffer to DRAM."""
    activation_reads: int
    """From the activation buffer to the array."""
    weight_reads: int
    """From the weight buffer to the array."""

    @property
    def dram_bits(self) -> int:
        """Over the DRAM interface, both directions."""
        return self.activations + self.weights + self.results

    @property
    def sram(self) -> SramBits:
        """In and out of the buffers; results are written to the activation buffer and read from it once."""
        return SramBits(
            activation_reads=self.activation_reads + self.results,
            activation_writes=self.activations + self.results,
            weight_reads=self.weight_reads,
            weight_writes=self.weights,
        )


def traffic(mapped: MappedGemm, tiling: Tiling) -> Traffic:
    """Count the bits: real tokens and channels, though edge tiles take the cycles of whole ones."""
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

    Args:
        mapped: the GeMM on its architecture.
        dram_bits: all that it moves.
        dram_bits_per_cycle: the bandwidth; it may be infinite.
    """
    exposed_bits = _first_group_bits(mapped) + _last_result_bits(mapped)
    work = mapped.start_cycles + mapped.array_cycles + mapped.tail_cycles
    busy = work + exposed_bits / dram_bits_per_cycle
    return math.ceil(max(busy, dram_bits / dram_bits_per_cycle))


def _first_group_bits(mapped: MappedGemm) -> int:
    """What must be there before the array can begin: one group of its first rows and columns."""
    array = mapped.architecture.array
    rows, columns = min(array.rows, mapped.tokens), min(array.columns, mapped.out_channels)
    return (rows * mapped.token_bits + columns * mapped.channel_bits) // mapped.groups


def _last_result_bits(mapped: MappedGemm) -> int:
    """Results of the last tile of the array, which leave when all else is done."""
    array, architecture = mapped.architecture.array, mapped.architecture
    rows = mapped.tokens - (mapped.row_tiles - 1) * array.rows
    columns = mapped.out_channels - (mapped.column_tiles - 1) * array.columns
    if mapped.result_mantissa_bits is not None:
        columns = min(columns, architecture.group_size)
    return rows * architecture.token_bits(columns, mapped.result_mantissa_bits)
