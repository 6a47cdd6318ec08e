"""The search against a brute force that knows no formula: it walks every loop nest, tile by tile, and counts what it sees."""

import math
import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from itertools import permutations, product
from typing import Any, NamedTuple

import mappings
import pytest
import small_work
from anda_codesign.formats import InputError
from anda_codesign.sim import load_technology
from anda_codesign.sim.analytical.gemm import SramBits, array_cycles, traffic
from anda_codesign.sim.config.architecture import Architecture
from anda_codesign.sim.cost.compiled_search import best_compiled
from anda_codesign.sim.cost.energy import SramCosts, UnitCosts, unit_costs
from anda_codesign.sim.cost.gemm_cost import gemm_cost, gemm_work
from anda_codesign.sim.cost.objective import Objective
from anda_codesign.sim.cost.search import best_by_arrays, best_mapping
from anda_codesign.sim.mapping.gemm_mapping import GemmMapping
from anda_codesign.sim.mapping.legality import check_mapping
from anda_codesign.sim.mapping.mapped_gemm import MappedGemm, map_gemm
from anda_codesign.workloads import Gemm, Precision
from hypothesis import example, given, settings
from hypothesis import strategies as st

Tile = tuple[range, range, range]
"""Tokens, output channels and groups of input channels."""


class Counts(NamedTuple):
    """Counts of a walk through a loop nest."""

    activations: Fraction
    weights: Fraction
    saves: int
    """Outputs that are saved to the buffer and restored."""
    peak: int
    """Most outputs in the buffer at once."""
    revisits: bool
    """True if the array leaves a tile of outputs before its reduction is complete."""
    cycles: int


def ranges(length: int, size: int) -> list[range]:
    return [range(start, min(start + size, length)) for start in range(0, length, size)]


def nest(shape: MappedGemm, order: tuple[int, ...], sizes: tuple[int, int, int]) -> Iterator[Tile]:
    """Tiles of the three axes, the first of `order` being the outermost loop."""
    axes = [ranges(n, s) for n, s in zip((shape.tokens, shape.out_channels, shape.groups), sizes, strict=True)]
    for found in product(*(axes[axis] for axis in order)):
        tile = dict(zip(order, found, strict=True))
        yield tile[0], tile[1], tile[2]


