"""The numbers of a GeMM, its machine and its prices for the compiled search, and the mappings that it finds."""

from collections.abc import Iterator

import numpy as np

from ..analytical.gemm import exposed_bits, first_operand_bits
from ..mapping.buffered import part_sizes, tile_widths, widened
from ..mapping.gemm_mapping import GemmMapping, Stays
from ..mapping.legality import capacities, part_bits
from ..mapping.mapped_gemm import SUM_BITS, MappedGemm
from . import search_kernel as kernel
from .energy import UnitCosts
from .gemm_cost import fixed_pj
from .objective import NUMBERS, Objective

FAMILIES: dict[int, Stays] = {
    kernel.SUMS: "sums",
    kernel.ACTIVATIONS: "activations",
    kernel.WEIGHTS: "weights",
}


def best_compiled(
    mapped: MappedGemm, costs: UnitCosts, objective: Objective
) -> Iterator[tuple[tuple[float, float], GemmMapping]]:
    """`search.best_by_arrays` by the compiled loop; the same bits."""
    sizes = part_sizes(mapped)
    if not len(sizes):
        return
    gemm, rates, parts = gemm_numbers(mapped, costs), costs.rates(), part_arrays(mapped, sizes)
    widths, column = tile_widths(mapped), np.array([min(mapped.tile.channels, mapped.out_channels)])
    for family, stays in FAMILIES.items():
        score, (tokens, part, channels, *copies) = kernel.best_sizes(
            family, NUMBERS[objective], gemm, rates, parts, widths if stays == "sums" else column, kernel.COPIES
        )
        if tokens:
            mapping = GemmMapping(stays, tokens, int(sizes[part]), channels, copies[0], copies[1], "buffer")
            yield score, widened(mapped, mapping)


def gemm_numbers(mapped: MappedGemm, costs: UnitCosts) -> kernel.GemmNumbers:
    """Plain numbers of a GeMM on its machine."""
    tile = mapped.tile
    return kernel.GemmNumbers(
        mapped.tokens,
        mapped.out_channels,
        tile.tokens,
        tile.channels,
        mapped.tokens * mapped.token_bits,
        mapped.out_channels * mapped.channel_bits,
        mapped.tokens * mapped.result_bits,
        *first_operand_bits(mapped),
        *capacities(mapped),
        SUM_BITS,
        mapped.start_cycles,
        mapped.tail_cycles,
        exposed_bits(mapped) / costs.dram_bits_per_cycle,
        costs.dram_bits_per_cycle,
        fixed_pj(mapped, costs),
    )


def part_arrays(mapped: MappedGemm, sizes: np.ndarray) -> kernel.Parts:
    """Bits and cycles of the parts of the reduction, for each of some part sizes."""
    planes, exponents, channel = (
        np.broadcast_to(bits, sizes.shape).astype(np.int64) for bits in part_bits(mapped, sizes)
    )
    saves = -(-mapped.in_channels // sizes) - 1
    sums = mapped.tokens * mapped.out_channels * SUM_BITS * saves
    return kernel.Parts(planes, exponents, channel, sums, *mapped.parts_cycles(sizes))
