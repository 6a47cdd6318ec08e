"""Level `analytical` with the best mapping of each GeMM, compiled: one machine, precision and model an element.

The plain twin is `cost.search.best_mapping` with `cost.gemm_cost`, one GeMM at a time. Both give the same bits: each
formula here has the order of operations that it has there. No plane is skipped, and no mantissa stands for the middle of its
interval. Where a number could leave the range in which both agree, or a buffer is too small, `Totals.done` is False.
"""

import math
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ...formats.anda.format import EXPONENT_BITS
from ...formats.kernels.jit import arithmetic_kernel as kernel
from ...formats.kernels.jit import inlined_arithmetic as inlined
from ...formats.latency import array as array_latency
from ...formats.latency.elements import FP16_GROUP_CYCLES, WEIGHT_PLANE_CYCLES
from ...formats.numeric.alignment import MAX_MANTISSA_BITS
from ...workloads.models.gemms import FP16_BITS
from ..cost.energy import EnergyRates
from ..cost.objective import DRAM, EDP, LATENCY
from ..cost.search_kernel import ACTIVATIONS as HELD_ACTIVATIONS
from ..cost.search_kernel import COPIES, SUMS, GemmNumbers, Parts, best_sizes
from ..cost.search_kernel import WEIGHTS as HELD_WEIGHTS
from ..mapping.mapped_gemm import SUM_BITS

BIT_SERIAL, FP16_RATE, MANTISSA_RATE, WEIGHT_SERIAL = range(4)
FP16_RESULTS = 0
"""Stands for results in FP16 in place of mantissa bits."""
EXACT = float(1 << 52)
"""Numbers below this are the same as integers and as floats."""
ACTIVATIONS, WEIGHTS, NOTHING = range(3)

DRAIN_CYCLES = array_latency.drain_cycles(0)
"""Cycles to drain a tile beside one for each column."""
COMPRESS_CYCLES = array_latency.bpc_cycles(1, 0, 0)
"""Cycles of the compressor for a block of groups beside one for each mantissa bit and row."""

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]

array_cycles = njit(array_latency.array_cycles)
start_cycles = njit(array_latency.start_cycles)


class Machines(NamedTuple):
    """Numbers of machines, an element each, or of one machine; without an exponent buffer there is one of 2^62 bits."""

    rows: Integers
    columns: Integers
    lanes: Integers
    timing: Integers
    planes: Integers
    """1 if activations are stored as planes of mantissas of M bits, 0 if they stay FP16."""
    saves_sums: Integers
    """1 if partial sums may go to the activation buffer."""
    activation_port: Integers
    activation_bits: Integers
    exponent_bits: Integers
    weight_bits: Integers
    weight_port: Integers
    digits: Integers
    code_bits: Integers
    decode_cycles: Integers
    scale_group: Integers
    scale_bits: Integers
    channel_extra_bits: Integers
    """Bits of each output channel's table and pointer."""
    sparse_bits: Integers
    sparse_lanes: Integers
    side_lanes: Integers
    sparse_fraction: Floats
    array_pj: Floats
    support_pj: Floats
    idle_elements: Floats
    waiting_pj: Floats
    idle_side: Floats
    side_pj: Floats
    side_waiting_pj: Floats
    activation_read_pj: Floats
    activation_write_pj: Floats
    weight_read_pj: Floats
    weight_write_pj: Floats
    leakage_pj: Floats
    dram_pj: Floats
    dram_bits_per_cycle: Floats
    background_w: Floats
    """Standby and refresh."""
    active_w: Floats
    """Active above idle standby."""
    clock_hz: Floats
    objective: Integers


class Totals(NamedTuple):
    """Cost of a list of GeMMs, an element each."""

    done: NDArray[np.bool_]
    """False where the plain code has to be asked."""
    fits: NDArray[np.bool_]
    """False where a buffer is too small for a GeMM."""
    cycles: Integers
    dram_bytes: Integers
    sram_bytes: Integers
    energies_pj: Floats
    """Compute, SRAM, DRAM and background, ``[elements, 4]``."""