def walk(shape: MappedGemm, order: tuple[int, ...], sizes: tuple[int, int, int], buffered: bool) -> Counts:
    """Walk through a loop nest; outputs, and sums that go to the buffer, leave the array one column a cycle."""
    array, port = shape.architecture.array, shape.architecture.activation_buffer.port_bits
    way_out = max(array.columns + 5, -(-2 * array.rows * array.columns * array.count * 32 // port) if buffered else 0)
    height, _, width = mappings.tile(shape.architecture)
    bits = stored(shape, shape.in_channels)
    held: list[Any] = [None, None]
    moved = [Fraction(0), Fraction(0)]
    done: dict[tuple[int, int], int] = {}
    saved: dict[tuple[int, int], int] = {}
    saves, peak, end, left, revisits, now = 0, 0, 0, None, False, None
    for tokens, channels, part in nest(shape, order, sizes):
        for index, axis in enumerate((tokens, channels)):
            if held[index] != (axis, part):
                held[index] = axis, part
                moved[index] += Fraction(len(axis) * bits[index] * len(part), shape.groups)
        for rows, columns in product(ranges(len(tokens), height), ranges(len(channels), width)):
            place = tokens[rows[0]], channels[columns[0]]
            revisits |= now is not None and place != now and done[now] < shape.groups
            now = place
            done[place] = done.get(place, 0) + len(part)
            end += len(part) * int(shape.group_cycles)
            saved.pop(place, None)
            if done[place] < shape.groups:
                saved[place] = len(rows) * len(columns)
                saves += saved[place]
                peak = max(peak, sum(saved.values()))
            if buffered or done[place] == shape.groups:
                left = end = end if left is None else max(end, left + way_out)
    return Counts(*moved, saves, peak, revisits, end)


def stored(shape: MappedGemm, channels: int) -> tuple[int, int]:
    """Bits of a token and of an output channel of so many input channels."""
    machine = shape.architecture
    groups = -(-channels // 8)
    token = groups * (8 * (shape.mantissa_bits + 1) + 5) if machine.compressor else 16 * channels
    return token, 4 * channels + 16 * groups


class Nest(NamedTuple):
    """A legal loop nest: its counts, and the bits that the array waits for."""

    counts: Counts
    buffered: bool
    waited: int


def loop_nests(shape: MappedGemm) -> Iterator[Nest]:
    """Every legal loop nest, with single and double buffers."""
    machine, (height, _, width) = shape.architecture, mappings.tile(shape.architecture)
    activation_room, weight_room = (
        8 * each.capacity_bytes for each in (machine.activation_buffer, machine.weight_buffer)
    )
    axes = mappings.sizes(shape.tokens, height), mappings.sizes(shape.out_channels, width)
    for *tile, groups in product(*axes, range(1, shape.groups + 1)):
        sizes = tile[0], tile[1], groups
        part, whole = min(groups * 8, shape.in_channels), groups == shape.groups
        planes = -(-part // 8) * 8 * (shape.mantissa_bits + 1) if machine.compressor else 16 * part
        for copies in product((1, 2), repeat=2):
            held = [size * count for size, count in zip(tile, copies, strict=True)]
            if whole:  # no more than all of an operand
                held = [min(held[0], shape.tokens), min(held[1], shape.out_channels)]
            room = activation_room - held[0] * planes
            if room < 0 or held[1] * stored(shape, part)[1] > weight_room:
                continue
            for order in permutations(range(3)):
                seen = walk(shape, order, sizes, False)
                if not seen.revisits:
                    yield Nest(seen, False, waits(shape, order, sizes, copies, seen))
                elif machine.partial_sums == "buffer" and 32 * seen.peak <= room:
                    yield Nest(walk(shape, order, sizes, True), True, waits(shape, order, sizes, copies, seen))


def waits(
    shape: MappedGemm, order: tuple[int, ...], sizes: tuple[int, int, int], copies: tuple[int, ...], seen: Counts
) -> int:
    """Bits that arrive while the array waits.

    A single-buffered operand is loaded when the tile before is used up. Only what the outermost loop keeps with all of its
    reduction is replaced strip by strip.
    """
    bits, (height, _, width) = stored(shape, shape.in_channels), mappings.tile(shape.architecture)
    whole, stays = sizes[2] == shape.groups, min((0, 1), key=order.index)
    first = [sizes[0], sizes[1]] if whole else [min(height, shape.tokens), min(width, shape.out_channels)]
    total = 0
    for operand, moved in enumerate((seen.activations, seen.weights)):
        if copies[operand] == 1 and not (whole and operand == stays):
            there = first[operand] * bits[operand] if whole else -(-first[operand] * bits[operand] // shape.groups)
            total += int(moved) - there
    return total


def priced(shape: MappedGemm, costs: UnitCosts, nest: Nest) -> tuple[float, int, int]:
    """Energy, cycles and DRAM bits of a loop nest."""
    seen, (height, _, width) = nest.counts, mappings.tile(shape.architecture)
    token, channel = stored(shape, shape.in_channels)
    results = shape.tokens * shape.result_bits
    sums = 32 * seen.saves if nest.buffered else 0
    activations, weights = int(seen.activations), int(seen.weights)
    sram = SramBits(
        shape.tokens * token * -(-shape.out_channels // width) + results,
        activations + results,
        shape.out_channels * channel * -(-shape.tokens // height),
        weights,
        sums,
        sums,
    )
    bits, speed = activations + weights + results, costs.dram_bits_per_cycle
    rows, columns = min(height, shape.tokens), min(width, shape.out_channels)
    last = shape.architecture.token_bits(
        min(shape.out_channels - (shape.column_tiles - 1) * width, 8), shape.result_mantissa_bits
    )
    first = (rows * token + columns * channel) // shape.groups
    ends = first + (shape.tokens - (shape.row_tiles - 1) * height) * last
    busy = shape.tiles * shape.groups * int(shape.group_cycles)
    work = shape.start_cycles + max(seen.cycles, busy + nest.waited / speed) + shape.tail_cycles + ends / speed
    latency = math.ceil(max(work, bits / speed))
    once = GemmMapping("activations", shape.tokens, shape.in_channels, shape.out_channels)
    elements = gemm_work(shape, once, traffic(shape, once))  # what the elements do is the same in all mappings
    spent = replace(elements, array_cycles=seen.cycles, sram=sram, dram_bits=bits)
    return costs.energy(spent, latency).total, latency, bits


LARGER = Gemm("u", 12, 64, 14), mappings.small_machine("fp-fp", (2, 2), (330, 150), 64), Precision.uniform(16)
"""A GeMM of which only tiles in the middle of the range are best."""
prices = st.sampled_from([0.01, 0.05, 0.3, 4.0])


@settings(max_examples=40, deadline=None)
@given(
    small_work.gemms(tokens=10, in_channels=60, out_channels=8),
    st.one_of(mappings.machines, mappings.several(st.just(2))),
    small_work.precisions,
    st.sampled_from([0.05, 1.0, 30.0]),
    st.lists(prices, min_size=6, max_size=6),
)
@example(*LARGER, 0.05, [0.01] * 5 + [4.0])
@example(*LARGER, 30.0, [0.01, 0.01, 0.01, 0.3, 0.01, 0.05])
def test_the_search_finds_the_optimum(
    gemm: Gemm, machine: Architecture, precision: Precision, gigabytes: float, prices: list[float]
):
    """By energy, latency, their product and traffic, at any prices of the memories."""
    shape = map_gemm(gemm, machine, machine.precision(precision))
    costs = replace(
        unit_costs(machine, load_technology().with_bandwidth(gigabytes)),
        sram=SramCosts(*prices[:5]),
        dram_pj_per_bit=prices[5],
    )
    everything = [priced(shape, costs, each) for each in loop_nests(shape)]
    if not everything:
        with pytest.raises(InputError, match="too small for any mapping"):
            best_mapping(shape, costs, "energy")
        return
    measures: dict[Objective, Callable[[float, int, int], float]] = {
        "energy": lambda energy, cycles, bits: energy,
        "latency": lambda energy, cycles, bits: cycles,
        "edp": lambda energy, cycles, bits: energy * cycles,
        "dram": lambda energy, cycles, bits: bits,
    }
    for objective, measure in measures.items():
        mapping = check_mapping(shape, best_mapping(shape, costs, objective))
        found = gemm_cost(shape, mapping, costs)
        ours = measure(found.energy_pj.total, found.cycles, found.traffic.dram_bits)
        assert ours == pytest.approx(min(measure(*each) for each in everything), rel=1e-12), objective


@settings(max_examples=100, deadline=None)
@given(
    small_work.gemms(tokens=300, in_channels=3000, out_channels=700),
    st.one_of(mappings.machines, mappings.several(st.just(2))),
    small_work.precisions,
    st.sampled_from([0.05, 1.0, 300.0]),
    st.lists(prices, min_size=6, max_size=6),
    st.sampled_from(["energy", "latency", "edp", "dram"]),
)
def test_the_compiled_search_finds_what_the_arrays_find(
    gemm: Gemm, machine: Architecture, precision: Precision, gigabytes: float, prices: list[float], objective: Objective
):
    shape = map_gemm(gemm, machine, machine.precision(precision))
    costs = replace(
        unit_costs(machine, load_technology().with_bandwidth(gigabytes)),
        sram=SramCosts(*prices[:5]),
        dram_pj_per_bit=prices[5],
    )
    pairs = zip(best_compiled(shape, costs, objective), best_by_arrays(shape, costs, objective), strict=True)
    for (score, compiled), (expected, plain) in pairs:
        assert compiled.stays == plain.stays
        assert score == pytest.approx(expected, rel=1e-12)
        assert gemm_cost(shape, compiled, costs).score(objective) == pytest.approx(expected, rel=1e-12)


@settings(max_examples=40, deadline=None)
@given(
    small_work.gemms(tokens=10, in_channels=60, out_channels=8), mappings.machines, small_work.precisions, st.randoms()
)
def test_formulas_count_what_a_walk_sees(gemm: Gemm, machine: Architecture, precision: Precision, draw: random.Random):
    """Traffic, saved sums and cycles of any mapping that can be asked for."""
    shape = map_gemm(gemm, machine, machine.precision(precision))
    legal = list(mappings.legal_mappings(shape))
    orders = {"nothing": (0, 1, 2), "sums": (0, 1, 2), "activations": (0, 2, 1), "weights": (1, 2, 0)}
    for mapping in draw.sample(legal, min(len(legal), 10)):
        sizes = mapping.tokens, mapping.out_channels, -(-mapping.in_channels // 8)
        seen = walk(shape, orders[mapping.stays], sizes, mapping.buffered_sums)
        moved = traffic(shape, mapping)
        assert array_cycles(shape, mapping) == seen.cycles
        assert moved.sums == (32 * seen.saves if mapping.buffered_sums else 0)
        again = mapping.stays in ("activations", "weights") and not mapping.buffered_sums
        whole = sizes[1] >= shape.out_channels or sizes[0] >= shape.tokens or sizes[2] >= shape.groups
        if (again and whole) or mapping.stays == "nothing":  # a stream is fetched anew even if it is still there
            assert moved.activations >= seen.activations
            assert moved.weights >= seen.weights
        else:
            assert (moved.activations, moved.weights) == (seen.activations, seen.weights)
