"""The attention in events against its closed form, and against small cases by hand."""

import math
from dataclasses import replace

import pytest
from anda_codesign.sim import load_architecture
from anda_codesign.sim.analytical.attention import attention_pieces, attention_work
from anda_codesign.sim.config.architecture import Architecture, BufferConfig
from anda_codesign.sim.config.array import Array
from anda_codesign.sim.config.kv_cache import KvCache
from anda_codesign.sim.events.attention import run_attention
from anda_codesign.sim.memory.dram import FlatDram
from anda_codesign.sim.memory.hbm import HbmDram, load_memory
from anda_codesign.sim.processes.units import DeadlockError, Units
from anda_codesign.workloads import ModelShape
from hypothesis import given, settings
from hypothesis import strategies as st
from small_work import small_llama


def softmax(of_score: int, of_row: int, lanes: int = 64):
    """Cycles of a vector unit that does so many operations for a score and for a row."""
    return lambda part: -(-(of_score * part.scores + of_row * part.rows) // lanes)


NO_SOFTMAX = softmax(0, 0)
ARRAYS = (
    Array(rows=16, columns=16),
    Array(rows=16, columns=16, dataflow="weight-stationary"),
    Array(rows=16, columns=16, dataflow="input-stationary"),
    Array(rows=2, columns=8, dataflow="weight-stationary", count=2, split="tokens"),
    Array(rows=2, columns=8, dataflow="input-stationary", count=2),
    Array(rows=4, columns=8, count=4, split="tokens"),
    Array(rows=4, columns=8, count=2),
)


@st.composite
def cases(draw: st.DrawFn) -> tuple[ModelShape, Architecture, KvCache, int, int, int, int]:
    """Layers and machines, some with buffers too small for all keys and values, or for all queries."""
    shape = small_llama(*draw(st.sampled_from([(6, 2), (4, 4), (4, 1)])), draw(st.sampled_from([16, 40, 64, 130])))
    shape = replace(shape, window=draw(st.one_of(st.none(), st.integers(1, 500))))
    machine = load_architecture(draw(st.sampled_from(["anda", "fp-fp", "figna-m8"])))
    sizes = st.sampled_from([9, 40, 200, 1024])
    array = draw(st.sampled_from(ARRAYS))
    machine = machine.model_copy(
        update={
            "array": array,
            "activation_buffer": BufferConfig(capacity=f"{draw(sizes)} KiB", port="1024 bit"),
            "weight_buffer": BufferConfig(capacity=f"{draw(sizes)} KiB", port="1024 bit"),
        }
    )
    text = draw(st.sampled_from(["fp16", "anda:7"])) if machine.compressor else "fp16"
    cache = KvCache.parse(text)
    return shape, machine, cache, draw(st.integers(1, 90)), draw(st.integers(0, 400)), draw(st.integers(1, 3)), 6


@given(cases())
def test_pieces_add_up_to_the_closed_form(case: tuple):
    work, closed = attention_pieces(*case), attention_work(*case)
    pieces = work.pieces
    assert sum(p.score_cycles + p.value_cycles for p in pieces) == closed.array_cycles
    assert sum(p.query_bits + p.cache_bits + p.output_bits for p in pieces) == closed.dram_bits
    assert sum(p.scores for p in pieces) == closed.scores
    assert sum(p.finished_rows for p in pieces) == closed.rows
    assert sum(p.score_vectors for p in pieces) == closed.score_vectors
    assert sum(p.frees_queries for p in pieces) == sum(p.query_bits > 0 for p in pieces)
    assert sum(p.frees_cache for p in pieces) == sum(p.cache_bits > 0 for p in pieces)


@given(st.integers(1, 40), st.integers(0, 300), st.sampled_from(["weight-stationary", "input-stationary"]))
def test_folds_of_one_head_by_hand(tokens: int, context: int, flow: str):
    """A head of 64 channels on 2 x 8 elements of FP-FP: rows reduce 128 keys at once; 64 query rows, or 8, pass together."""
    array = Array(rows=2, columns=8, dataflow=flow)  # type: ignore[arg-type]
    machine = load_architecture("fp-fp").model_copy(update={"array": array})
    work = attention_work(small_llama(1, 1, 64), machine, KvCache(), tokens, context, 1, 16)
    cycles = steps = sums = 0
    size = 64 if flow == "weight-stationary" else 8
    for first in range(0, tokens, size):
        rows = min(size, tokens - first)
        keys = context + first + rows
        key_folds = -(-keys // 128)
        if flow == "weight-stationary":  # 8 keys or channels of 64 x 16 bit a row in 8 cycles
            fills = done = -(-keys // 8) + 8 * key_folds
            steps += done * rows
        else:
            fills = 2 * key_folds
            steps += keys + 64 * key_folds
        cycles += fills * (2 * 8 + 1)
        sums += rows * 64 * (key_folds - 1)
    assert (work.groups, work.array_cycles, work.sum_additions) == (steps, cycles + 16 * steps, sums)
    assert work.sram.sum_reads == work.sram.sum_writes == 32 * sums


@given(st.integers(1, 60), st.integers(0, 90), st.integers(1, 80))
def test_a_window_by_counting_pairs(tokens: int, context: int, window: int):
    """Scores of a window, counted one by one; a pass at a context beyond the window is that at the window's end."""
    shape, machine = replace(small_llama(), window=window), load_architecture("fp-fp")
    work = attention_work(shape, machine, KvCache(), tokens, context, 2, 16)
    kept = sum(
        query - window < key <= query for query in range(context, context + tokens) for key in range(context + tokens)
    )
    assert work.scores == 2 * shape.heads * kept
    assert work.macs == 2 * shape.head_dim * work.scores
    assert work.products >= work.macs
    assert work == attention_work(shape, machine, KvCache(), tokens, min(context, window - 1), 2, 16)
    wide = replace(shape, window=context + tokens)
    assert attention_work(wide, machine, KvCache(), tokens, context, 2, 16) == attention_work(
        replace(shape, window=None), machine, KvCache(), tokens, context, 2, 16
    )


@given(cases())
def test_what_is_on_chip_fits(case: tuple):
    """Keys and values, in as many places as there are; a chunk is at least what the array can use."""
    _, machine, *_ = case
    work = attention_pieces(*case)
    loads = [p.cache_bits for p in work.pieces if p.cache_bits]
    least = 64 * 2 * (case[0].head_dim + 64) * 16
    assert work.cache_places * max(loads) <= max(machine.weight_buffer.capacity_bytes * 8, 2 * least)


@given(cases())
def test_infinitely_fast_memory_and_vector_unit_give_the_closed_form(case: tuple):
    _, machine, *_ = case
    run = run_attention(attention_pieces(*case), machine, FlatDram(math.inf), NO_SOFTMAX)
    assert run.cycles == attention_work(*case).array_cycles
    assert run.softmax_cycles == 0


@settings(max_examples=50)
@given(cases(), st.sampled_from([10.0, 300.0, 7000.0]), st.sampled_from([(0, 0), (9, 4), (200, 500)]))
def test_no_unit_works_more_than_all_the_time(case: tuple, bits_per_cycle: float, each: tuple[int, int]):
    """The bound is the busiest of array, memory and vector unit; all after each other are enough."""
    _, machine, *_ = case
    work, closed = attention_pieces(*case), attention_work(*case)
    dram = FlatDram(bits_per_cycle)
    run = run_attention(work, machine, dram, softmax(*each))
    operations = each[0] * closed.scores + each[1] * closed.rows
    parts = closed.array_cycles, closed.dram_bits / bits_per_cycle, operations / machine.vector_lanes
    ports = (closed.dram_bits + closed.rows * 1000) / 1024
    assert max(parts) <= run.cycles <= sum(parts) + ports + 8 * len(work.pieces) + 10
    assert dram.bits == closed.dram_bits
    assert 0 <= run.softmax_cycles <= run.cycles - closed.array_cycles


@settings(max_examples=25)
@given(cases(), st.floats(1, 1000))
def test_more_bandwidth_never_costs_time(case: tuple, bits_per_cycle: float):
    _, machine, *_ = case
    work = attention_pieces(*case)
    cycles = [
        run_attention(work, machine, FlatDram(bandwidth), softmax(9, 4)).cycles
        for bandwidth in (bits_per_cycle, 2 * bits_per_cycle, math.inf)
    ]
    assert cycles == sorted(cycles, reverse=True)


def test_the_softmax_runs_beside_the_array():
    """One head of 64 channels, 64 tokens: strips of 136, 392, 648 and 904 scores, drawn out by hand."""
    case = (small_llama(1, 1, 64), load_architecture("fp-fp"), KvCache(), 64, 0, 1, 16)
    work = attention_pieces(*case)
    assert [p.scores for p in work.pieces] == [136, 392, 648, 904]
    assert [p.score_cycles for p in work.pieces] == [16, 32, 48, 64]
    assert [p.value_cycles for p in work.pieces] == [64] * 4
    run = run_attention(work, case[1], FlatDram(math.inf), softmax(1, 0))
    assert (run.cycles, run.softmax_cycles) == (416, 0), "15 cycles hide behind 64 of the values before"
    # ten operations a score: the last strip's softmax takes 142 cycles from 288 on, the values before end at 352
    run = run_attention(work, case[1], FlatDram(math.inf), softmax(10, 0))
    assert (run.cycles, run.softmax_cycles) == (416 + 78, 430 - 352)


def test_attention_on_a_memory_with_rows():
    case = (small_llama(6, 2, 64), load_architecture("anda"), KvCache(), 50, 300, 1, 6)
    work = attention_pieces(*case)
    memory = HbmDram(load_memory("hbm2"), case[1].clock_hz)
    flat = run_attention(work, case[1], FlatDram(7000.0), softmax(9, 4))
    rows = run_attention(work, case[1], memory, softmax(9, 4))
    assert rows.cycles >= flat.cycles
    assert memory.report().bits == attention_work(*case).dram_bits


def test_one_strip_of_queries_lets_keys_and_values_pass():
    """Decode: 1 MiB of keys and values comes in two halves, so that half of it is loaded while the array works."""
    case = (small_llama(32, 32, 128), load_architecture("fp-fp"), KvCache(), 1, 2047, 1, 16)
    work = attention_pieces(*case)
    assert len(work.pieces) == 2 * 32
    assert work.cache_places == 2
    assert sum(p.cache_bits for p in work.pieces[:2]) == 1 << 23


def test_a_deadlock_in_any_run_is_named():
    units = Units()
    wanted = units.slots("a miracle")

    def hope():
        if wait := wanted.take("vector unit"):
            yield wait

    with pytest.raises(DeadlockError) as caught:
        units.run(hope())
    assert str(caught.value) == "deadlock in cycle 0: the vector unit waits for a miracle"


@pytest.mark.parametrize("arch", ["fp-fp", "anda"])
def test_decode_loads_the_next_head_in_time(arch: str):
    """Decode waits for keys and values alone: beside the first and the last head, the memory is busy all the time."""
    machine, shape, bits_per_cycle = load_architecture(arch), small_llama(32, 32, 128), 100.0
    case = shape, machine, KvCache(), 1, 511, 4, 7
    run = run_attention(attention_pieces(*case), machine, FlatDram(bits_per_cycle), NO_SOFTMAX)
    assert 1 <= run.cycles / (attention_work(*case).dram_bits / bits_per_cycle) < 1.03
