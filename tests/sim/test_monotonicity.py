"""More memory, more bandwidth and fewer bits never make a run worse, at every level where this holds (docs/simulator_inside.md)."""

from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import pairwise
from multiprocessing import get_context

import pytest
import small_work
from anda_codesign.sim import (
    ModelResult,
    architecture_names,
    load_architecture,
    load_technology,
    simulate,
    simulate_model,
)
from anda_codesign.sim.config.architecture import Architecture, BufferConfig
from anda_codesign.sim.events.gemm import run_events
from anda_codesign.sim.mapping.gemm_mapping import GemmMapping
from anda_codesign.sim.mapping.mapped_gemm import map_gemm
from anda_codesign.sim.mapping.resident import array_mappings
from anda_codesign.sim.memory.hbm import HbmDram, load_memory
from anda_codesign.sim.schedule.tile_schedule import TileSchedule
from anda_codesign.workloads import Gemm, Precision
from hypothesis import example, given, settings
from hypothesis import strategies as st
from small_work import bits, precisions, small_llama

MEMORIES = ["flat", "hbm2"]
gemms = small_work.gemms(tokens=200, in_channels=1200, out_channels=400, repeat=3)
kibibytes = st.sampled_from([6, 16, 40, 100, 1024])
SHAPE = small_llama()


def with_buffers(name: str, activation_kib: int, weight_kib: int) -> Architecture:
    return load_architecture(name).model_copy(
        update={
            "activation_buffer": BufferConfig(capacity=f"{activation_kib} KiB", port="1024 bit"),
            "weight_buffer": BufferConfig(capacity=f"{weight_kib} KiB", port="1024 bit"),
        }
    )


