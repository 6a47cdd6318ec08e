"""The search of `cost.search` with partial sums in the buffer as a compiled loop: plain numbers in, plain numbers out.

It looks at the same mappings as the arrays of `mapping.buffered`, in the same order, and prices each from the rates of its counts.
"""

import math
from typing import Any, NamedTuple

import numpy as np
from numba import njit

from .energy import EnergyRates
from .objective import DRAM, EDP, ENERGY

SUMS, ACTIVATIONS, WEIGHTS = range(3)
"""Families, by what stays."""

COPIES = np.array([[2, 2], [1, 2], [2, 1], [1, 1]])
"""Copies of the activations and of the weights; of equal costs the first ones are taken."""


class GemmNumbers(NamedTuple):
    """A GeMM on a machine; amounts in bits."""

    tokens: int
    out_channels: int
    rows: int
    columns: int
    activations: int
    weights: int
    results: int
    first_activations: int
    """One group of the array's first rows."""
    first_weights: int
    """One group of the array's first columns."""
    plane_room: int
    exponent_room: int
    weight_room: int
    sum_bits: int
    start_cycles: int
    tail_cycles: int
    exposed_cycles: float
    """First group and last results over DRAM."""
    dram_bits_per_cycle: float
    fixed_pj: float
    """Energy of everything that no mapping changes."""


class Parts(NamedTuple):
    """Arrays over the sizes of a part of the reduction."""

    planes: Any
    exponents: Any
    channel: Any
    sums: Any
    """Bits of all sums that are saved."""
    array_cycles: Any
    busy_cycles: Any


@njit(cache=True)
def _ceil(number: int, divisor: int) -> int:
    return -(-number // divisor)


@njit(cache=True)
def _tile(size: int, strip: int, length: int) -> int:
    """The largest size in whole strips up to `size`, evened out; all of the axis if it fits; 0 if no strip does."""
    if size >= length:
        return length
    largest = size // strip * strip
    if largest <= 0:
        return 0
    return min(_ceil(_ceil(length, strip), _ceil(length, largest)) * strip, length)


@njit(cache=True)
def _sizes(family: int, gemm: GemmNumbers, planes: int, exponents: int, channel: int, width: int) -> tuple[int, int]:
    """Tokens and output channels of the tiles; planes, exponents and weights are those of all copies."""
    if family == WEIGHTS:
        tokens = min(gemm.rows, gemm.tokens)
        room = gemm.plane_room - tokens * planes
        if room <= 0 or tokens * exponents > gemm.exponent_room:
            return 0, 0
        channels = min(room // (gemm.sum_bits * gemm.tokens), gemm.weight_room // channel)
        return tokens, _tile(channels, gemm.columns, gemm.out_channels)
    if width * channel > gemm.weight_room:
        return 0, 0
    sums = width if family == SUMS else gemm.out_channels
    room = gemm.plane_room // (planes + gemm.sum_bits * sums)
    if room * exponents > gemm.exponent_room:
        room = gemm.exponent_room // exponents
    return _tile(room, gemm.rows, gemm.tokens), width


@njit(cache=True)
def _price(
    family: int,
    gemm: GemmNumbers,
    rates: EnergyRates,
    part: tuple[int, int, int],
    sizes: tuple[int, int],
    copies: Any,
) -> tuple[float, float, float]:
    """Energy, cycles and DRAM bits of a mapping, with a part's saved sums, cycles of the array and cycles of work."""
    activation_passes = 1 if family == ACTIVATIONS else _ceil(gemm.out_channels, sizes[1])
    weight_passes = 1 if family == WEIGHTS else _ceil(gemm.tokens, sizes[0])
    activations, weights = gemm.activations * activation_passes, gemm.weights * weight_passes
    dram = activations + weights + gemm.results
    waits = 0
    if copies[0] == 1:
        waits += activations - gemm.first_activations
    if copies[1] == 1:
        waits += weights - gemm.first_weights
    speed = gemm.dram_bits_per_cycle
    sums, array, busy = part
    work = gemm.start_cycles + array + gemm.tail_cycles + gemm.exposed_cycles
    waiting = gemm.start_cycles + (busy + waits / speed) + gemm.tail_cycles + gemm.exposed_cycles
    latency = float(math.ceil(max(work, waiting, dram / speed)))
    energy = gemm.fixed_pj + rates.dram * dram + rates.activation_write * activations + rates.weight_write * weights
    energy += rates.sums * sums + rates.array_cycle * array + rates.cycle * latency
    return energy, latency, float(dram)


@njit(cache=True)
def _score(objective: int, price: tuple[float, float, float]) -> tuple[float, float]:
    energy, latency, dram = price
    if objective == EDP:
        return energy * latency, latency
    if objective == DRAM:
        return dram, energy
    if objective == ENERGY:
        return energy, latency
    return latency, energy


@njit(cache=True)
def best_sizes(
    family: int, objective: int, gemm: GemmNumbers, rates: EnergyRates, parts: Parts, widths: Any, order: Any
) -> tuple[tuple[float, float], tuple[int, int, int, int, int]]:
    """Score, and tokens, index of the part, output channels and copies of a family's best mapping; all 0 if there is none.

    Parameters
    ----------
    family, objective
        Numbers of the family and of the objective.
    gemm, rates, parts
        The GeMM, prices and parts.
    widths
        Output channels of a tile to look at: those of a column of the array where these do not stay.
    order
        `COPIES`.
    """
    found, best = (0, 0, 0, 0, 0), (np.inf, np.inf)
    least = parts.sums.min(), parts.array_cycles.min(), parts.busy_cycles.min()
    for copies in order:
        for width in widths:
            whole = gemm.tokens, gemm.out_channels if family == WEIGHTS else width
            if _score(objective, _price(family, gemm, rates, least, whole, order[0])) >= best:
                continue  # not even all of the other axis would be better
            for index in range(len(parts.planes)):
                sizes = _sizes(
                    family,
                    gemm,
                    copies[0] * parts.planes[index],
                    copies[0] * parts.exponents[index],
                    copies[1] * parts.channel[index],
                    width,
                )
                if sizes[0] == 0 or sizes[1] == 0:
                    continue
                part = parts.sums[index], parts.array_cycles[index], parts.busy_cycles[index]
                score = _score(objective, _price(family, gemm, rates, part, sizes, copies))
                if score < best:
                    best = score
                    found = sizes[0], index, sizes[1], copies[0], copies[1]
    return best, found
