import math
import random
from collections.abc import Iterator

import mappings
import pytest
import small_work
from anda_codesign.sim import architecture_names, load_architecture, load_technology, simulate
from anda_codesign.sim.analytical import gemm as analytical
from anda_codesign.sim.config.architecture import Architecture, BufferConfig
from anda_codesign.sim.events.gemm import DeadlockError, run_events
from anda_codesign.sim.mapping.gemm_mapping import GemmMapping
from anda_codesign.sim.mapping.mapped_gemm import MappedGemm, map_gemm
from anda_codesign.sim.mapping.resident import array_mappings
from anda_codesign.sim.memory.dram import FlatDram
from anda_codesign.sim.schedule.steps import ScheduleStep
from anda_codesign.sim.schedule.tile_schedule import TileSchedule
from anda_codesign.workloads import Gemm, Precision
from cases import each
from hypothesis import given, settings
from hypothesis import strategies as st
from small_work import precisions

gemms = small_work.gemms(tokens=130, in_channels=1500, out_channels=300)


@st.composite
def machines(draw: st.DrawFn) -> Architecture:
    """Any architecture with buffers of any size."""
    machine = load_architecture(draw(st.sampled_from(architecture_names())))
    sizes = st.sampled_from([5, 16, 40, 100, 1024])
    return machine.model_copy(
        update={
            "activation_buffer": BufferConfig(capacity=f"{draw(sizes)} KiB", port="1024 bit"),
            "weight_buffer": BufferConfig(capacity=f"{draw(sizes)} KiB", port="1024 bit"),
        }
    )


def event_cycles(shape: MappedGemm, mapping: GemmMapping, bits_per_cycle: float) -> int:
    return run_events(shape, TileSchedule(shape, mapping), FlatDram(bits_per_cycle)).cycles


@settings(deadline=None)
@given(gemms, machines(), precisions)
def test_equal_to_the_closed_form_with_infinitely_fast_memory(gemm: Gemm, machine: Architecture, precision: Precision):
    shape = map_gemm(gemm, machine, machine.precision(precision))
    for mapping in array_mappings(shape):
        assert event_cycles(shape, mapping, math.inf) == analytical.cycles(
            shape, mapping, analytical.traffic(shape, mapping), math.inf
        )


@settings(max_examples=60, deadline=None)
@given(gemms, machines(), precisions, st.sampled_from([1.0, 100.0, 7000.0]))
def test_never_below_the_closed_form(gemm: Gemm, machine: Architecture, precision: Precision, bits_per_cycle: float):
    shape = map_gemm(gemm, machine, machine.precision(precision))
    for mapping in array_mappings(shape):
        moved = analytical.traffic(shape, mapping)
        bound = analytical.cycles(shape, mapping, moved, bits_per_cycle)
        assert event_cycles(shape, mapping, bits_per_cycle) >= bound


@settings(max_examples=60, deadline=None)
@given(
    small_work.gemms(tokens=9, in_channels=60, out_channels=14),
    mappings.machines,
    precisions,
    st.sampled_from([1.0, 30.0, 1000.0]),
    st.randoms(),
)
def test_every_mapping_runs_and_agrees(
    gemm: Gemm, machine: Architecture, precision: Precision, bits_per_cycle: float, draw: random.Random
):
    """All families: equal cycles with an infinitely fast memory, else never fewer than the formulas; always their traffic."""
    shape = map_gemm(gemm, machine, machine.precision(precision))
    legal = list(mappings.legal_mappings(shape))
    for mapping in draw.sample(legal, min(len(legal), 6)):
        moved = analytical.traffic(shape, mapping)
        assert event_cycles(shape, mapping, math.inf) == analytical.cycles(shape, mapping, moved, math.inf)
        report = run_events(shape, TileSchedule(shape, mapping), FlatDram(bits_per_cycle))
        assert report.dram.bits == moved.dram_bits
        assert report.cycles >= analytical.cycles(shape, mapping, moved, bits_per_cycle)


