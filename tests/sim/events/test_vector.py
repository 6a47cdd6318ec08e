"""The vector unit in events against its closed form, and against small cases by hand."""

import math

from anda_codesign.sim import load_architecture
from anda_codesign.sim.analytical.vector_work import VectorWork
from anda_codesign.sim.events.vector import run_vector
from anda_codesign.sim.memory.dram import FlatDram
from anda_codesign.sim.memory.hbm import HbmDram, load_memory
from hypothesis import given, settings
from hypothesis import strategies as st

PIPELINE = 5
ANDA = load_architecture("anda")


def work(cycles: int, values: int, results: int = 0, loads: int = 0, stores: int = 0) -> VectorWork:
    return VectorWork("norms", {"fp16": values}, cycles, values, results, loads, stores)


def test_two_strips_that_are_on_chip():
    for cycles, values, expected in (
        (320, 32 * 64, 16 + 320),  # two strips of 16 port cycles and 160 lane cycles: the first read shows
        (32, 32 * 16 * 64, 512 + 16),  # 256 port cycles a strip, 16 lane cycles: the last strip's work shows
    ):
        assert run_vector(work(cycles, values), 32, ANDA, FlatDram(100.0)) == expected + PIPELINE


def test_one_strip_between_dram_and_dram():
    """Loads of 1000 cycles, 16 of the port, 160 of the lanes, stores of 400: one after the other."""
    one = work(160, 16 * 64, results=16 * 64, loads=64_000, stores=25_600)
    assert run_vector(one, 16, ANDA, FlatDram(64.0)) == 1000 + 16 + 160 + 400 + PIPELINE


def test_loads_results_and_stores_share_a_port():
    """An infinitely fast memory: 100 cycles of loads, 100 of results and 50 of stores on a port of 1024 bit."""
    one = work(10, 64, results=6400, loads=102_400, stores=51_200)
    assert run_vector(one, 16, ANDA, FlatDram(math.inf)) == 100 + 1 + 10 + 150 + PIPELINE


@settings(max_examples=60)
@given(
    st.integers(0, 4000),
    st.integers(1, 40_000),
    st.integers(0, 40_000),
    st.integers(0, 900_000),
    st.integers(0, 900_000),
    st.integers(1, 200),
    st.sampled_from([3.0, 500.0, 7000.0, math.inf]),
)
def test_the_longest_of_lanes_ports_and_memory_is_a_lower_bound(
    cycles: int, values: int, results: int, loads: int, stores: int, tokens: int, bits_per_cycle: float
):
    one, dram = work(cycles, values, results, loads, stores), FlatDram(bits_per_cycle)
    taken = run_vector(one, tokens, ANDA, dram) - PIPELINE
    busy = one.busy(1024, bits_per_cycle)
    assert dram.bits == loads + stores
    assert math.ceil(busy.longest) <= taken
    strips = -(-tokens // 16)
    assert taken <= cycles + busy.dram + (one.read_bits + one.fill_bits) / 1024 + 6 * strips


def test_a_memory_with_rows_moves_the_same_bits():
    one, memory = work(500, 9000, 9000, 90_000, 50_000), HbmDram(load_memory("hbm2"), ANDA.clock_hz)
    assert run_vector(one, 70, ANDA, memory) >= 500
    assert memory.report().bits == 140_000
