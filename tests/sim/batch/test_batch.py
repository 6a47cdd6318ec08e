"""The compiled batch kernel gives the bits of the plain code, on random machines, precisions and GeMMs."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
from anda_codesign.formats import InputError
from anda_codesign.sim import Settings, load_architecture, load_weights, prepare, run_gemms
from anda_codesign.sim.batch.kernel import exact_sums
from anda_codesign.sim.batch.machines import areas_mm2, batch_costs, joined, machine_columns
from anda_codesign.sim.batch.search import compiled_mappings
from anda_codesign.sim.cost.search import best_mapping
from anda_codesign.sim.mapping.mapped_gemm import map_gemm
from anda_codesign.workloads import MODULES, Gemm, Precision
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

SIZES = st.one_of(st.integers(1, 300), st.integers(1, 20_000), st.sampled_from([1, 16, 2048, 4096, 11008]))


@st.composite
def cases(draw: DrawFn) -> tuple[Any, Settings, Precision, list[Gemm]]:
    arch = draw(st.sampled_from(["anda", "fp-fp", "fp-int", "figna", "figna-m8", "ifpu"]))
    machine = load_architecture(arch)
    array = machine.array.model_copy(
        update={"rows": draw(st.sampled_from([1, 2, 8, 16])), "columns": draw(st.sampled_from([1, 3, 16, 64]))}
    )
    lanes = machine.processing_element.model_copy(update={"lanes": draw(st.sampled_from([8, 32, 64]))})
    buffers = {
        name: buffer.model_copy(
            update={"capacity_bytes": draw(st.one_of(st.integers(1 << 8, 1 << 12), st.integers(1 << 14, 1 << 24)))}
        )
        for name, buffer in machine.buffers.items()
    }
    changed: dict[str, Any] = {"partial_sums": draw(st.sampled_from(["array", "buffer"])), **buffers}
    machine = machine.model_copy(update={"array": array, "processing_element": lanes, **changed})
    machine = machine.with_weights(load_weights(draw(st.sampled_from(["int4", "int8", "int3", "spqr-3"]))))
    idle, gated = draw(
        st.sampled_from([("measured", False), ("measured", True), ("full", False), ("full", True), ("zero", False)])
    )
    asked = Settings(
        objective=draw(st.sampled_from(["energy", "latency", "edp", "dram"])),
        idle=idle,
        clock_gating=gated,
        dram_background=draw(st.sampled_from(["off", "on"])),
    )
    precision = Precision(*(draw(st.integers(1, 16)) for _ in MODULES))
    repeats = st.sampled_from([1, 32])
    return machine, asked, precision, [Gemm(m, *(draw(SIZES) for _ in range(3)), draw(repeats)) for m in MODULES]


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(cases(), st.floats(1, 1000))
def test_bits_of_the_plain_code(case: tuple[Any, Settings, Precision, list[Gemm]], bandwidth: float):
    machine, asked, precision, gemms = case
    setup = prepare(machine, asked)
    costs = replace(setup.costs, dram_bits_per_cycle=bandwidth)
    setup = replace(setup, costs=costs)
    columns = machine_columns(machine, costs, setup.objective, 1)
    rows = [[g.tokens, g.in_channels, g.out_channels, g.repeat, MODULES.index(g.module)] for g in gemms]
    table = np.array([[*rows, [0] * 5]])
    bits = np.array([list(machine.precision(precision))])
    totals = batch_costs(columns, bits, np.zeros(1, dtype=np.int64), table)
    try:
        plain = run_gemms(gemms, setup, precision)
    except InputError:
        assert not totals.done[0] and not totals.fits[0]
        return
    assert totals.fits[0]
    assert totals.done[0] or max(gemm.total_macs for gemm in gemms) > 1 << 40
    if totals.done[0]:
        found = (totals.cycles[0], totals.dram_bytes[0], totals.sram_bytes[0], *totals.energies_pj[0])
        energy = plain.energy_pj
        parts = energy.compute, energy.sram, energy.dram, energy.background
        assert found == (plain.cycles, plain.dram_bytes, plain.sram_bytes, *parts)
        assert areas_mm2(costs, 1)[0] == plain.area_mm2


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(cases(), st.floats(1, 1000))
def test_mappings_of_the_plain_search(case: tuple[Any, Settings, Precision, list[Gemm]], bandwidth: float):
    machine, asked, precision, gemms = case
    costs = replace(prepare(machine, asked).costs, dram_bits_per_cycle=bandwidth)
    used = machine.precision(precision)
    shapes = [map_gemm(gemm, machine, used, machine.stored(9)) for gemm in gemms]
    try:
        plain = [best_mapping(shape, costs, asked.objective) for shape in shapes]
    except InputError:
        plain = []
    found = compiled_mappings(shapes, costs, asked.objective)
    assert found == plain or (not found and max(gemm.total_macs for gemm in gemms) > 1 << 40)


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False, min_value=-1e200, max_value=1e200), min_size=1))
def test_sums_are_rounded_once(values: list[float]):
    assert exact_sums(np.array([values]))[0] == math.fsum(values)


def test_machines_are_joined_in_order():
    setup = prepare("anda", Settings())
    first, second = (machine_columns(load_architecture(n), setup.costs, "energy", 2) for n in ("anda", "fp-fp"))
    assert joined([first, second], np.array([2, 0, 3, 1])).planes.tolist() == [0, 1, 0, 1]