@kernel
def exact_sum(values: Floats, count: int, partials: Floats) -> float:
    """The correctly rounded sum of the first numbers, as `math.fsum` gives it (Shewchuk's algorithm)."""
    used = 0
    for place in range(count):
        x, kept = values[place], 0
        for index in range(used):
            y = partials[index]
            if abs(x) < abs(y):
                x, y = y, x
            high = x + y
            low = y - (high - x)
            if low != 0.0:
                partials[kept] = low
                kept += 1
            x = high
        partials[kept] = x
        used = kept + 1
    total, low = partials[used - 1], 0.0
    used -= 1
    while used > 0:
        x, y = total, partials[used - 1]
        used -= 1
        total = x + y
        low = y - (total - x)
        if low != 0.0:
            break
    if used > 0 and ((low < 0.0 and partials[used - 1] < 0.0) or (low > 0.0 and partials[used - 1] > 0.0)):
        x = total + 2.0 * low
        if 2.0 * low == x - total:
            total = x
    return total


class Mapped(NamedTuple):
    """One GeMM on one machine, as `mapping.mapped_gemm.MappedGemm`; amounts in bits and cycles."""

    tokens: int
    in_channels: int
    out_channels: int
    rows: int
    columns: int
    row_tiles: int
    column_tiles: int
    channel: int
    """One output channel's weights."""
    token: int
    activations: int
    weights: int
    results: int
    first_activations: int
    first_weights: int
    start: int
    array: int
    dense: int
    """Cycles in which the elements and their operands keep all tiles busy."""
    tail: int
    exposed: float
    spacing: int
    """Least cycles from one tile to the next where sums go to the buffer."""
    sparse: int
    """Cycles of the side unit for one tile."""
    groups: int
    group_cycles: int


class Mapping(NamedTuple):
    """A mapping, as `mapping.gemm_mapping.GemmMapping`, and what follows from it."""

    stays: int
    tokens: int
    in_channels: int
    out_channels: int
    activation_copies: int
    weight_copies: int
    in_parts: bool
    sums: int
    """Bits of all partial sums that are saved."""
    array: int
    """Cycles of the array if no operand is late, and those of them in which it works."""
    busy: int


@inlined
def _element(machines: Machines, at: int) -> Machines:
    """One machine: the same numbers, as scalars."""
    return Machines(
        machines.rows[at],
        machines.columns[at],
        machines.lanes[at],
        machines.timing[at],
        machines.planes[at],
        machines.saves_sums[at],
        machines.activation_port[at],
        machines.activation_bits[at],
        machines.exponent_bits[at],
        machines.weight_bits[at],
        machines.weight_port[at],
        machines.digits[at],
        machines.code_bits[at],
        machines.decode_cycles[at],
        machines.scale_group[at],
        machines.scale_bits[at],
        machines.channel_extra_bits[at],
        machines.sparse_bits[at],
        machines.sparse_lanes[at],
        machines.side_lanes[at],
        machines.sparse_fraction[at],
        machines.array_pj[at],
        machines.support_pj[at],
        machines.idle_elements[at],
        machines.waiting_pj[at],
        machines.idle_side[at],
        machines.side_pj[at],
        machines.side_waiting_pj[at],
        machines.activation_read_pj[at],
        machines.activation_write_pj[at],
        machines.weight_read_pj[at],
        machines.weight_write_pj[at],
        machines.leakage_pj[at],
        machines.dram_pj[at],
        machines.dram_bits_per_cycle[at],
        machines.background_w[at],
        machines.active_w[at],
        machines.clock_hz[at],
        machines.objective[at],
    )


@inlined
def _ceil(number: int, divisor: int) -> int:
    """Quotient of whole numbers rounded up; as floats it is exact below `EXACT`, and much faster."""
    return math.ceil(number / divisor)


@inlined
def _floor(number: int, divisor: int) -> int:
    """Quotient rounded down, in the same way."""
    return int(number / divisor)


