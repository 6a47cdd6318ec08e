"""Midpoint reconstruction and the skipping of all-zero planes as the machine sees them."""

import math

import numpy as np
import pytest
from anda_codesign.formats import AndaFormat, InputError
from anda_codesign.formats.anda.plane_mask import mean_group_cycles, plane_counts
from anda_codesign.formats.latency.array import array_cycles_per_group
from anda_codesign.sim import load_architecture, load_technology, simulate, simulate_model
from anda_codesign.sim.config.architecture import Architecture
from anda_codesign.sim.config.processing_element import ProcessingElement
from anda_codesign.workloads import Gemm, Precision, gemms, model_shape
from hypothesis import given
from hypothesis import strategies as st
from latencies import matrix_engine_cycles
from pydantic import ValidationError

INFINITE = load_technology().with_bandwidth(math.inf)
GEMM = Gemm("u", 64, 512, 256)


def cycles(gemm: Gemm, mantissa_bits: int, mean: float | None, level: str = "analytical", mapping: str = "best"):
    given = None if mean is None else {gemm.module: mean}
    precision = Precision.uniform(mantissa_bits)
    return simulate([gemm], "anda", precision, level, INFINITE, group_cycles=given, mapping=mapping)  # type: ignore[arg-type]


def test_measured_planes_of_sparse_activations():
    """Activations whose low planes are often empty: the array takes what the tensor's plane counts say."""
    draw = np.random.default_rng(1)
    x = np.where(draw.random((64, 512)) < 0.02, 1.0, 2.0**-6).astype(np.float16)
    tensor = AndaFormat(mantissa_bits=8).encode(x)
    counts = plane_counts(tensor, 16)
    mean = mean_group_cycles(tensor, 16)
    assert mean < 9
    run = cycles(GEMM, 8, mean).runs[0]
    groups = 4 * (counts + 1).clip(4).sum() * (256 // 16) // 4
    assert run.array_cycles == pytest.approx(groups, rel=1e-3)


@given(st.integers(3, 16), st.floats(0, 1), st.sampled_from(["best", "nothing", "activations:16", "weights:16"]))
def test_levels_agree_with_a_mean(mantissa_bits: int, share: float, mapping: str):
    mean = 4 + share * (mantissa_bits + 1 - 4)
    closed, events = (cycles(GEMM, mantissa_bits, mean, level, mapping) for level in ("analytical", "events"))
    assert closed.cycles == events.cycles
    assert closed.dram_bytes == events.dram_bytes
    report = events.runs[0].report
    assert report is not None
    assert report.dram.bits == events.runs[0].traffic.dram_bits


@given(st.integers(3, 16), st.floats(0, 1), st.floats(0, 1))
def test_fewer_planes_never_cost_more(mantissa_bits: int, one: float, other: float):
    few, many = (cycles(GEMM, mantissa_bits, 4 + s * (mantissa_bits - 3)) for s in sorted((one, other)))
    assert few.cycles <= many.cycles
    assert few.energy_pj.total <= many.energy_pj.total
    assert few.sram_bytes <= many.sram_bytes
    assert few.dram_bytes == many.dram_bytes


def test_masks_are_stored_and_all_planes_cost_as_before():
    """M - 1 bits for 16 tokens and a group of 64; with no plane to skip nothing else changes."""
    plain, skipping = cycles(GEMM, 8, None), cycles(GEMM, 8, 9.0)
    assert skipping.cycles == plain.cycles
    ratios, array = load_technology().skipping, plain.costs.array_pj_per_cycle * plain.runs[0].mapped.element_cycles
    assert ratios is not None
    dearer = (ratios.power.value - 1) * (array + plain.costs.idle.waiting_pj_per_cycle * (plain.cycles - 64 * 8 * 9))
    assert skipping.energy_pj.compute == pytest.approx(plain.energy_pj.compute + dearer)
    assert skipping.costs.area_mm2["array"] == pytest.approx(plain.costs.area_mm2["array"] * ratios.area.value)
    bits = skipping.runs[0].traffic.tensor_bits["activations"] - plain.runs[0].traffic.tensor_bits["activations"]
    assert bits == 64 * math.ceil(8 * 7 / 16)


def test_a_skipped_plane_saves_what_a_zero_plane_costs():
    """Only elements still take energy in a skipped cycle; all other parts save the whole cycle."""
    every, fewer = cycles(GEMM, 8, 9.0), cycles(GEMM, 8, 7.5)
    ratios, costs = load_technology().skipping, every.costs
    assert ratios is not None
    skipped = fewer.runs[0].mapped.skipped_cycles
    assert skipped == every.runs[0].mapped.element_cycles - fewer.runs[0].mapped.element_cycles > 0
    support = sum(costs.support_pj_per_cycle.values())
    saved = skipped * (ratios.plane.value * costs.array_pj_per_cycle / ratios.power.value + support)
    assert every.energy_pj.compute - fewer.energy_pj.compute == pytest.approx(saved, rel=1e-3)


def test_a_technology_that_does_not_know_skipping():
    technology = INFINITE.model_copy(update={"skipping": None})
    with pytest.raises(InputError, match=r"^skipping: technology paper-16nm .*area, power and plane"):
        simulate([GEMM], "anda", Precision.uniform(8), technology=technology, group_cycles={"u": 6.0})


def test_skipping_of_a_whole_model():
    shape = model_shape("SmolLM2-135M")
    means = {"qkv": 7.5, "o": 6.0, "u": 6.5, "d": 5.0}
    plain, skipping = (
        simulate_model(shape, "anda", Precision(8, 7, 7, 7), tokens=64, group_cycles=given) for given in (None, means)
    )
    for run, before in zip(skipping.gemms.runs, plain.gemms.runs, strict=True):
        full = array_cycles_per_group(before.mapped.mantissa_bits)
        assert run.array_cycles == pytest.approx(before.array_cycles * means[run.gemm.module] / full, rel=0.02)


def with_midpoint(machine: Architecture) -> Architecture:
    element = machine.processing_element.model_copy(update={"midpoint": True})
    return machine.model_copy(update={"processing_element": element})


@pytest.mark.parametrize("level", ["analytical", "events"])
@given(st.integers(1, 40), st.integers(1, 4), st.integers(8, 30), st.integers(1, 16))
def test_midpoint_keeps_the_stated_cycles(level: str, tokens: int, blocks: int, groups: int, mantissa_bits: int):
    """A cycle later at the end of a GeMM, and at the same rate: what `formats.latency` states of the engine."""
    machine = with_midpoint(load_architecture("anda"))
    gemm = Gemm("qkv", tokens, 64 * groups, 64 * blocks)
    run = simulate([gemm], machine, Precision.uniform(mantissa_bits), level, INFINITE)  # type: ignore[arg-type]
    tiles = math.ceil(tokens / 16) * 4 * blocks
    stated = matrix_engine_cycles(tiles, groups, mantissa_bits, rows=16, columns=16, lanes=64, midpoint=True)
    assert run.cycles == stated


def test_bad_input():
    cases = (
        ({"u": 3.0}, "anda", "group_cycles.u: 3.0 "),
        ({"u": 9.5}, "anda", "group_cycles.u: 9.5 "),
        ({"d": 6.0}, "anda", "group_cycles: u is missing"),
        ({"u": 6.0}, "figna", "group_cycles: figna has no planes"),
    )
    for cycles, name, expected in cases:
        with pytest.raises(InputError, match=f"^{expected}"):
            simulate([GEMM], name, Precision.uniform(8), group_cycles=cycles)


def test_midpoint_needs_planes():
    element = load_architecture("figna").processing_element.model_dump() | {"midpoint": True}
    with pytest.raises(ValidationError, match="midpoint: needs timing: bit-serial"):
        ProcessingElement(**element)


def test_gemms_of_a_model_without_an_option_are_unchanged():
    work = gemms(model_shape("OPT-125M"), tokens=64)
    assert not any(run.mapped.skips for run in simulate(work, "anda", Precision.uniform(6)).runs)
