"""Cycles and traffic of one GeMM from formulas.

Cycles are a lower bound, reached if loading, work and storing overlap perfectly, but for tiles of single buffers, which the array
waits for::

    cycles = max(first group + start + array + tail + last results,
                 first group + start + work of the array + single-buffered tiles + tail + last results,
                 all DRAM traffic)

The array's cycles include those in which it waits for outputs to leave it, its work does not. With an infinitely fast memory
this is ``start + array + tail``, exactly as in the event model. With a finite bandwidth the event model adds the cycles that do
not overlap.
"""

import math
from dataclasses import astuple, dataclass
from typing import Any

from ..mapping import folds
from ..mapping.gemm_mapping import GemmMapping
from ..mapping.mapped_gemm import SUM_BITS, MappedGemm
from ..memory.dram import Tensor


@dataclass(frozen=True, slots=True)
class SramBits:
    """Bits read from and written to both buffers."""

    activation_reads: int = 0
    activation_writes: int = 0
    weight_reads: int = 0
    weight_writes: int = 0
    sum_reads: int = 0
    sum_writes: int = 0
    """Partial sums, in the activation buffer."""

    def __add__(self, other: "SramBits") -> "SramBits":
        """Bits of both."""
        return SramBits(*(one + two for one, two in zip(astuple(self), astuple(other), strict=True)))

    def __mul__(self, times: int) -> "SramBits":
        """Bits of some repeats."""
        return SramBits(*(times * count for count in astuple(self)))

    @property
    def total(self) -> int:
        """Bits of all accesses."""
        operands = self.activation_reads + self.activation_writes + self.weight_reads + self.weight_writes
        return operands + self.sum_reads + self.sum_writes


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
    sums: int = 0
    """Bits of partial sums from the array to the activation buffer, and back."""

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
            sum_reads=self.sums,
            sum_writes=self.sums,
        )


def traffic(mapped: MappedGemm, mapping: GemmMapping) -> Traffic:
    """Bits moved with a mapping, for real tokens and channels only; edge tiles still take the cycles of whole ones.

    The tile sizes may be arrays (`mapping.buffered`); the bits that depend on them are then arrays, too.
    """
    activations = mapped.tokens * mapped.token_bits
    weights = mapped.out_channels * mapped.channel_bits
    results = mapped.tokens * mapped.result_bits
    reads = {"activations": mapped.column_tiles, "weights": mapped.row_tiles}
    if not mapped.holds_outputs:
        reads[mapped.dataflow.held] = folds.fills(mapped, mapping)
    return Traffic(
        tensor_bits={"activations": activations, "weights": weights, "results": results},
        activations=activations * mapping.activation_passes(mapped),
        weights=weights * mapping.weight_passes(mapped),
        results=results,
        activation_reads=math.ceil(activations * mapped.read_share) * reads["activations"],
        weight_reads=weights * reads["weights"],
        sums=mapped.tokens * mapped.out_channels * SUM_BITS * mapping.saves(mapped),
    )


def array_cycles(mapped: MappedGemm, mapping: GemmMapping) -> Any:
    """Cycles from the first plane to the last plane of all tiles if no operand is late; the tile sizes may be arrays.

    Sums that leave the array between the parts of a reduction cost cycles where a part is shorter than the way out.
    """
    if not mapped.holds_outputs:
        return folds.array_cycles(mapped, mapping)
    return mapped.parts_cycles(mapping.in_channels)[0] if mapping.buffered_sums else mapped.array_cycles


def cycles(mapped: MappedGemm, mapping: GemmMapping, moved: Traffic, dram_bits_per_cycle: float) -> int:
    """Cycles of one GeMM.

    Parameters
    ----------
    mapped
        The GeMM on its architecture.
    mapping
        Its mapping.
    moved
        Its traffic.
    dram_bits_per_cycle
        DRAM bandwidth; may be infinite.
    """
    return math.ceil(max(bounds(mapped, mapping, moved, dram_bits_per_cycle)))


def bounds(
    mapped: MappedGemm, mapping: GemmMapping, moved: Traffic, dram_bits_per_cycle: float
) -> tuple[Any, Any, Any]:
    """Three lower bounds of the cycles, which may be arrays: the work, the work with its waits, and all traffic.

    The array may wait for single buffers while outputs leave that it would wait for anyway.
    """
    exposed = exposed_bits(mapped) / dram_bits_per_cycle
    if not mapped.holds_outputs:
        array = busy = folds.array_cycles(mapped, mapping)
    elif mapping.buffered_sums:
        array, busy = mapped.parts_cycles(mapping.in_channels)
    else:
        array, busy = mapped.array_cycles, mapped.tiles * mapped.dense_cycles(mapped.groups)
    waits = _waited_bits(mapped, mapping, moved) / dram_bits_per_cycle
    work, waiting = (work_cycles(mapped, each) + exposed for each in (array, busy + waits))
    return work, waiting, moved.dram_bits / dram_bits_per_cycle


def work_cycles(mapped: MappedGemm, array: Any) -> Any:
    """Cycles of a GeMM if no operand is late; `array` cycles of the array."""
    return mapped.start_cycles + array + mapped.tail_cycles


def exposed_bits(mapped: MappedGemm) -> int:
    """Bits that move while nothing else can be done: one group of the array's first rows and columns, the last results."""
    tokens, groups, channels = _first_tile(mapped)
    first = (tokens * mapped.token_bits + channels * mapped.channel_bits) * groups // mapped.groups
    return first + _last_result_bits(mapped)


def first_operand_bits(mapped: MappedGemm) -> tuple[int, int]:
    """Bits of the activations and of the weights of the array's first step, each rounded up."""
    tokens, groups, channels = _first_tile(mapped)
    activations = -(-tokens * mapped.token_bits * groups // mapped.groups)
    return activations, -(-channels * mapped.channel_bits * groups // mapped.groups)


def _first_tile(mapped: MappedGemm) -> tuple[int, int, int]:
    """Tokens, groups and output channels of the array's first step."""
    tokens, groups, channels = mapped.tile
    return min(tokens, mapped.tokens), min(groups, mapped.groups), min(channels, mapped.out_channels)


def _waited_bits(mapped: MappedGemm, mapping: GemmMapping, moved: Traffic) -> Any:
    """Bits that the array waits for, beside one group of its first rows and columns.

    A tile of an operand with a single buffer is loaded when the array is done with the tile before. One that stays with all
    of its reduction is replaced strip by strip, and not waited for; nor is the first strip of a stream, which comes in parts.
    """
    alone = mapping.activation_copies == 1, mapping.weight_copies == 1
    if mapping.in_parts:
        first_activations, first_weights = first_operand_bits(mapped)
        return alone[0] * (moved.activations - first_activations) + alone[1] * (moved.weights - first_weights)
    if mapping.stays == "weights":
        return alone[0] * (moved.activations - mapping.tokens * mapped.token_bits)
    return alone[1] * (moved.weights - mapping.out_channels * mapped.channel_bits)


def _last_result_bits(mapped: MappedGemm) -> int:
    """Bits of the results of the array's last tile, which are stored after all other work."""
    tile = mapped.tile
    rows = mapped.tokens - (mapped.row_tiles - 1) * tile.tokens
    columns = mapped.out_channels - (mapped.column_tiles - 1) * tile.channels
    if mapped.result_mantissa_bits is not None:
        columns = min(columns, mapped.result_group)
    return rows * mapped.results.token_bits(columns)