@inlined
def _token_bits(machine: Any, channels: int, mantissa_bits: int) -> Any:
    if machine.planes == 0 or mantissa_bits == FP16_RESULTS:
        return channels * FP16_BITS
    return _ceil(channels, machine.lanes) * (machine.lanes * (mantissa_bits + 1) + EXPONENT_BITS)


@inlined
def _footprint(machine: Any, channels: int, mantissa_bits: int) -> Any:
    """Bits of one token in the activation buffer and in the exponent buffer."""
    if machine.planes == 0:
        return channels * FP16_BITS, 0
    groups = _ceil(channels, machine.lanes)
    return groups * machine.lanes * (mantissa_bits + 1), groups * EXPONENT_BITS


@inlined
def _resident_tokens(machine: Any, channels: int, mantissa_bits: int) -> Any:
    planes, exponents = _footprint(machine, channels, mantissa_bits)
    if exponents == 0:
        return _floor(machine.activation_bits, planes)
    return min(_floor(machine.activation_bits, planes), _floor(machine.exponent_bits, exponents))


@inlined
def _sparse_weights(machine: Any, in_channels: int) -> Any:
    if machine.sparse_fraction == 0.0:
        return 0
    return int(np.ceil(in_channels * machine.sparse_fraction))


@inlined
def _channel_bits(machine: Any, in_channels: int) -> Any:
    bits = in_channels * machine.code_bits + machine.channel_extra_bits
    bits += _ceil(in_channels, machine.scale_group) * machine.scale_bits
    return bits + _sparse_weights(machine, in_channels) * machine.sparse_bits


@inlined
def _pass_cycles(machine: Any, mantissa_bits: int) -> Any:
    """Cycles of a digit of a group in an element, at its published power; and if its operands are there."""
    timing = machine.timing
    if timing == BIT_SERIAL:
        return mantissa_bits + 1, mantissa_bits + 1
    element = WEIGHT_PLANE_CYCLES if timing == WEIGHT_SERIAL else FP16_GROUP_CYCLES
    return element, mantissa_bits if timing == MANTISSA_RATE else element


@inlined
def _map(machine: Any, tokens: int, in_channels: int, out_channels: int, bits: int, result_bits: int) -> Mapped:
    """The GeMM on a machine."""
    rows, columns, lanes, digits = machine.rows, machine.columns, machine.lanes, machine.digits
    groups, row_tiles, column_tiles = _ceil(in_channels, lanes), _ceil(tokens, rows), _ceil(out_channels, columns)
    load = max(_ceil(columns * lanes * machine.code_bits, machine.weight_port), machine.decode_cycles)
    working = _pass_cycles(machine, bits)[1]
    group_cycles = max(working, _ceil(load, digits)) * digits
    token, channel = _token_bits(machine, in_channels, bits), _channel_bits(machine, in_channels)
    products = rows * columns * _sparse_weights(machine, in_channels)
    dense = groups * group_cycles
    sparse = _ceil(products, machine.sparse_lanes)
    reduction = max(dense, sparse)
    drain = DRAIN_CYCLES + columns
    tiles = row_tiles * column_tiles
    idle = _floor(group_cycles, digits) - (bits + 1) if machine.timing == BIT_SERIAL else 0
    compress = 0 if result_bits == FP16_RESULTS else COMPRESS_CYCLES + result_bits
    first_rows, first_columns = min(rows, tokens), min(columns, out_channels)
    last_columns = out_channels - (column_tiles - 1) * columns
    if result_bits != FP16_RESULTS:
        last_columns = min(last_columns, lanes)
    last = (tokens - (row_tiles - 1) * rows) * _token_bits(machine, last_columns, result_bits)
    exposed = _floor(first_rows * token + first_columns * channel, groups) + last
    return Mapped(
        tokens,
        in_channels,
        out_channels,
        rows,
        columns,
        row_tiles,
        column_tiles,
        channel,
        token,
        tokens * token,
        out_channels * channel,
        tokens * _token_bits(machine, out_channels, result_bits),
        _ceil(first_rows * token, groups),
        _ceil(first_columns * channel, groups),
        start_cycles(load),
        array_cycles(tiles, reduction, drain),
        tiles * dense,
        drain - idle + rows + compress,
        exposed / machine.dram_bits_per_cycle,
        max(drain, _ceil(2 * rows * columns * SUM_BITS, machine.activation_port)),
        sparse,
        groups,
        group_cycles,
    )


