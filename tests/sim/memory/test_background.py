"""Standby and refresh energy of the DRAM, against the equations of Micron's TN-41-01 worked out by hand."""

import math

import pytest
from anda_codesign.formats import InputError
from anda_codesign.sim import explain, load_technology, not_modelled, simulate, simulate_model
from anda_codesign.sim.memory.hbm import load_memory, memory_names
from anda_codesign.workloads import Gemm, Precision, gemms, model_shape
from cases import each
from hypothesis import given, settings
from hypothesis import strategies as st

SEVEN = Precision.uniform(7)
WORK = [Gemm("u", 40, 700, 130)]


def test_hbm2_by_hand():
    """Eight channels at 1.2 V: 40 mA closed, 55 mA open, and 250 - 55 mA for 260 of every 3900 ns."""
    power = load_memory("hbm2").background_power
    assert power.standby_w == pytest.approx(8 * 1.2 * 0.040) and power.standby_w >= 0.38
    assert power.active_w == pytest.approx(8 * 1.2 * 0.055)
    assert power.refresh_w == pytest.approx(8 * 1.2 * 0.195 * 260 / 3900)


def test_supplies_and_devices_add_up():
    ddr5, lpddr5 = (load_memory(name).background_power for name in ("ddr5", "lpddr5"))
    assert ddr5.standby_w == pytest.approx(2 * 4 * 1.1 * 0.092)
    assert lpddr5.standby_w == pytest.approx(4 * (1.8 * 0.0015 + 1.05 * 0.0325))
    assert lpddr5.refresh_w == pytest.approx(4 * 1.05 * (0.205 - 0.040) * 280 / 3906)


@each("name", memory_names())
def test_every_memory_runs_with_its_own_bandwidth_and_energy(name: str):
    memory = load_memory(name)
    run = simulate(WORK, "anda", SEVEN, "events", memory=name)
    assert memory.energy is not None
    bits = run.runs[0].traffic.dram_bits
    assert run.energy_pj.dram == pytest.approx(bits * memory.energy.value)
    peak_bits_per_second = 1e9 * memory.channels * memory.channel_width * memory.timing.data_rate.value
    assert run.seconds >= bits / peak_bits_per_second
    power = memory.background_power
    assert run.energy_pj.background >= 1e12 * run.seconds * (power.standby_w + power.refresh_w)
    assert run.energy_pj.background <= 1e12 * run.seconds * (power.active_w + power.refresh_w)


def test_a_prefill_of_llama_7b():
    """8.7 J of standby alone at M = 7, beside less than 5 J of bits that move."""
    run = simulate(gemms(model_shape("LLaMA-7B")), "anda", SEVEN, dram_background="on")
    assert run.seconds * 0.384 == pytest.approx(8.7, abs=0.2)
    assert 8.7 < run.energy_pj.background / 1e12 < run.seconds * (0.528 + 0.125)


@each("level", ["analytical", "events", "cycle"])
def test_parts_sum_to_totals_at_every_level(level: str):
    off, on = (simulate(WORK, "anda", SEVEN, level, dram_background=mode) for mode in ("off", "on"))  # type: ignore[arg-type]
    assert off.energy_pj.background == 0 < on.energy_pj.background
    assert on.energy_pj.total == pytest.approx(off.energy_pj.total + on.energy_pj.background)
    rows = [row.total for row in explain(on) if row.part == "background"]
    assert len(rows) == 3 and sum(rows) == pytest.approx(on.energy_pj.background)


@settings(max_examples=30)
@given(st.floats(0.5, 500), st.floats(1, 50))
def test_energy_grows_with_time_alone(gigabytes: float, factor: float):
    fast, slow = (
        simulate(WORK, "figna", SEVEN, technology=load_technology().with_bandwidth(g), dram_background="on")
        for g in (gigabytes * factor, gigabytes)
    )
    standby = (slow.seconds - fast.seconds) * 1e12 * (0.384 + 0.1248)
    active_ns = 8 * fast.runs[0].traffic.dram_bits / 8 * (1 / gigabytes - 1 / (gigabytes * factor)) / 8
    assert slow.energy_pj.background - fast.energy_pj.background == pytest.approx(
        standby + active_ns * 0.144 * 1000, rel=1e-6, abs=1
    )


def test_parts_of_a_whole_model_count_their_own_time():
    run = simulate_model(model_shape("OPT-125M"), "anda", SEVEN, phase="decode", tokens=2, dram_background="on")
    assert run.energy_pj.background == pytest.approx(sum(row.energy_pj.background for row in run.rows))
    assert run.energy_pj.background >= 1e12 * run.seconds * 0.5088
    assert all((row.energy_pj.background > 0) == (row.cycles > 0) for row in run.rows), "the softmax is hidden"


def test_the_published_technology_says_what_it_leaves_out():
    flat, hbm2 = simulate(WORK, "anda", SEVEN), simulate(WORK, "anda", SEVEN, "events", memory="hbm2")
    assert flat.energy_pj.background == 0 < hbm2.energy_pj.background
    assert any("standby and refresh" in line for line in not_modelled(flat))
    assert not any("standby and refresh" in line for line in not_modelled(hbm2))


def test_refused():
    silent = load_memory("hbm2").model_copy(update={"background": None})
    with pytest.raises(InputError, match=r"^dram_background: memory hbm2 has no currents; add background"):
        simulate(WORK, "anda", SEVEN, "events", memory=silent, dram_background="on")
    assert simulate(WORK, "anda", SEVEN, "events", memory=silent).energy_pj.background == 0
    technology = load_technology()
    nameless = technology.model_copy(update={"dram": technology.dram.model_copy(update={"memory": None})})
    with pytest.raises(InputError, match=r"^dram_background: technology paper-16nm names no memory"):
        simulate(WORK, "anda", SEVEN, technology=nameless, dram_background="on")
    with pytest.raises(InputError, match=r"^dram_background: 'yes'"):
        simulate(WORK, "anda", SEVEN, dram_background="yes")  # type: ignore[arg-type]
    assert simulate(WORK, "anda", SEVEN, technology=technology.with_bandwidth(math.inf)).energy_pj.background == 0
