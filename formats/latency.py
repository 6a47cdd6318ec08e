"""Cycle counts that the circuits state and the simulator uses: the one place for both.

`rtl/` builds circuits that take exactly these cycles (tests prove it), `sim/` computes with them. Sources: Anda paper
(arXiv 2411.15982) sections III and IV; the published PE efficiencies equal area ratio times 16 / (M + 1).
"""

from collections.abc import Sequence

SIGN_LOAD_CYCLES = 1
"""Cycles to load a group's sign plane and exponent into a processing element, before the first mantissa plane."""

PE_RESULT_CYCLES = 1
"""Cycles from a processing element's last mantissa plane until its dot product is valid."""

MIDPOINT_CYCLES = 1
"""Cycles by which midpoint reconstruction delays a group's dot product; the rate stays."""

UNIT_PIPELINE_CYCLES = 5
"""Cycles from a tile's last mantissa plane until its first outputs are valid: dot product, conversion, product,
accumulation, and conversion to FP16 stand in a register each."""

AFFINE_CYCLES = 1
"""Cycles by which the offset's product, accumulated after the scale's, delays the outputs of an affine array."""

BPC_LATENCY_CYCLES = 1
"""Cycles from a compressor lane's taking a group of FP16 values until the group's sign plane and exponent are valid."""

WEIGHT_LOAD_CYCLES = 4
"""Cycles to stream one group of weights for 16 columns: 16 x 64 x 4 bit over a 1024-bit buffer port."""

FP16_GROUP_CYCLES = 16
"""Cycles that a 16-bit baseline PE of equal peak throughput (4 MAC per cycle) takes for a group of 64."""


def pe_cycles_per_group(mantissa_bits: int) -> int:
    """Cycles of one bit-serial PE for one group: the sign plane, then one cycle per mantissa plane."""
    return SIGN_LOAD_CYCLES + mantissa_bits


def array_cycles_per_group(mantissa_bits: int, weight_load_cycles: int = WEIGHT_LOAD_CYCLES) -> int:
    """Cycles of the array for one group when the weights stream from the buffer: ``max(M + 1, 4)``."""
    return max(pe_cycles_per_group(mantissa_bits), weight_load_cycles)


def bpc_cycles_per_group(mantissa_bits: int) -> int:
    """Cycles of one compressor lane for one group: the sign plane, then one cycle per mantissa plane."""
    return SIGN_LOAD_CYCLES + mantissa_bits


def unit_pipeline_cycles(affine: bool = False, midpoint: bool = False) -> int:
    """Cycles from a tile's last mantissa plane until its first outputs are valid."""
    return UNIT_PIPELINE_CYCLES + AFFINE_CYCLES * affine + MIDPOINT_CYCLES * midpoint


def matrix_unit_cycles(
    tiles: int, groups: int, group_cycles: int, columns: int, affine: bool = False, midpoint: bool = False
) -> int:
    """Cycles of the array from the first sign plane to the last output of ``tiles`` tiles of ``groups`` groups each.

    Outputs leave column by column while the next tile is computed; only its last plane waits until the last column has
    left, which matters for tiles shorter than the pipeline and the columns together.
    """
    drain = unit_pipeline_cycles(affine, midpoint) + columns
    return groups * group_cycles + (tiles - 1) * max(groups * group_cycles, drain) + drain - 1


def bpc_cycles_per_block(mantissa_bits: int, rows: int) -> int:
    """Cycles of the compressor for one group of each of ``rows`` tokens, which enter one per cycle."""
    return max(rows, bpc_cycles_per_group(mantissa_bits))


def bpc_cycles(blocks: int, mantissa_bits: int, rows: int) -> int:
    """Cycles of the compressor from the first group taken to the last row sent, of ``blocks`` times ``rows`` groups."""
    first_row = rows - 1 + BPC_LATENCY_CYCLES
    return (blocks - 1) * bpc_cycles_per_block(mantissa_bits, rows) + first_row + bpc_cycles_per_group(mantissa_bits)