@inlined
def _fixed_energy(machine: Any, gemm: Mapped, bits: int) -> Any:
    """Compute energy of a GeMM at work and idle, in pJ, without that of waiting; and counts.

    The counts are the busy cycles, the products of the side unit, and the lanes times their cycles.
    """
    element, working = _pass_cycles(machine, bits)
    tiles, digits, groups = gemm.row_tiles * gemm.column_tiles, machine.digits, gemm.groups
    element_cycles = tiles * (groups * element) * digits
    busy = min(tiles * (groups * working * digits), gemm.dense)
    places = tiles * gemm.rows * gemm.columns * groups * machine.lanes
    used_share = gemm.tokens * gemm.in_channels * gemm.out_channels / places
    share = element_cycles * used_share / element_cycles  # `Work` holds the product, and its quotient is rounded again
    sparse = _sparse_weights(machine, gemm.in_channels)
    products = tiles * (gemm.rows * gemm.columns * sparse)
    array = element_cycles * machine.array_pj
    side = products * machine.side_pj
    used_side = gemm.tokens * gemm.out_channels * sparse * machine.side_pj
    idle = array * (1 - share) * machine.idle_elements + (side - used_side) * machine.idle_side
    return array * share + used_side, idle, busy, products, float(places)


@njit(inline="always", error_model="numpy")
def _waited(gemm: Mapped, mapping: Mapping, moved: int, moved_weights: int) -> Any:
    """Bits that the array waits for (`analytical.gemm`)."""
    alone, weights_alone = mapping.activation_copies == 1, mapping.weight_copies == 1
    if mapping.in_parts:
        return alone * (moved - gemm.first_activations) + weights_alone * (moved_weights - gemm.first_weights)
    if mapping.stays == WEIGHTS:
        return alone * (moved - mapping.tokens * gemm.token)
    return weights_alone * (moved_weights - mapping.out_channels * gemm.channel)


@njit(inline="always", error_model="numpy")
def _price(machine: Any, gemm: Mapped, fixed: Any, mapping: Mapping, price: Floats) -> None:
    """Cost of a GeMM with a mapping: energies, cycles, and bits of DRAM and SRAM, into `price`."""
    stays, tokens, out_channels = mapping.stays, mapping.tokens, mapping.out_channels
    whole_tokens = not mapping.in_parts and tokens == gemm.tokens
    whole_channels = not mapping.in_parts and out_channels == gemm.out_channels
    passes = 1 if stays == ACTIVATIONS or whole_tokens else _ceil(gemm.out_channels, out_channels)
    weight_passes = 1 if stays == WEIGHTS or whole_channels else _ceil(gemm.tokens, tokens)
    moved, moved_weights = gemm.activations * passes, gemm.weights * weight_passes
    speed = machine.dram_bits_per_cycle
    waits = _waited(gemm, mapping, moved, moved_weights)
    dram = moved + moved_weights + gemm.results
    work = gemm.start + mapping.array + gemm.tail + gemm.exposed
    waiting = gemm.start + (mapping.busy + (waits / speed if waits else 0.0)) + gemm.tail + gemm.exposed
    dram_cycles = dram / speed
    taken = math.ceil(max(work, waiting, dram_cycles))
    reads = gemm.activations * gemm.column_tiles + gemm.results
    writes, weight_reads = moved + gemm.results, gemm.weights * gemm.row_tiles
    at_work, idle, busy, products, _ = fixed
    idle += machine.waiting_pj * (taken - busy)
    idle += machine.side_waiting_pj * (taken * machine.side_lanes - products)
    price[0] = at_work + idle + mapping.array * machine.support_pj
    price[1] = (
        (reads + mapping.sums) * machine.activation_read_pj
        + (writes + mapping.sums) * machine.activation_write_pj
        + weight_reads * machine.weight_read_pj
        + moved_weights * machine.weight_write_pj
        + taken * machine.leakage_pj
    )
    price[2] = dram * machine.dram_pj
    price[3] = 0.0
    if machine.background_w > 0.0:
        watt_cycles = taken * machine.background_w + min(dram_cycles, float(taken)) * machine.active_w
        price[3] = watt_cycles * 1e12 / machine.clock_hz
    price[4], price[5] = taken, dram
    price[6] = reads + writes + weight_reads + moved_weights + mapping.sums + mapping.sums


