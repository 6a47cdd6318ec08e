"""Cycles that circuits take and no simulator needs: the tests of the circuits prove them."""

from collections.abc import Sequence

from anda_codesign.formats.latency.array import (
    MIDPOINT_CYCLES,
    WEIGHT_LOAD_CYCLES,
    array_cycles,
    drain_cycles,
    start_cycles,
    unit_pipeline_cycles,
)
from anda_codesign.formats.latency.elements import FP16_GROUP_CYCLES, SIGN_LOAD_CYCLES

PE_RESULT_CYCLES = 1
"""From a processing element's last mantissa plane until its dot product is valid."""

FIGLUT_GROUP_CYCLES = 64
"""A group of 64 in a look-up-table element: 16 tables of 4 activations, read for 4 bits of the weights."""

LOOK_UP_CYCLES = 1
"""From codes of SqueezeLLM to their weights."""

BILEVEL_CYCLES = 4
"""From a group's codes of SpQR to its weights: difference and product of the statistics, then of the weights."""

EXACT_ROUNDING_CYCLES = 1
"""Rounding of a complete exact dot product to FP32."""

CONVERSION_STAGES, ROUNDING_STAGES, PRODUCT_STAGES = 6, 3, 4
"""Most stages of the conversions of an integer and of FP32 to FP16, and of a floating-point product."""


def matrix_unit_cycles(
    tiles: int, groups: int, group_cycles: int, columns: int, affine: bool = False, midpoint: bool = False
) -> int:
    """From the first sign plane to the last output of ``tiles`` tiles of ``groups`` groups each."""
    drain = drain_cycles(columns, affine, midpoint)
    return array_cycles(tiles, groups * group_cycles, drain) + drain - 1


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
    """From a command of the matrix engine to the last group of outputs.

    ``mantissa_bits`` is M; with zero-plane skipping it holds the mantissa planes that each group sends, tile by tile.
    Four rows of weights are gathered while the group before is computed; a tile's last plane waits until the tile
    before has left the array; columns wait while the collector sends ``lanes`` outputs of each token.
    """
    gathered = start_cycles()
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


def scale_accumulation_cycles(adder_stages: int = 1) -> int:
    """From a group's FP16 sum until its product with the scale is in the accumulator of ``adder_stages`` stages."""
    return min(adder_stages, PRODUCT_STAGES) + adder_stages


def group_scaling_cycles(adder_stages: int = 1) -> int:
    """From a group's dot product until its product with the scale is in the accumulator."""
    return min(adder_stages, CONVERSION_STAGES) + scale_accumulation_cycles(adder_stages)


def fp32_scaling_cycles(adder_stages: int = 1) -> int:
    """From a group's FP32 sum until its product with the scale is in the accumulator."""
    return min(adder_stages, ROUNDING_STAGES) + scale_accumulation_cycles(adder_stages)


def running_sum_cycles(summands: int, adder_stages: int, interleave: int = 1) -> int:
    """From the first of ``summands`` to the last sum of an adder of ``adder_stages`` stages that ``interleave`` sums share."""
    turns, rest = divmod(summands - 1, interleave)
    return turns * max(adder_stages, interleave) + rest + 1 + adder_stages


def floating_dot_cycles(steps: int, stages: int, exact: bool = False, adder_stages: int = 1) -> int:
    """From the first step of floating-point dot products to the last result; a step is taken in every cycle."""
    levels = stages - 1  # of adders, the accumulator's among them
    return steps + min(adder_stages, PRODUCT_STAGES) + levels * adder_stages + EXACT_ROUNDING_CYCLES * exact


def steps_per_group(lanes: int, group_size: int = 64) -> int:
    """A group in an element that multiplies ``lanes`` pairs per cycle."""
    return -(-group_size // lanes)


def figna_lanes(mantissa_bits: int) -> int:
    """Multiplications per cycle of FIGNA at its published rate: a group in M cycles below M = 13, else in 16."""
    return steps_per_group(mantissa_bits if mantissa_bits < 13 else FP16_GROUP_CYCLES)


def serial_cycles(bits: int) -> int:
    """An operator that finds its result bit by bit, from its operands until the result is valid."""
    return bits + 1


def softmax_lane_cycles(scores: int, halving_bits: int, probability_bits: int) -> int:
    """A softmax lane from the first score of a row to its last probability; between the two the sum is stored."""
    return scores * (serial_cycles(halving_bits) + serial_cycles(probability_bits)) + 2