WEIGHT_START_CYCLES = 3
"""Cycles from taking a command until the first row of weights is in the dispatcher: address, buffer, dispatcher."""


def matrix_engine_cycles(
    tiles: int,
    groups: int,
    mantissa_bits: int | Sequence[int],
    *,
    rows: int,
    columns: int,
    lanes: int,
    affine: bool = False,
    midpoint: bool = False,
) -> int:
    """Cycles of the matrix engine from taking a command to the last group of outputs.

    Parameters
    ----------
    tiles, groups
        Tiles, of one command or of several that follow without a gap, and groups of each.
    mantissa_bits
        M; with zero-plane skipping the mantissa planes that each group sends, tile by tile.
    rows, columns, lanes
        The array, and the outputs that the collector gathers before it sends them, a token per cycle.
    affine, midpoint
        Whether the array is.

    Four rows of weights are gathered (`WEIGHT_LOAD_CYCLES`) while the group before is computed; a tile's last plane
    waits until the tile before has left the array; columns wait while the collector sends.
    """
    gathered = WEIGHT_START_CYCLES - 2 + WEIGHT_LOAD_CYCLES  # the cycle in which the last row of weights comes
    last_plane = swapped = drained = -1
    collector_free = 0
    planes = [mantissa_bits] * tiles * groups if isinstance(mantissa_bits, int) else mantissa_bits
    for tile in range(tiles):
        for group in range(groups):
            swapped = max(gathered + 1, last_plane + MIDPOINT_CYCLES * midpoint)
            gathered = swapped + WEIGHT_LOAD_CYCLES - 1
            last_plane = max(swapped + 1, last_plane + 1 + SIGN_LOAD_CYCLES) + planes[tile * groups + group] - 1
            if group == groups - 1:
                last_plane = max(last_plane, drained + 1)
        drained = max(last_plane + unit_pipeline_cycles(affine, midpoint), collector_free) + columns - 1
        if (tile + 1) % (lanes // columns) == 0:
            collector_free = drained + rows + 1
    return collector_free


FETCH_CYCLES = 2
"""Cycles from a program's start until its first instruction can be issued: address, instruction memory."""

MEMORY_OUTSTANDING_ROWS = 64
"""Requests that the memory of the accelerator's test bench has under way."""

BUFFER_READ_CYCLES = 1
"""Cycles from asking an on-chip buffer for a row until the row can be taken."""


def store_cycles(rows: int) -> int:
    """Cycles from issuing a store of `rows` rows of a buffer to its last row of memory: ask, come, leave."""
    return 1 + BUFFER_READ_CYCLES + rows


def compress_cycles(blocks: int, mantissa_bits: int, rows: int) -> int:
    """Cycles from issuing a compress instruction to its last row of planes."""
    return BUFFER_READ_CYCLES + bpc_cycles(blocks, mantissa_bits, rows)


EXACT_ROUNDING_CYCLES = 1
"""Cycles that an exact floating-point dot product takes to become a single when it is complete."""

CONVERSION_STAGES, ROUNDING_STAGES, PRODUCT_STAGES = 6, 3, 4
"""The most stages that conversions to FP16, of an integer and of a single, and a floating-point product are divided into."""


def scale_accumulation_cycles(depth: int = 1) -> int:
    """Cycles from a group's FP16 sum until its product with the scale is in the accumulator.

    The adder has `depth` stages, the multiplier as many or `PRODUCT_STAGES`.
    """
    return min(depth, PRODUCT_STAGES) + depth


def group_scaling_cycles(depth: int = 1) -> int:
    """Cycles from a group's dot product until it is in the accumulator: conversion to FP16, product with the scale, sum.

    A register behind each; with more `depth`, that many within each, as far as it can be divided.
    """
    return min(depth, CONVERSION_STAGES) + scale_accumulation_cycles(depth)


def fp32_scaling_cycles(depth: int = 1) -> int:
    """As `group_scaling_cycles`, from a group's sum that is a single."""
    return min(depth, ROUNDING_STAGES) + scale_accumulation_cycles(depth)


def running_sum_cycles(summands: int, depth: int, outputs: int = 1) -> int:
    """Cycles from the first of `summands` taken to the last sum, of an adder of `depth` stages that sums share.

    The summands belong to `outputs` sums in turn, each of which takes its next one `depth` cycles after the one before.
    """
    turns, rest = divmod(summands - 1, outputs)
    return turns * max(depth, outputs) + rest + 1 + depth


def floating_dot_cycles(steps: int, stages: int, exact: bool = False, depth: int = 1) -> int:
    """Cycles from the first step of floating-point dot products to the last result; a step is taken in every cycle.

    With `depth` each adder has that many stages, and each product at most as many; as many dot products are in flight.
    """
    levels = stages - 1  # of adders, the accumulator's among them
    return steps + min(depth, PRODUCT_STAGES) + levels * depth + EXACT_ROUNDING_CYCLES * exact


VECTOR_PIPELINE_CYCLES = 5
"""Cycles from the vector unit's taking an operand vector until its results are valid; it takes one every cycle."""

VECTOR_SCALAR_CYCLES = 5
"""Cycles of a command of the vector unit that computes a scalar of scalars: the next one reads it."""

VECTOR_LOAD_CYCLES = 1
"""Cycles of a command that puts a constant into a scalar register."""


def vector_reduction_cycles(lanes: int) -> int:
    """Cycles that a reduction takes beyond one for each vector: the last product's way through the lane, the fold of
    ``lanes`` accumulators, the scalar register."""
    return lanes.bit_length() + 1


FIGLUT_GROUP_CYCLES = 64
"""Cycles of a look-up-table element for a group of 64: 16 tables of 4 activations, read for 4 bits of the weights."""


def steps_per_group(lanes: int, group_size: int = 64) -> int:
    """Cycles of an element that multiplies ``lanes`` pairs per cycle for one group."""
    return -(-group_size // lanes)


def figna_lanes(mantissa_bits: int) -> int:
    """Multiplications per cycle of a FIGNA element at its published rate: a group in M cycles below M = 13, else in 16."""
    return steps_per_group(mantissa_bits if mantissa_bits < 13 else FP16_GROUP_CYCLES)


LOOK_UP_CYCLES = 1
"""Cycles from codes of SqueezeLLM to their weights."""

BILEVEL_CYCLES = 4
"""Cycles from a group's codes of SpQR to its weights: difference and product of the statistics, then of the weights."""


def serial_cycles(bits: int) -> int:
    """Cycles of an operator that finds its result bit by bit, from taking the operands until the result is valid."""
    return bits + 1


def softmax_lane_cycles(scores: int, halving_bits: int, probability_bits: int) -> int:
    """Cycles of a softmax lane for one row, from its first score to its last probability.

    Exponentials follow each other without a gap, and so do quotients; between the two the sum is stored.
    """
    return scores * (serial_cycles(halving_bits) + serial_cycles(probability_bits)) + 2


def vector_instruction_cycles(vectors: int, lanes: int, *, operands: int, only_right: bool, scalar: str | None) -> int:
    """Cycles from issuing a vector instruction to its end.

    Parameters
    ----------
    vectors, lanes
        Vectors that it walks over, and lanes of the unit.
    operands
        0, 1 or 2 rows of results that it reads of each vector, one per cycle.
    only_right
        The one operand is the right one, which passes a register of its own.
    scalar
        What it leaves: None is vectors; ``"constant"``, ``"function"`` or ``"reduction"``.
    """
    if scalar == "constant":
        return VECTOR_LOAD_CYCLES
    last_taken = vectors * max(operands, 1) + BUFFER_READ_CYCLES * min(operands, 1) + only_right
    if scalar == "reduction":
        return last_taken + vector_reduction_cycles(lanes)
    return last_taken + (VECTOR_PIPELINE_CYCLES if scalar is None else VECTOR_SCALAR_CYCLES - 1)