@njit(inline="always", error_model="numpy")
def _keep_better(objective: int, best: Floats, price: Floats, mapping: Mapping, chosen: Any) -> None:
    """Keep a price and its mapping if its score is less than that of the best one so far; an infinite one stands for none."""
    first = price[0] + price[1] + price[2] + price[3]
    second = price[4]
    if objective == LATENCY:
        first, second = second, first
    elif objective == EDP:
        first *= second
    elif objective == DRAM:
        first, second = price[5], first
    if first < best[7] or (first == best[7] and second < best[8]):
        best[:7] = price[:7]
        best[7], best[8] = first, second
        if chosen is not None:
            chosen[0], chosen[1], chosen[2], chosen[3] = (
                mapping.stays,
                mapping.tokens,
                mapping.in_channels,
                mapping.out_channels,
            )
            chosen[4], chosen[5], chosen[6] = mapping.activation_copies, mapping.weight_copies, mapping.sums > 0


@njit(inline="always", error_model="numpy")
def _in_array(
    array: int, busy: int, stays: int, tokens: int, in_channels: int, out_channels: int, copies: int, weight_copies: int
) -> Mapping:
    """A mapping that keeps partial sums in the array."""
    return Mapping(stays, tokens, in_channels, out_channels, copies, weight_copies, stays == NOTHING, 0, array, busy)


@inlined
def _largest(length: int, strip: int, room: int, single: int) -> Any:
    """The largest tile of an operand that stays, twice or once, and its copies; size 0 if there is none."""
    if room >= length:
        return (length, 1) if single else (0, 1)
    return (_floor(room, strip) * strip, 1) if single else (_floor(room, 2 * strip) * strip, 2)


@inlined
def _best_in_array(machine: Any, gemm: Mapped, fixed: Any, bits: int, price: Floats, best: Floats, chosen: Any) -> bool:
    """Price of the best mapping with sums in the array into `best`; False if a buffer is too small (`mapping.resident`)."""
    objective, lanes = machine.objective, machine.lanes
    tokens, channels = gemm.tokens, gemm.out_channels
    strip_tokens, strip_channels = min(gemm.rows, tokens), min(gemm.columns, channels)
    room = _resident_tokens(machine, gemm.in_channels, bits)
    weight_room = _floor(machine.weight_bits, gemm.channel)
    best[7] = math.inf
    stream = min(max(gemm.columns, min(_floor(weight_room, 2 * gemm.columns) * gemm.columns, lanes)), channels)
    weight_copies = 2 if weight_room >= min(2 * stream, channels) else 1
    copies = 2 if room >= min(2 * strip_tokens, tokens) else 1
    found, streams_twice = False, True
    for index in range(9):  # activations stay, weights stay; both stay, in two ways; nothing stays
        both = index >= 4
        if index == 4 and found and streams_twice:
            return True
        if index == 8:
            size, twice, weights_twice = _streams(machine, gemm, strip_tokens, strip_channels, bits)
            if size == 0:
                return False
            mapping = _in_array(
                gemm.array, gemm.dense, NOTHING, strip_tokens, size, strip_channels, twice, weights_twice
            )
        elif index % 4 < 2:
            size, resident = _largest(tokens, strip_tokens, room, index % 2)
            if size == 0 or weight_room < (channels if both else stream):
                continue
            width, stream_copies = (channels, 1) if both else (stream, weight_copies)
            mapping = _in_array(
                gemm.array, gemm.dense, ACTIVATIONS, size, gemm.in_channels, width, resident, stream_copies
            )
            streams_twice &= weight_copies == 2
        else:
            size, resident = _largest(channels, strip_channels, weight_room, index % 2)
            if size == 0 or room < (tokens if both else strip_tokens):
                continue
            height, stream_copies = (tokens, 1) if both else (strip_tokens, copies)
            mapping = _in_array(
                gemm.array, gemm.dense, WEIGHTS, height, gemm.in_channels, size, stream_copies, resident
            )
            streams_twice &= copies == 2
        found = True
        _price(machine, gemm, fixed, mapping, price)
        _keep_better(objective, best, price, mapping, chosen)
    return True


