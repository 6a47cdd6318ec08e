"""Activation and weight buffer as one scratchpad, against machines with every division into two."""

import math

import mappings
import pytest
import small_work
from anda_codesign.formats import InputError
from anda_codesign.sim import load_architecture, load_technology, simulate
from anda_codesign.sim.analytical import gemm as analytical
from anda_codesign.sim.config.architecture import Architecture, BufferConfig
from anda_codesign.sim.cost.energy import unit_costs
from anda_codesign.sim.events.gemm import run_events
from anda_codesign.sim.mapping.gemm_mapping import GemmMapping
from anda_codesign.sim.mapping.legality import check_mapping
from anda_codesign.sim.mapping.mapped_gemm import map_gemm
from anda_codesign.sim.memory.dram import FlatDram
from anda_codesign.sim.schedule.tile_schedule import TileSchedule
from anda_codesign.workloads import Gemm, Precision
from hypothesis import given, settings
from hypothesis import strategies as st


def buffers(machine: Architecture, sizes: tuple[int, int]) -> Architecture:
    """A machine with an activation and a weight buffer of some bytes."""
    both = machine.activation_buffer, machine.weight_buffer
    names = "activation_buffer", "weight_buffer"
    return machine.model_copy(
        update={
            name: buffer.model_copy(update={"capacity_bytes": size})
            for name, buffer, size in zip(names, both, sizes, strict=True)
        }
    )


@settings(max_examples=60, deadline=None)
@given(
    small_work.gemms(tokens=40, in_channels=200, out_channels=40),
    st.one_of(mappings.machines, mappings.stationary("weight-stationary")),
    small_work.precisions,
    st.sampled_from(["energy", "latency", "dram"]),
)
def test_the_best_of_all_divisions(gemm: Gemm, machine: Architecture, precision: Precision, objective: str):
    """The least of what the objective counts over the file's own division and sixteenths; so never more than separate buffers."""
    shared = machine.model_copy(update={"scratchpad": "shared"})
    total = machine.activation_buffer.capacity_bytes + machine.weight_buffer.capacity_bytes
    sizes = [total * part // 16 for part in range(1, 16)]
    measure = {"energy": lambda r: r.energy_pj.total, "latency": lambda r: r.cycles, "dram": lambda r: r.dram_bytes}
    found = []
    for each in (machine, *(buffers(machine, (size, total - size)) for size in sizes)):
        try:
            found.append(measure[objective](simulate([gemm], each, precision, objective=objective)))  # type: ignore[arg-type]
        except InputError:
            continue
    if not found:
        with pytest.raises(InputError, match="too small for any mapping"):
            simulate([gemm], shared, precision)
        return
    ours = simulate([gemm], shared, precision, objective=objective)  # type: ignore[arg-type]
    assert measure[objective](ours) == pytest.approx(min(found), rel=1e-12)
    mapping, shape = ours.runs[0].mapping, ours.runs[0].mapped
    assert check_mapping(shape, mapping) == mapping
    report = run_events(shape, TileSchedule(shape, mapping), FlatDram(math.inf))
    moved = analytical.traffic(shape, mapping)
    assert report.cycles == analytical.cycles(shape, mapping, moved, math.inf)


def test_both_operands_together_have_to_fit():
    """240 KiB of FP16 activations and 24 KiB of INT4 weights with scales, twice, in buffers of 128 KiB each, or in one of 256 KiB."""
    size = BufferConfig.model_validate({"capacity": "128 KiB", "port": "1024 bit"})
    machine = load_architecture("fp-fp").model_copy(update={"activation_buffer": size, "weight_buffer": size})
    shared = machine.model_copy(update={"scratchpad": "shared"})
    gemm = Gemm("u", 240, 512, 640)
    mapping = GemmMapping("activations", 240, 512, 16, 1, 2)
    with pytest.raises(InputError, match="does not fit activation_buffer"):
        check_mapping(map_gemm(gemm, machine, Precision.uniform(16)), mapping)
    check_mapping(map_gemm(gemm, shared, Precision.uniform(16)), mapping)
    larger = GemmMapping("activations", 240, 512, 64, 1, 2)
    with pytest.raises(InputError, match="does not fit"):
        check_mapping(map_gemm(gemm, shared, Precision.uniform(16)), larger)
    assert simulate([gemm], shared, Precision.uniform(16), objective="dram").dram_bytes < (
        simulate([gemm], machine, Precision.uniform(16), objective="dram").dram_bytes
    )
    rule = simulate([gemm], shared, Precision.uniform(16), mapping="activations:192")
    assert rule.runs[0].mapping.tokens == 192


def test_one_memory_in_a_technology_with_a_table():
    """As large as both buffers and as wide as the wider port; the published technology has one energy per bit for all."""
    shared = load_architecture("fp-fp").model_copy(update={"scratchpad": "shared"})
    technology = load_technology("cacti-16nm")
    costs = unit_costs(shared, technology)
    assert technology.sram is not None
    macro = technology.sram.macro("scratchpad", (1152 + 1024) * 1024, 1024)
    assert costs.area_mm2["scratchpad"] == macro.area_mm2
    assert {"activation_buffer", "weight_buffer"}.isdisjoint(costs.area_mm2)
    assert costs.sram.weight_read_pj_per_bit == costs.sram.activation_read_pj_per_bit == macro.read_pj / 1024
    with pytest.raises(InputError, match=r"^scratchpad: the circuit of level cycle has separate buffers"):
        simulate(
            [Gemm("u", 16, 64, 16)],
            load_architecture("anda").model_copy(update={"scratchpad": "shared"}),
            Precision.uniform(7),
            level="cycle",
        )
