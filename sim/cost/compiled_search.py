"""The numbers of a GeMM, its machine and its prices for the compiled search, and the mappings that it finds."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from ..analytical.gemm import Traffic, exposed_bits, first_operand_bits, traffic
from ..mapping.buffered import part_sizes, tile_widths, widened
from ..mapping.gemm_mapping import GemmMapping, Stays
from ..mapping.legality import capacities, part_bits
from ..mapping.mapped_gemm import SUM_BITS, MappedGemm
from . import search_kernel as kernel
from .energy import UnitCosts, Work
from .gemm_cost import gemm_work
from .objective import Objective

FAMILIES: dict[int, Stays] = {
    kernel.SUMS: "sums",
    kernel.ACTIVATIONS: "activations",
    kernel.WEIGHTS: "weights",
}
OBJECTIVES: dict[Objective, int] = {
    "energy": kernel.ENERGY,
    "latency": kernel.LATENCY,
    "edp": kernel.EDP,
    "dram": kernel.DRAM,
}


def best_compiled(
    mapped: MappedGemm, costs: UnitCosts, objective: Objective
) -> Iterator[tuple[tuple[float, float], GemmMapping]]:
    """`search.best_by_arrays` by the compiled loop."""
    sizes = part_sizes(mapped)
    if not len(sizes):
        return
    gemm, rates, parts = gemm_numbers(mapped, costs), energy_rates(mapped, costs), part_arrays(mapped, sizes)
    widths, column = tile_widths(mapped), np.array([min(mapped.architecture.array.columns, mapped.out_channels)])
    for family, stays in FAMILIES.items():
        score, (tokens, part, channels, *copies) = kernel.best_sizes(
            family, OBJECTIVES[objective], gemm, rates, parts, widths if stays == "sums" else column, kernel.COPIES
        )
        if tokens:
            mapping = GemmMapping(stays, tokens, int(sizes[part]), channels, copies[0], copies[1], "buffer")
            yield score, widened(mapped, mapping)


def gemm_numbers(mapped: MappedGemm, costs: UnitCosts) -> kernel.GemmNumbers:
    """Plain numbers of a GeMM on its machine."""
    array = mapped.architecture.array
    return kernel.GemmNumbers(
        mapped.tokens,
        mapped.out_channels,
        array.rows,
        array.columns,
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
    )


def part_arrays(mapped: MappedGemm, sizes: np.ndarray) -> kernel.Parts:
    """Bits and cycles of the parts of the reduction, for each of some part sizes."""
    planes, exponents, channel = (
        np.broadcast_to(bits, sizes.shape).astype(np.int64) for bits in part_bits(mapped, sizes)
    )
    saves = -(-mapped.in_channels // sizes) - 1
    sums = mapped.tokens * mapped.out_channels * SUM_BITS * saves
    return kernel.Parts(planes, exponents, channel, sums, *mapped.parts_cycles(sizes))


def energy_rates(mapped: MappedGemm, costs: UnitCosts) -> kernel.Rates:
    """Energy of one unit of each count that depends on the mapping, and of all that does not.

    Energies are sums of counts times rates, the same for all GeMMs of a machine.
    """
    once = GemmMapping("activations", mapped.tokens, mapped.in_channels, mapped.out_channels)
    moved = traffic(mapped, once)
    work, latency = gemm_work(mapped, once, moved), _unhurried(mapped, moved, costs)
    if not _LAST or _LAST[0][0] is not costs:
        _LAST[:] = [(costs, _rates(work, latency, costs))]
    rates = _LAST[0][1]
    counted = rates.dram * moved.dram_bits + rates.array_cycle * work.array_cycles + rates.cycle * latency
    counted += rates.activation_write * moved.activations + rates.weight_write * moved.weights
    return rates._replace(fixed=costs.energy(work, latency).total - counted)


_LAST: list[tuple[UnitCosts, kernel.Rates]] = []
"""The machine whose rates were asked for last, and these."""


def _unhurried(mapped: MappedGemm, moved: Traffic, costs: UnitCosts) -> int:
    """Cycles that leave the memory idle in part."""
    return mapped.array_cycles + int(4 * moved.dram_bits / min(costs.dram_bits_per_cycle, float(moved.dram_bits))) + 1


def _rates(work: Work, latency: int, costs: UnitCosts) -> kernel.Rates:
    """Rates of the counts: the difference that more of one makes."""
    bits, sram, array = work.dram_bits, work.sram, work.array_cycles
    whole = costs.energy(work, latency).total

    def rate(count: int, more: Work = work, cycles: int = latency) -> float:
        return (costs.energy(more, cycles).total - whole) / count

    return kernel.Rates(
        0.0,
        rate(bits, replace(work, dram_bits=2 * bits)),
        rate(bits, replace(work, sram=replace(sram, activation_writes=sram.activation_writes + bits))),
        rate(bits, replace(work, sram=replace(sram, weight_writes=sram.weight_writes + bits))),
        rate(bits, replace(work, sram=replace(sram, sum_reads=bits, sum_writes=bits))),
        rate(array, replace(work, array_cycles=2 * array)),
        rate(latency, cycles=2 * latency),
    )