@kernel
def _streams(machine: Any, gemm: Mapped, tokens: int, channels: int, bits: int) -> Any:
    """Input channels of a part where nothing stays, and copies of both operands.

    All are 0 if a buffer does not hold one group of a tile of the array.
    """
    groups, in_channels, lanes = gemm.groups, gemm.in_channels, machine.lanes
    plane_room, exponent_room = machine.activation_bits, machine.exponent_bits
    planes, exponents = _footprint(machine, lanes, bits)
    channel, weight_room = _channel_bits(machine, lanes), machine.weight_bits
    if tokens * planes > plane_room or tokens * exponents > exponent_room or channels * channel > weight_room:
        return 0, 0, 0
    room = _floor(_resident_tokens(machine, lanes, MAX_MANTISSA_BITS), 2 * tokens)
    room = max(min(room, _floor(weight_room, 2 * channels * channel)), 1)
    size = min(_ceil(groups, _ceil(groups, min(groups, room))) * lanes, in_channels)
    planes, exponents = _footprint(machine, size, bits)
    twice = 2 * tokens * planes <= plane_room and 2 * tokens * exponents <= exponent_room
    return size, 2 if twice else 1, 2 if 2 * channels * _channel_bits(machine, size) <= weight_room else 1


@kernel
def _fewest(count: int) -> Integers:
    """Smallest sizes of a part for each number of parts into which `count` can be divided, in order."""
    sizes, found, parts = np.empty(2 * int(math.sqrt(count)) + 2, dtype=np.int64), 0, count
    while parts > 0:
        sizes[found] = _ceil(count, parts)
        parts = _ceil(count, sizes[found]) - 1
        found += 1
    return sizes[:found]


@kernel
def _part(gemm: Mapped, groups: int) -> int:
    """Cycles of the array for a part of a tile's reduction."""
    return max(groups * gemm.group_cycles, _ceil(groups * gemm.sparse, gemm.groups))


@kernel
def _parts(machine: Any, gemm: Mapped, groups: Integers, bits: int) -> Parts:
    """Bits and cycles of parts of so many groups each."""
    table = np.empty((6, len(groups)), dtype=np.int64)
    tiles = gemm.row_tiles * gemm.column_tiles
    for place, size in enumerate(groups):
        channels = size * machine.lanes
        count = _ceil(gemm.groups, size)
        first, last = _part(gemm, size), _part(gemm, gemm.groups - (count - 1) * size)
        spaced, spaced_last = max(first, gemm.spacing), max(last, gemm.spacing)
        table[0, place], table[1, place] = _footprint(machine, channels, bits)
        table[2, place] = _channel_bits(machine, channels)
        table[3, place] = gemm.tokens * gemm.out_channels * SUM_BITS * (_ceil(gemm.in_channels, channels) - 1)
        table[4, place] = tiles * ((count - 1) * spaced + spaced_last) - (spaced - first)
        table[5, place] = tiles * ((count - 1) * first + last)
    return Parts(table[0], table[1], table[2], table[3], table[4], table[5])


