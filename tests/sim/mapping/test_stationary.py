"""Arrays that hold weights or activations, against a walk that knows no formula of the simulator.

The walk follows every loop nest tile by tile, fills the elements for each fold, and counts cycles,
traffic, and the sums that wait in the buffer. Tiles of one fold are not filled again for the next tile of the other operand.
"""

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
from anda_codesign.sim.cost.energy import SramCosts, UnitCosts, unit_costs
from anda_codesign.sim.cost.gemm_cost import gemm_cost, gemm_work
from anda_codesign.sim.cost.objective import Objective
from anda_codesign.sim.cost.search import best_mapping
from anda_codesign.sim.mapping.gemm_mapping import GemmMapping
from anda_codesign.sim.mapping.legality import check_mapping
from anda_codesign.sim.mapping.mapped_gemm import MappedGemm, map_gemm
from anda_codesign.workloads import Gemm, Precision
from cases import each
from hypothesis import given, settings
from hypothesis import strategies as st

FLOWS = ("weight-stationary", "input-stationary")


class Counts(NamedTuple):
    """Counts of a walk through a loop nest; traffic in bits."""

    loads: tuple[Fraction, Fraction]
    """Activations and weights from DRAM."""
    reads: tuple[Fraction, Fraction]
    """Activations and weights from the buffers to the array."""
    saves: int
    """Sums that are saved to the buffer and restored."""
    peak: int
    """Most sums in the buffer at once."""
    cycles: int


class Machine(NamedTuple):
    """What a walk knows of the array: cycles from the ports and the element."""

    tile: tuple[int, int, int]
    fill: int
    step: int
    step_with_sums: int


