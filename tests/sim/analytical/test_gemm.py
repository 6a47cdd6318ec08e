"""The closed form against counting by hand, tile by tile."""

import math

import pytest
import small_work
from anda_codesign.formats import InputError
from anda_codesign.sim import architecture_names, load_architecture, load_technology, simulate
from anda_codesign.sim.analytical import gemm as analytical
from anda_codesign.sim.config.architecture import Architecture, BufferConfig
from anda_codesign.sim.mapping.gemm_mapping import GemmMapping
from anda_codesign.sim.mapping.mapped_gemm import map_gemm
from anda_codesign.sim.mapping.resident import array_mappings, double_buffered
from anda_codesign.sim.memory.dram import Request
from anda_codesign.sim.schedule.tile_schedule import TileSchedule
from anda_codesign.workloads import Gemm, Precision
from hypothesis import given
from hypothesis import strategies as st
from latencies import matrix_engine_cycles, matrix_unit_cycles
from small_work import bits, precisions

INFINITE = load_technology().with_bandwidth(math.inf)
PRECISION = Precision(8, 6, 5, 4)

names = st.sampled_from(architecture_names())
gemms = small_work.gemms(tokens=200, in_channels=1500, out_channels=400)
kibibytes = st.sampled_from([8, 16, 40, 100, 1024])


def with_buffers(machine: Architecture, activation_kib: float, weight_kib: float) -> Architecture:
    port = "1024 bit"
    return machine.model_copy(
        update={
            "activation_buffer": BufferConfig(capacity=f"{activation_kib} KiB", port=port),
            "weight_buffer": BufferConfig(capacity=f"{weight_kib} KiB", port=port),
        }
    )


def test_an_example_by_hand():
    """40 tokens, 200 -> 100 channels at M = 6, results at M = 4: every count written out."""
    result = simulate([Gemm("u", 40, 200, 100)], "anda", Precision(9, 9, 6, 4), technology=INFINITE)
    tiles = 3 * 7  # 40 / 16 and 100 / 16, rounded up
    groups = 4  # 200 / 64, rounded up
    start, pipeline, columns, collector = 5, 5, 16, 1
    compressor = 15 + 1 + (1 + 4)  # 16 rows enter one a cycle, the last one's planes follow
    assert result.cycles == start + tiles * groups * (6 + 1) + (pipeline + columns - 1) + collector + compressor
    activations = 40 * groups * (64 * 7 + 5)
    weights = 100 * (200 * 4 + 2 * 16)
    results = 40 * 2 * (64 * 5 + 5)
    assert result.dram_bytes == math.ceil((activations + weights + results) / 8)
    reads = 7 * activations + 3 * weights
    assert result.sram_bytes == math.ceil((activations + weights + 2 * results + reads) / 8)
    assert result.macs == 40 * 200 * 100
    assert result.bops_saving == 16 / 6
    assert result.seconds == result.cycles / 285e6


def test_short_reductions_wait_for_the_outputs_before():
    """One group at M = 1 takes 4 cycles, but a tile's outputs take 5 in the pipeline and 16 to leave."""
    result = simulate([Gemm("qkv", 32, 64, 32)], "anda", Precision.uniform(1), technology=INFINITE)
    assert result.runs[0].array_cycles == 4 + 3 * 21


@given(gemms, precisions)
def test_the_array_keeps_the_stated_cycles(gemm: Gemm, precision: Precision):
    """From the first plane to the last output, what the circuit's matrix unit takes."""
    shape = map_gemm(gemm, load_architecture("anda"), precision)
    stated = matrix_unit_cycles(shape.tiles, shape.groups, shape.group_cycles, 16)
    assert shape.array_cycles + shape.collect_cycles == stated


@given(st.integers(1, 40), st.integers(1, 4), st.integers(8, 30), bits)
def test_the_machine_keeps_the_stated_cycles(tokens: int, blocks: int, groups: int, mantissa_bits: int):
    """From the command to the last group of outputs, what the circuit's matrix engine takes.

    For whole groups of outputs, and reductions of 32 cycles and more: with shorter ones the circuit's columns wait while
    the collector sends, which the simulator leaves out.
    """
    gemm = Gemm("qkv", tokens, 64 * groups, 64 * blocks)
    run = simulate([gemm], "anda", Precision.uniform(mantissa_bits), technology=INFINITE)
    tiles = math.ceil(tokens / 16) * 4 * blocks
    assert run.cycles == matrix_engine_cycles(tiles, groups, mantissa_bits, rows=16, columns=16, lanes=64)


