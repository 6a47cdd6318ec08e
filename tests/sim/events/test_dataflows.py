"""Arrays that hold weights or activations, and several arrays, in events: every mapping, against the formulas."""

import math
import random
from itertools import pairwise

import mappings
import small_work
from anda_codesign.sim.analytical import gemm as analytical
from anda_codesign.sim.config.architecture import Architecture
from anda_codesign.sim.config.technology import load_technology
from anda_codesign.sim.cost.energy import unit_costs
from anda_codesign.sim.cost.gemm_cost import gemm_cost
from anda_codesign.sim.cost.search import best_mapping
from anda_codesign.sim.events.gemm import run_events
from anda_codesign.sim.mapping.gemm_mapping import GemmMapping
from anda_codesign.sim.mapping.mapped_gemm import MappedGemm, map_gemm
from anda_codesign.sim.mapping.resident import is_legal
from anda_codesign.sim.memory.dram import FlatDram
from anda_codesign.sim.schedule.tile_schedule import TileSchedule
from anda_codesign.workloads import Gemm, Precision
from cases import each
from hypothesis import given, settings
from hypothesis import strategies as st

ARRAYS = {
    "weight-stationary": mappings.stationary("weight-stationary"),
    "input-stationary": mappings.stationary("input-stationary"),
    "several": mappings.several(st.integers(2, 3)),
}


def event_cycles(shape: MappedGemm, mapping: GemmMapping, bits_per_cycle: float) -> int:
    return run_events(shape, TileSchedule(shape, mapping), FlatDram(bits_per_cycle)).cycles


@each("kind", list(ARRAYS))
@settings(max_examples=60, deadline=None)
@given(
    small_work.gemms(tokens=9, in_channels=60, out_channels=14),
    st.data(),
    small_work.precisions,
    st.sampled_from([1.0, 30.0, 1000.0]),
    st.randoms(),
)
def test_every_mapping_runs_and_agrees(
    kind: str, gemm: Gemm, data: st.DataObject, precision: Precision, bits_per_cycle: float, draw: random.Random
):
    """Equal cycles with an infinitely fast memory, else never fewer than the formulas; always their traffic."""
    machine: Architecture = data.draw(ARRAYS[kind])
    shape = map_gemm(gemm, machine, machine.precision(precision))
    legal = list(mappings.legal_mappings(shape))
    for mapping in draw.sample(legal, min(len(legal), 6)):
        moved = analytical.traffic(shape, mapping)
        assert event_cycles(shape, mapping, math.inf) == analytical.cycles(shape, mapping, moved, math.inf)
        report = run_events(shape, TileSchedule(shape, mapping), FlatDram(bits_per_cycle))
        assert report.dram.bits == moved.dram_bits
        assert report.cycles >= analytical.cycles(shape, mapping, moved, bits_per_cycle)
        assert event_cycles(shape, mapping, 2 * bits_per_cycle) <= report.cycles


@each("kind", list(ARRAYS))
@settings(max_examples=40, deadline=None)
@given(
    small_work.gemms(tokens=60, in_channels=300, out_channels=90),
    st.data(),
    small_work.precisions,
    st.sampled_from([0.1, 1.0, 30.0]),
)
def test_more_bandwidth_never_costs_what_the_search_minimises(
    kind: str, gemm: Gemm, data: st.DataObject, precision: Precision, gigabytes: float
):

    machine: Architecture = data.draw(ARRAYS[kind])
    shape = map_gemm(gemm, machine, machine.precision(precision))
    if not is_legal(shape):
        return
    found = []
    for bandwidth in (gigabytes, 2 * gigabytes):
        costs = unit_costs(machine, load_technology().with_bandwidth(bandwidth))
        found.append(gemm_cost(shape, best_mapping(shape, costs, "latency"), costs).cycles)
    assert found[1] <= found[0]


@each("kind", list(ARRAYS))
@settings(max_examples=40, deadline=None)
@given(
    small_work.gemms(tokens=60, in_channels=300, out_channels=90),
    st.data(),
    st.integers(2, 16),
    st.sampled_from([0.1, 1.0, 30.0]),
)
def test_fewer_mantissa_bits_and_larger_buffers_never_cost(
    kind: str, gemm: Gemm, data: st.DataObject, bits: int, gigabytes: float
):
    """Neither raises what the search minimises; longer mantissas may not fit at all."""
    machine: Architecture = data.draw(ARRAYS[kind])
    twice = {
        name: (buffer := getattr(machine, name)).model_copy(update={"capacity_bytes": 2 * buffer.capacity_bytes})
        for name in ("activation_buffer", "weight_buffer")
    }
    for objective in ("energy", "latency", "dram"):
        found = []
        for length, own in ((bits, machine), (bits - 1, machine), (bits - 1, machine.model_copy(update=twice))):
            shape = map_gemm(gemm, own, own.precision(Precision.uniform(length)))
            costs = unit_costs(machine, load_technology().with_bandwidth(gigabytes))
            if is_legal(shape):
                found.append(gemm_cost(shape, best_mapping(shape, costs, objective), costs).score(objective)[0])
        assert all(after <= before * (1 + 1e-12) for before, after in pairwise(found)), (objective, found)