def test_stalls_show_where_the_closed_form_assumes_overlap():
    """At 8 GB/s loads and work take about as long; what does not overlap is visible, and bounded by their sum."""
    slow = load_technology().with_bandwidth(8)
    work = [Gemm("u", 256, 4096, 1024)]
    events = simulate(work, "anda", Precision.uniform(6), level="events", technology=slow)
    bound = simulate(work, "anda", Precision.uniform(6), technology=slow)
    memory = bound.runs[0].traffic.dram_bits / (8 * 8e9 / 285e6)
    assert bound.cycles < events.cycles < bound.runs[0].array_cycles + memory + 1000


@each("name", architecture_names())
def test_published_bandwidth_hardly_stalls_a_prefill(name: str):
    """2048 tokens are bound by the array: both levels agree within 0.1 %."""
    work = [Gemm("o", 2048, 2048, 2048)]
    events = simulate(work, name, Precision.uniform(6), level="events")
    assert events.level == "events"
    assert 1 <= events.cycles / simulate(work, name, Precision.uniform(6)).cycles < 1.001


def test_results_are_the_same_on_every_run():
    work = [Gemm("u", 100, 1000, 500, 3)]
    first, second = (simulate(work, "anda", Precision.uniform(5), level="events") for _ in range(2))
    assert first == second


class Hoarder(TileSchedule):
    """A schedule that never frees a place of the stream."""

    def steps(self) -> Iterator[ScheduleStep]:
        for step in super().steps():
            yield step._replace(frees_stream=False)


def test_a_deadlock_says_who_waits_for_whom():
    machine = load_architecture("anda")
    shape = map_gemm(Gemm("u", 64, 256, 256), machine, Precision.uniform(3))
    hoarder = Hoarder(shape, array_mappings(shape)[0])
    with pytest.raises(DeadlockError) as caught:
        run_events(shape, hoarder, FlatDram(math.inf))
    assert str(caught.value) == (
        "deadlock in cycle 713: the loader of streamed weights waits for a free place for streamed weights; "
        "the dispatcher waits for a strip of streamed weights; the array waits for a step; the collector waits for results "
        "of the array; the compressor waits for results of the collector; the writer waits for results of the compressor"
    )


def test_the_array_says_what_it_waited_for():
    """All cycles but the array's own work and the tail are waiting."""
    machine = load_architecture("anda")
    shape = map_gemm(Gemm("u", 512, 1024, 1024), machine, Precision.uniform(3))
    for bits_per_cycle in (10.0, 300.0, math.inf):
        report = run_events(shape, TileSchedule(shape, array_mappings(shape)[0]), FlatDram(bits_per_cycle))
        waited = report.waiting.resident + report.waiting.stream + report.waiting.results
        assert report.dram.bits == analytical.traffic(shape, array_mappings(shape)[0]).dram_bits
        assert report.dram.utilisation(report.cycles) <= 1
        assert report.dram.row_hit_rate is None
        assert shape.array_cycles + waited < report.cycles
        assert (waited == 0) == (bits_per_cycle == math.inf)


def test_ports_of_the_buffers():
    """Loads pass the ports once, results twice; a narrow port slows only the loads."""
    machine = load_architecture("fp-fp")
    work = [Gemm("u", 64, 2048, 512)]
    run = simulate(work, machine, Precision.uniform(6), "events").runs[0]
    assert run.report is not None
    moved = run.traffic
    passed = {"activations": moved.activations + 2 * moved.results, "weights": moved.weights}
    assert run.report.ports == {name: pytest.approx(bits / 1024 / run.cycles) for name, bits in passed.items()}
    buffer = machine.activation_buffer.model_copy(update={"port_bits": 64})
    narrow = simulate(work, machine.model_copy(update={"activation_buffer": buffer}), Precision.uniform(6), "events")
    assert narrow.cycles > run.cycles + moved.activations / 64 / 2
    assert narrow.dram_bytes == -(-moved.dram_bits // 8)