@st.composite
def cases(draw: st.DrawFn) -> tuple[Gemm, Precision, Precision, Architecture]:
    """A GeMM at one mantissa length and at a shorter one, with buffers between what both need for some tile."""
    gemm = draw(gemms)
    longer = draw(st.integers(2, 16))
    shorter = draw(st.integers(1, longer - 1))
    other = draw(bits)
    precisions = [Precision.uniform(other)._replace(**{gemm.module: m}) for m in (longer, shorter)]
    machine = load_architecture("anda")
    tile = draw(st.sampled_from([16, 32, 48, gemm.tokens, 2 * gemm.tokens]))
    needs = [tile * machine.token_footprint(gemm.in_channels, m)[0] // 8 for m in (shorter, longer)]
    least = 2 * 16 * 64 * (longer + 1) // 8
    activation = max(draw(st.integers(*needs)), least)
    weight = draw(st.one_of(st.integers(9000, 40000), st.integers(40000, 1 << 20)))
    return gemm, *precisions, with_bytes(activation, weight)


def with_bytes(activation: int, weight: int) -> Architecture:
    return load_architecture("anda").model_copy(
        update={
            "activation_buffer": BufferConfig(capacity=f"{activation} B", port="1024 bit"),
            "weight_buffer": BufferConfig(capacity=f"{weight} B", port="1024 bit"),
        }
    )


@pytest.mark.parametrize("memory", MEMORIES)
@settings(max_examples=40, deadline=None)
@given(cases(), st.floats(0.5, 300))
@example((Gemm("u", 151, 315, 232), Precision(10, 10, 2, 10), Precision(10, 10, 1, 10), with_bytes(3538, 8448)), 111.0)
@example((Gemm("u", 91, 66, 444), Precision(12, 12, 4, 12), Precision(12, 12, 1, 12), with_bytes(1280, 8448)), 24.0)
def test_fewer_mantissa_bits_never_cost_more_in_events(
    memory: str, case: tuple[Gemm, Precision, Precision, Architecture], gigabytes: float
):
    """Bytes, energy and cycles, whether or not another tile fits; in the examples one does, and is slower."""
    gemm, longer, shorter, machine = case
    technology = load_technology().with_bandwidth(gigabytes)
    run = partial(simulate, [gemm], machine, level="events", technology=technology, memory=memory, idle="zero")
    more, less = (run(precision=bits, dram_background="off") for bits in (longer, shorter))
    assert less.dram_bytes <= more.dram_bytes
    assert less.sram_bytes <= more.sram_bytes
    assert less.energy_pj.total <= more.energy_pj.total
    assert less.cycles <= more.cycles


@settings(max_examples=30, deadline=None)
@given(gemms, bits, bits, st.sampled_from(MEMORIES))
def test_results_of_fewer_bits_never_cost_more_in_events(gemm: Gemm, longer: int, shorter: int, memory: str):
    """The mantissa length of what consumes the results."""
    consumer = {"qkv": "qkv", "o": "u", "u": "d", "d": "qkv"}[gemm.module]
    base = Precision.uniform(6)
    more, less = (
        simulate([gemm], "anda", base._replace(**{consumer: m}), "events", memory=memory)
        for m in sorted((longer, shorter), reverse=True)
    )
    assert less.dram_bytes <= more.dram_bytes
    assert less.energy_pj.total <= more.energy_pj.total
    assert less.cycles <= more.cycles


@pytest.mark.parametrize("memory", MEMORIES)
@settings(max_examples=20, deadline=None)
@given(gemms, st.sampled_from(["anda", "fp-fp"]), precisions, kibibytes, kibibytes)
def test_more_sram_never_costs_bytes_in_events(
    memory: str, gemm: Gemm, name: str, precision: Precision, activation_kib: int, weight_kib: int
):
    run = partial(simulate, precision=precision, level="events", memory=memory, idle="zero", dram_background="off")
    small, large = (run([gemm], with_buffers(name, s * activation_kib, s * weight_kib)) for s in (1, 2))
    assert large.dram_bytes <= small.dram_bytes
    assert large.energy_pj.total <= small.energy_pj.total


@settings(max_examples=40, deadline=None)
@given(cases(), st.floats(0.5, 300), st.floats(1, 4))
@example((Gemm("qkv", 33, 1, 1), Precision(2, 1, 1, 1), Precision.uniform(1), with_bytes(768, 9000)), 10.0, 4.0)
def test_more_bandwidth_never_costs_time_in_events(
    case: tuple[Gemm, Precision, Precision, Architecture], gigabytes: float, factor: float
):
    gemm, longer, _, machine = case
    slow, fast = (
        simulate([gemm], machine, longer, "events", load_technology().with_bandwidth(each), idle="zero")
        for each in (gigabytes, gigabytes * factor)
    )
    assert fast.cycles <= slow.cycles
    if fast.runs[0].mapping == slow.runs[0].mapping:  # the bandwidth can decide which is kept, as in the example
        assert fast.dram_bytes == slow.dram_bytes


@settings(max_examples=30, deadline=None)
@given(cases(), st.integers(2, 6))
def test_a_faster_hbm_never_costs_time(case: tuple[Gemm, Precision, Precision, Architecture], data_rate: int):
    """The data rate, with all latencies as they were."""
    gemm, longer, _, machine = case
    shape = map_gemm(gemm, machine, machine.precision(longer))
    memory = load_memory("hbm2")

    def cycles(rate: float, mapping: GemmMapping) -> int:
        timing = memory.timing.model_copy(
            update={"data_rate": memory.timing.data_rate.model_copy(update={"value": rate})}
        )
        faster = memory.model_copy(update={"timing": timing})
        return run_events(shape, TileSchedule(shape, mapping), HbmDram(faster, machine.clock_hz)).cycles

    for mapping in array_mappings(shape):
        assert cycles(data_rate, mapping) <= cycles(data_rate / 2, mapping)


@settings(max_examples=30, deadline=None)
@given(cases())
def test_turns_suit_what_is_done(case: tuple[Gemm, Precision, Precision, Architecture]):
    """Each request has one turn; they are the same at all mantissa lengths and so are places in memory."""
    gemm, longer, shorter, machine = case
    shapes = [map_gemm(gemm, machine, machine.precision(p)) for p in (longer, shorter)]
    for mapping in array_mappings(shapes[0]):
        plans = [TileSchedule(shape, mapping) for shape in shapes]
        turns = plans[0].turns()
        loads = [list(plans[0].resident_loads()), list(plans[0].stream_loads())]
        blocks = [step.block for step in plans[0].steps() if step.block]
        counts = {"resident": sum(map(len, loads[0])), "stream": sum(map(len, loads[1])), "results": len(blocks)}
        assert Counter(turns) == Counter(counts)
        assert turns == plans[1].turns()
        for one, other in zip(plans[0].resident_loads(), plans[1].resident_loads(), strict=True):
            assert [r.place for r in one] == [r.place for r in other]
        for block in blocks:
            one, other = (list(plan.result_requests(block)) for plan in plans)
            assert [r.place for r in one] == [r.place for r in other]


@settings(max_examples=15, deadline=None)
@given(gemms, st.sampled_from(architecture_names()), precisions)
def test_both_memories_move_the_bytes_of_the_formulas(gemm: Gemm, name: str, precision: Precision):
    closed = simulate([gemm], name, precision)
    for memory in MEMORIES:
        events = simulate([gemm], name, precision, "events", memory=memory)
        report = events.runs[0].report
        assert report is not None
        assert report.dram.bits == closed.runs[0].traffic.dram_bits
        assert events.dram_bytes == closed.dram_bytes
        assert events.energy_pj.dram == closed.energy_pj.dram


@pytest.mark.parametrize("level", ["analytical", "events"])
@settings(max_examples=12, deadline=None)
@given(precisions, st.integers(1, 60), st.integers(0, 200), st.integers(1, 3), st.floats(0.5, 300))
def test_whole_models(level: str, precision: Precision, tokens: int, context: int, batch: int, gigabytes: float):
    """More bandwidth never costs time, a narrower cache nothing, and parts sum to totals."""

    def run(factor: float, kv_cache: str = "fp16") -> ModelResult:
        technology = load_technology().with_bandwidth(factor * gigabytes)
        return simulate_model(
            SHAPE,
            "anda",
            precision,
            level,
            technology,
            tokens=tokens,
            context=context,
            batch=batch,
            kv_cache=kv_cache,
            idle="zero",
        )  # type: ignore[arg-type]

    slow, fast = run(1), run(3)
    assert fast.cycles <= slow.cycles
    assert fast.dram_bytes == slow.dram_bytes
    caches = [run(1, f"anda:{m}") for m in (11, 7, 4)]
    for wide, narrow in pairwise(caches):
        assert narrow.dram_bytes <= wide.dram_bytes
        assert narrow.energy_pj.total <= wide.energy_pj.total
        assert narrow.cycles <= wide.cycles
    assert slow.cycles == sum(row.cycles for row in slow.rows)
    assert slow.energy_pj.total == pytest.approx(sum(row.energy_pj.total for row in slow.rows))


def test_one_worker_and_two_give_the_same():
    work = [[Gemm("u", tokens, 700, 300)] for tokens in (5, 40, 100, 17)]
    run = partial(simulate, architecture="anda", precision=Precision.uniform(6), level="events", memory="hbm2")
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        assert list(pool.map(run, work)) == [run(gemms) for gemms in work]
