"""The closed form: cycles and traffic of one GeMM from formulas.

Cycles are a lower bound, which perfect overlap of loading, work and storing reaches::

    cycles = max(first group + start + array + tail + last results, all DRAM traffic)

With an infinitely fast memory that is ``start + array + tail``, and the event model gives exactly the same. With a finite one
the event model shows what does not overlap.
"""

import math
from dataclasses import dataclass

from ..mapping.mapped_gemm import Problem
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


def traffic(problem: Problem, tiling: Tiling) -> Traffic:
    """Count the bits: real tokens and channels, though edge tiles take the cycles of whole ones."""
    activations = problem.tokens * problem.token_bits
    weights = problem.out_channels * problem.channel_bits
    results = problem.tokens * problem.result_bits
    return Traffic(
        tensor_bits={"activations": activations, "weights": weights, "results": results},
        activations=activations * tiling.activation_passes(problem),
        weights=weights * tiling.weight_passes(problem),
        results=results,
        activation_reads=math.ceil(activations * problem.read_share) * problem.column_tiles,
        weight_reads=weights * problem.row_tiles,
    )


def cycles(problem: Problem, dram_bits: int, dram_bits_per_cycle: float) -> int:
    """Cycles of one GeMM.

    Args:
        problem: the GeMM on its architecture.
        dram_bits: all that it moves.
        dram_bits_per_cycle: the bandwidth; it may be infinite.
    """
    exposed_bits = _first_group_bits(problem) + _last_result_bits(problem)
    work = problem.start_cycles + problem.array_cycles + problem.tail_cycles
    busy = work + exposed_bits / dram_bits_per_cycle
    return math.ceil(max(busy, dram_bits / dram_bits_per_cycle))


def _first_group_bits(problem: Problem) -> int:
    """What must be there before the array can begin: one group of its first rows and columns."""
    array = problem.architecture.array
    rows, columns = min(array.rows, problem.tokens), min(array.columns, problem.out_channels)
    return (rows * problem.token_bits + columns * problem.channel_bits) // problem.groups


def _last_result_bits(problem: Problem) -> int:
    """Results of the last tile of the array, which leave when all else is done."""
    array, architecture = problem.architecture.array, problem.architecture
    rows = problem.tokens - (problem.row_tiles - 1) * array.rows
    columns = problem.out_channels - (problem.column_tiles - 1) * array.columns
    if problem.result_mantissa_bits is not None:
        columns = min(columns, architecture.group_size)
    return rows * architecture.token_bits(columns, problem.result_mantissa_bits)