def test_finite_memory_adds_the_first_group_and_the_last_results():
    work = [Gemm("qkv", 512, 4096, 4096)]
    slow, fast = simulate(work, "anda", PRECISION), simulate(work, "anda", PRECISION, technology=INFINITE)
    first = 16 * (64 * 9 + 5) + 16 * (64 * 4 + 8)
    last = 16 * 16 * 16
    assert slow.cycles - fast.cycles == math.ceil((first + last) / (256e9 * 8 / 285e6))


def test_memory_bound_is_all_traffic_over_the_bandwidth():
    slow = load_technology().with_bandwidth(1)
    result = simulate([Gemm("qkv", 64, 4096, 4096)], "anda", PRECISION, technology=slow)
    assert result.cycles == math.ceil(result.runs[0].traffic.dram_bits / (8e9 / 285e6))


def covers_once(requests: list[Request], bits: int) -> bool:
    """The pieces lie side by side from 0 to `bits`, without gap or overlap."""
    end = 0
    for request in sorted(requests, key=lambda r: r.offset_bits):
        if request.offset_bits != end:
            return False
        end += request.bits
    return end == bits


@given(gemms, names, precisions, kibibytes, kibibytes)
def test_traffic_is_what_the_loaders_fetch_and_the_array_finishes(
    gemm: Gemm, name: str, precision: Precision, activation_kib: int, weight_kib: int
):
    """For every candidate: the plan's strips and steps, summed, against the formulas."""
    machine = with_buffers(load_architecture(name), activation_kib, weight_kib)
    shape = map_gemm(gemm, machine, machine.precision(precision))
    for mapping in array_mappings(shape):
        moved, plan = analytical.traffic(shape, mapping), TileSchedule(shape, mapping)
        steps = list(plan.steps())
        loads = list(plan.resident_loads()), list(plan.stream_loads())
        fetches = [request for operand in loads for load in operand for request in load]
        stores = [request for step in steps if step.block for request in plan.result_requests(step.block)]
        assert sum(r.bits for r in fetches if r.tensor == "activations") == moved.activations
        assert sum(r.bits for r in fetches if r.tensor == "weights") == moved.weights
        assert sum(r.bits for r in stores) == moved.results
        assert covers_once(stores, moved.results)
        end, block_end = 0, shape.reduction_cycles - shape.tile_cycles
        for step in steps:
            end += step.cycles
            if step.spacing:
                end = block_end = max(end, block_end + step.spacing)
        assert end == shape.array_cycles
        taken = sum(step.takes_resident for step in steps), sum(step.takes_stream for step in steps)
        assert taken == tuple(sum(map(len, operand)) for operand in loads)
        freed = sum(step.frees_resident for step in steps), sum(step.frees_stream for step in steps)
        assert freed == tuple(map(len, loads))


def test_a_buffer_too_small_for_any_tile():
    for activation_kib, weight_kib, field, least in (
        (0.5, 1024, "activation_buffer", 1024),
        (1024, 0.5, "weight_buffer", 544),
    ):
        machine = with_buffers(load_architecture("anda"), activation_kib, weight_kib)
        with pytest.raises(InputError, match=f"^{field}.capacity: 512 B is too small .* {least} B$"):
            simulate([Gemm("u", 64, 256, 64)], machine, Precision.uniform(7))


def test_compressed_activations_let_the_weights_be_fetched_less_often():
    """The mechanism behind the halved DRAM energy of Fig. 17: fewer bits, larger token tile, fewer fetches."""
    anda, figna = load_architecture("anda"), load_architecture("figna")
    gemm = Gemm("d", 2048, 13824, 5120)
    tiles: dict[str, list[GemmMapping]] = {}
    for machine in (anda, figna):
        shape = map_gemm(gemm, machine, machine.precision(Precision.uniform(8)))
        tiles[machine.name] = double_buffered(shape)[:1]
    assert [t.tokens for t in tiles["anda"]] == [32]
    assert [t.tokens for t in tiles["figna"]] == [16]