@kernel
def _rates(machine: Any) -> EnergyRates:
    """Energy of one unit of each count that a mapping changes (`UnitCosts.rates`)."""
    pj_per_watt_cycle = 1e12 / machine.clock_hz
    active = machine.active_w / machine.dram_bits_per_cycle
    waiting = machine.waiting_pj + machine.side_waiting_pj * machine.side_lanes
    return EnergyRates(
        machine.dram_pj + active * pj_per_watt_cycle,
        machine.activation_write_pj,
        machine.weight_write_pj,
        machine.activation_read_pj + machine.activation_write_pj,
        machine.support_pj,
        waiting + machine.leakage_pj + machine.background_w * pj_per_watt_cycle,
    )


@kernel
def _numbers(machine: Any, gemm: Mapped, fixed: Any) -> GemmNumbers:
    """The GeMM as `cost.search_kernel` takes it."""
    at_work, idle, busy, products, _ = fixed
    idle += machine.waiting_pj * (0 - busy)
    idle += machine.side_waiting_pj * (0 - products)
    reads, weight_reads = gemm.activations * gemm.column_tiles + gemm.results, gemm.weights * gemm.row_tiles
    sram = reads * machine.activation_read_pj + gemm.results * machine.activation_write_pj
    return GemmNumbers(
        gemm.tokens,
        gemm.out_channels,
        gemm.rows,
        gemm.columns,
        gemm.activations,
        gemm.weights,
        gemm.results,
        gemm.first_activations,
        gemm.first_weights,
        machine.activation_bits,
        machine.exponent_bits,
        machine.weight_bits,
        SUM_BITS,
        gemm.start,
        gemm.tail,
        gemm.exposed,
        machine.dram_bits_per_cycle,
        at_work + idle + (sram + weight_reads * machine.weight_read_pj),
    )


@kernel
def _best_in_buffer(
    machine: Any, gemm: Mapped, fixed: Any, bits: int, price: Floats, best: Floats, chosen: Any
) -> None:
    """Price of the best mapping with sums in the buffer into `best`, if it is better than that (`cost.search`)."""
    groups = _fewest(gemm.groups)
    groups = groups[: np.searchsorted(groups, gemm.groups)]
    if not len(groups):
        return
    numbers, rates, parts = _numbers(machine, gemm, fixed), _rates(machine), _parts(machine, gemm, groups, bits)
    widths = np.minimum(_fewest(gemm.column_tiles) * gemm.columns, gemm.out_channels)
    column = np.array([min(gemm.columns, gemm.out_channels)])
    score, found, family = (np.inf, np.inf), (0, 0, 0, 0, 0), 0
    for each in (SUMS, HELD_ACTIVATIONS, HELD_WEIGHTS):
        tried = best_sizes(each, machine.objective, numbers, rates, parts, widths if each == SUMS else column, COPIES)
        if tried[1][0] != 0 and tried[0] < score:
            score, found, family = tried[0], tried[1], each
    tokens, part, channels, copies, weight_copies = found
    if tokens == 0:
        return
    stays = ACTIVATIONS if family == HELD_ACTIVATIONS else WEIGHTS if family == HELD_WEIGHTS else NOTHING
    sums, array, busy = parts.sums[part], parts.array_cycles[part], parts.busy_cycles[part]
    inputs = groups[part] * machine.lanes
    mapping = Mapping(stays, tokens, inputs, channels, copies, weight_copies, True, sums, array, busy)
    _price(machine, gemm, fixed, mapping, price)
    _keep_better(machine.objective, best, price, mapping, chosen)


@kernel
def _sum_bits(gemm: Mapped) -> float:
    """Most bits of partial sums that a mapping saves."""
    return float(gemm.tokens) * gemm.out_channels * SUM_BITS * gemm.groups