def stored(shape: MappedGemm, channels: int) -> tuple[int, int]:
    """Bits of a token and of an output channel of so many input channels."""
    groups = -(-channels // 8)
    token = groups * (8 * (shape.mantissa_bits + 1) + 5) if shape.architecture.compressor else 16 * channels
    return token, 4 * channels + 16 * groups


def machine_of(shape: MappedGemm) -> Machine:
    """Cycles of the array in elements of 8 lanes, INT4 weights and one port width."""
    machine, array, bits = shape.architecture, shape.architecture.array, shape.mantissa_bits
    element, port = machine.processing_element, machine.activation_buffer.port_bits
    digits = 4 if element.timing == "weight-serial" else 1
    work = {"bit-serial": bits + 1, "fp16-rate": 16, "weight-serial": 4, "mantissa-rate": bits}[element.timing]
    tokens, channels = (array.count, 1) if array.split == "tokens" else (1, array.count)
    if array.dataflow == "weight-stationary":
        planes = 1 if array.count == 1 else math.ceil(tokens * array.rows * 8 / port)
        step, filled = digits * planes * work, math.ceil(array.columns * channels * 8 * 4 / port)
    else:
        step = digits * max(work, math.ceil(math.ceil(array.rows * channels * 8 * 4 / port) / digits))
        planes = bits + 1 if machine.compressor else 16
        filled = math.ceil(array.columns * tokens * 8 * planes / port)
    sums = math.ceil(2 * 32 * array.columns * array.count / port)
    return Machine(mappings.tile(machine), array.rows * filled + array.rows - 1, step, max(step, sums))


def ranges(whole: range, size: int) -> list[range]:
    return [whole[start : start + size] for start in range(0, len(whole), size)]


def walk(shape: MappedGemm, order: tuple[int, ...], sizes: tuple[int, int, int]) -> Counts:
    """Walk through the nest of tiles of tokens, output channels and groups, and in each tile through the array's folds."""
    machine, bits = machine_of(shape), stored(shape, shape.in_channels)
    weights = shape.architecture.array.dataflow == "weight-stationary"
    step_cycles = machine.step if shape.groups <= machine.tile[1] else machine.step_with_sums
    lengths = shape.tokens, shape.out_channels, shape.groups
    axes = [ranges(range(length), size) for length, size in zip(lengths, sizes, strict=True)]
    there: list[Any] = [None, None]
    loads, reads = [Fraction(0), Fraction(0)], [Fraction(0), Fraction(0)]
    filled, done = None, {(t, n): 0 for t in range(shape.tokens) for n in range(shape.out_channels)}
    saves = peak = cycles = 0
    for found in product(*(axes[axis] for axis in order)):
        tokens, channels, groups = (dict(zip(order, found, strict=True))[axis] for axis in range(3))
        for index, axis in enumerate((tokens, channels)):
            if there[index] != (axis, groups):
                there[index] = axis, groups
                loads[index] += Fraction(len(axis) * bits[index] * len(groups), shape.groups)
        held, streamed = (channels, tokens) if weights else (tokens, channels)
        size = sizes[1] if weights else sizes[0]
        strip, run = (machine.tile[2], machine.tile[0]) if weights else (machine.tile[0], machine.tile[2])
        for part, fold in product(ranges(held, strip), ranges(groups, machine.tile[1])):
            if filled != (part, fold) or size > strip or sizes[2] > machine.tile[1]:
                filled = part, fold
                cycles += machine.fill
                reads[weights] += Fraction(len(part) * bits[weights] * len(fold), shape.groups)
            cycles += step_cycles * -(-len(streamed) // run)
            reads[not weights] += Fraction(len(streamed) * bits[not weights] * len(fold), shape.groups)
            for one, other in product(part, streamed):
                place = (other, one) if weights else (one, other)
                done[place] += len(fold)
                saves += done[place] < shape.groups
            peak = max(peak, sum(0 < count < shape.groups for count in done.values()))
    return Counts((loads[0], loads[1]), (reads[0], reads[1]), saves, peak, cycles)


ORDERS = {"sums": (0, 1, 2), "activations": (0, 2, 1), "weights": (1, 2, 0)}


def small(tokens: int, in_channels: int, out_channels: int) -> st.SearchStrategy[Gemm]:
    return small_work.gemms(tokens=tokens, in_channels=in_channels, out_channels=out_channels)


@each("flow", FLOWS)
@settings(max_examples=40, deadline=None)
@given(small(7, 60, 7), st.data(), small_work.precisions, st.randoms())
def test_formulas_count_what_a_walk_sees(
    flow: str, gemm: Gemm, data: st.DataObject, precision: Precision, draw: random.Random
):
    """Cycles, traffic, sums and their room in the buffer, for any mapping that can be asked for."""
    machine = data.draw(mappings.stationary(flow))
    shape = map_gemm(gemm, machine, machine.precision(precision))
    legal = list(mappings.legal_mappings(shape))
    for mapping in draw.sample(legal, min(len(legal), 8)):
        sizes = mapping.tokens, mapping.out_channels, -(-mapping.in_channels // 8)
        seen, moved = walk(shape, ORDERS[mapping.stays], sizes), traffic(shape, mapping)
        assert array_cycles(shape, mapping) == seen.cycles
        assert (moved.activations, moved.weights) == seen.loads
        assert (moved.activation_reads, moved.weight_reads) == seen.reads
        assert moved.sums == 32 * seen.saves
        assert gemm_work(shape, mapping, moved).sum_additions == seen.saves
        planes = stored(shape, 8)[0] - 5 if machine.compressor else 16 * 8
        assert 8 * machine.activation_buffer.capacity_bytes >= 32 * seen.peak + (planes if machine.compressor else 0)


class Nest(NamedTuple):
    counts: Counts
    waited: int


def loop_nests(shape: MappedGemm) -> Iterator[Nest]:
    """Every loop nest that fits the buffers, with single and double buffers."""
    machine, (rows, deep, columns) = shape.architecture, mappings.tile(shape.architecture)
    rooms = [8 * each.capacity_bytes for each in (machine.activation_buffer, machine.weight_buffer)]
    exponents = 1 << 62 if machine.exponent_buffer is None else 8 * machine.exponent_buffer.capacity_bytes
    parts = [*range(deep, shape.groups, deep), shape.groups]
    axes = mappings.sizes(shape.tokens, rows), mappings.sizes(shape.out_channels, columns), parts
    for (tokens, channels, groups), order in product(product(*axes), permutations(range(3))):
        seen = walk(shape, order, (tokens, channels, groups))
        part, whole = min(groups * 8, shape.in_channels), groups == shape.groups
        planes = -(-part // 8) * 8 * (shape.mantissa_bits + 1) if machine.compressor else 16 * part
        bits = stored(shape, shape.in_channels)
        first = [min(size, length) for size, length in ((rows, shape.tokens), (columns, shape.out_channels))]
        for copies in product((1, 2), repeat=2):
            held = [tokens * copies[0], channels * copies[1]]
            if whole:  # no more than all of an operand
                held = [min(held[0], shape.tokens), min(held[1], shape.out_channels)]
            fits = held[0] * planes + 32 * seen.peak <= rooms[0] and held[1] * stored(shape, part)[1] <= rooms[1]
            if fits and held[0] * -(-part // 8) * 5 <= exponents:
                there = [-(-n * b * min(deep, shape.groups) // shape.groups) for n, b in zip(first, bits, strict=True)]
                late = [int(loads) - one for loads, one in zip(seen.loads, there, strict=True)]
                yield Nest(seen, sum(bits for bits, count in zip(late, copies, strict=True) if count == 1))


def priced(shape: MappedGemm, costs: UnitCosts, nest: Nest) -> tuple[float, int, int]:
    """Energy, cycles and DRAM bits of a loop nest."""
    seen, (rows, deep, columns) = nest.counts, mappings.tile(shape.architecture)
    token, channel = stored(shape, shape.in_channels)
    results, (activations, weights) = shape.tokens * shape.result_bits, map(int, seen.loads)
    sums = 32 * seen.saves
    reads, weight_reads = map(int, seen.reads)
    sram = SramBits(reads + results, activations + results, weight_reads, weights, sums, sums)
    bits, speed = activations + weights + results, costs.dram_bits_per_cycle
    left = (
        shape.tokens - (-(-shape.tokens // rows) - 1) * rows,
        shape.out_channels - (-(-shape.out_channels // columns) - 1) * columns,
    )
    last = left[0] * shape.architecture.token_bits(min(left[1], 8), shape.result_mantissa_bits)
    if shape.result_mantissa_bits is None:
        last = left[0] * 16 * left[1]
    groups = min(deep, shape.groups)
    first = (min(rows, shape.tokens) * token + min(columns, shape.out_channels) * channel) * groups // shape.groups
    work = shape.start_cycles + seen.cycles + nest.waited / speed + shape.tail_cycles + (first + last) / speed
    latency = math.ceil(max(work, bits / speed))
    once = GemmMapping("activations", shape.tokens, shape.in_channels, shape.out_channels, 2, 2, "buffer")
    elements = gemm_work(shape, once, traffic(shape, once))  # what the elements do is the same in all mappings
    spent = replace(elements, array_cycles=seen.cycles, sram=sram, dram_bits=bits, sum_additions=seen.saves)
    return costs.energy(spent, latency).total, latency, bits


prices = st.sampled_from([0.01, 0.05, 0.3, 4.0])


@each("flow", FLOWS)
@settings(max_examples=30, deadline=None)
@given(
    small(5, 40, 6),
    st.data(),
    small_work.precisions,
    st.sampled_from([0.05, 1.0, 30.0]),
    st.lists(prices, min_size=6, max_size=6),
)
def test_the_search_finds_the_optimum(
    flow: str, gemm: Gemm, data: st.DataObject, precision: Precision, gigabytes: float, prices: list[float]
):
    """By energy, latency, their product and traffic, at any prices of the memories."""
    machine: Architecture = data.draw(mappings.stationary(flow))
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