@kernel
def find_mappings(machine: Any, work: Integers, chosen: Integers) -> bool:
    """The best mapping of each GeMM on one machine into `chosen`; False if the plain code has to be asked.

    Parameters
    ----------
    machine
        The machine: `Machines` with numbers in place of arrays.
    work
        Tokens, input channels, output channels, mantissa bits and those of the results, ``[gemms, 5]``.
    chosen
        For each GeMM what stays (`NOTHING` for sums, too), its tile's tokens, input and output channels, copies of both operands,
        and 1 if sums go to the buffer, ``[gemms, 7]``.
    """
    price, best = np.zeros(7), np.zeros(9)
    for place in range(len(work)):
        bits = work[place, 3]
        gemm = _map(machine, work[place, 0], work[place, 1], work[place, 2], bits, work[place, 4])
        fixed = _fixed_energy(machine, gemm, bits)
        if not _best_in_array(machine, gemm, fixed, bits, price, best, chosen[place]):
            return False
        if machine.saves_sums:
            if _sum_bits(gemm) >= EXACT:
                return False
            _best_in_buffer(machine, gemm, fixed, bits, price, best, chosen[place])
        if fixed[4] >= EXACT or best[5] >= EXACT or best[6] >= EXACT:
            return False
    return True


@kernel
def total_costs(
    machines: Machines,
    bits: Integers,
    result_bits: Integers,
    tasks: Integers,
    gemms: Integers,
    totals: Totals,
    buffered: bool | None,
) -> None:
    """Cost of all GeMMs of each element, into `totals`.

    Parameters
    ----------
    machines
        A machine for each element.
    bits, result_bits
        Mantissa bits of each module, and those of its results or `FP16_RESULTS`, ``[elements, modules]``.
    tasks
        For each element its row of `gemms`.
    gemms
        Tokens, input channels, output channels, repeats and number of the module, ``[tasks, gemms, 5]``.
    totals
        `Totals` to fill.
    buffered
        None if no machine has a place for partial sums: the code without them is compiled apart and faster.
    """
    count = gemms.shape[1]
    price, best, partials = np.zeros(7), np.zeros(9), np.zeros(count + 2)
    parts = np.zeros((4, count))
    for at in range(len(tasks)):
        machine, task = _element(machines, at), tasks[at]
        cycles, dram_bytes, sram_bytes, done, fits = 0, 0, 0, True, True
        for place in range(count):
            tokens, in_channels, out_channels, repeat = (
                gemms[task, place, 0],
                gemms[task, place, 1],
                gemms[task, place, 2],
                gemms[task, place, 3],
            )
            if repeat == 0:
                parts[:, place] = 0.0
                continue
            module = gemms[task, place, 4]
            width = bits[at, module]
            gemm = _map(machine, tokens, in_channels, out_channels, width, result_bits[at, module])
            fixed = _fixed_energy(machine, gemm, width)
            fits = _best_in_array(machine, gemm, fixed, width, price, best, None)
            done = fits
            if buffered is not None and fits and machine.saves_sums:
                done = _sum_bits(gemm) < EXACT
                if done:
                    _best_in_buffer(machine, gemm, fixed, width, price, best, None)
            done &= fixed[4] * repeat < EXACT and best[5] * repeat < EXACT and best[6] * repeat < EXACT
            if not done:
                break
            taken = int(best[4])
            cycles += taken * repeat
            dram_bytes += _ceil(int(best[5]), 8) * repeat
            sram_bytes += _ceil(int(best[6]), 8) * repeat
            for part in range(4):
                parts[part, place] = best[part] * repeat
        totals.done[at], totals.fits[at] = done, fits
        totals.cycles[at], totals.dram_bytes[at], totals.sram_bytes[at] = cycles, dram_bytes, sram_bytes
        for part in range(4):
            totals.energies_pj[at, part] = exact_sum(parts[part], count, partials) if done else 0.0


@kernel
def exact_sums(values: Floats) -> Floats:
    """Correctly rounded sums of the rows of a table."""
    sums, partials = np.empty(len(values)), np.zeros(values.shape[1] + 2)
    for row in range(len(values)):
        sums[row] = exact_sum(values[row], values.shape[1], partials)
    return sums
