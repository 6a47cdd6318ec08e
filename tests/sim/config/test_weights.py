import math
from functools import partial
from pathlib import Path

import pytest
from anda_codesign.formats import InputError
from anda_codesign.formats.latency.array import WEIGHT_LOAD_CYCLES
from anda_codesign.sim import (
    architecture_names,
    explain,
    load_architecture,
    load_technology,
    load_weights,
    simulate,
    simulate_model,
    weight_format_names,
)
from anda_codesign.workloads import Gemm, Precision, gemms, model_shape
from cases import each
from hypothesis import given
from hypothesis import strategies as st

UNIFORM = Precision.uniform(7)
WORK = gemms(model_shape("LLaMA-7B"), tokens=256)
INFINITE = load_technology().with_bandwidth(math.inf)


def average_bits(name: str, channels: int) -> float:
    return load_weights(name).channel_bits(channels) / channels


def test_average_bits_are_those_of_the_papers():
    """SqueezeLLM: 4.27 and 3.24 bits for LLaMA-7B with 0.45 % sparse. SpQR: 3 + 6/16 + 64/256 and 32 an outlier.

    Here a channel has a whole number of sparse weights, 19 for 18.4 of 4096: 0.007 bit more.
    """
    assert average_bits("int4", 4096) == 4.125
    assert average_bits("squeezellm-4", 4096) == pytest.approx(4.28, abs=0.015)
    assert average_bits("squeezellm-3", 4096) == pytest.approx(3.25, abs=0.015)
    assert average_bits("spqr-3", 4096) == pytest.approx(3 + 6 / 16 + 64 / 256 + 0.32, abs=0.015)


def test_channel_bits_by_hand():
    weights = load_weights("squeezellm-4")
    assert weights.sparse_weights(1000) == 5
    assert weights.channel_bits(1000) == 1000 * 4 + 16 * 16 + 5 * 48 + 32
    assert load_weights("int4").sparse_weights(1000) == 0


def test_digits_pass_one_after_the_other_where_the_array_multiplies_integers():
    work = [Gemm("qkv", 64, 1024, 64)]

    def cycles(name: str, weights: str) -> int:
        return simulate(work, name, UNIFORM, technology=INFINITE, weights=weights).runs[0].array_cycles

    assert cycles("anda", "squeezellm-4") == 2 * cycles("anda", "int4")
    assert cycles("fp-fp", "squeezellm-4") == cycles("fp-fp", "int4")
    assert cycles("anda", "spqr-3") == cycles("anda", "int4")


@given(
    st.sampled_from(architecture_names()),
    st.sampled_from([*range(1, 9), 16]),
    st.integers(1, 16),
    st.integers(1, 900),
    st.integers(1, 50),
    st.integers(1, 60),
)
def test_time_follows_the_bits_of_the_weights(name: str, bits: int, m: int, channels: int, tokens: int, outputs: int):
    """Cycles of the array by hand: a group takes its digits' cycles, or those in which its weights stream."""
    weights = load_weights("int4").model_copy(update={"name": f"W{bits}", "bits": bits})
    run = partial(simulate, [Gemm("u", tokens, channels, outputs)], name, Precision.uniform(m), technology=INFINITE)
    integers = name != "fp-fp"
    if bits == 16 and integers:
        with pytest.raises(InputError, match=rf"^weights: W16 holds FP16 numbers and {name} multiplies integers; take"):
            run(weights=weights)
        return
    group = {"anda": m + 1, "figna-m11": 11, "figna-m8": 8, "ifpu": 4}.get(name, 16)
    digits = {"fp-fp": 1, "ifpu": bits}.get(name, math.ceil(bits / 4))
    stream = math.ceil(math.ceil(16 * 64 * bits / 1024) / digits)
    reduction = math.ceil(channels / 64) * digits * max(group, stream)
    tiles = math.ceil(tokens / 16) * math.ceil(outputs / 16)
    drain = 5 + 16
    assert run(weights=weights).runs[0].array_cycles == reduction + (tiles - 1) * max(reduction, drain)


def test_wide_weights_take_more_time_bytes_and_energy():
    """W8 passes Anda's and FIGNA's arrays twice, iFPU's twice as long, FP-FP's once; W3 saves time on iFPU alone."""
    for name, wide, narrow in (("anda", 2, 1), ("figna", 2, 1), ("fp-int", 2, 1), ("ifpu", 2, 0.75), ("fp-fp", 1, 1)):
        w3, w4, w8 = (simulate(WORK, name, UNIFORM, weights=w) for w in ("int3", "int4", "int8"))
        cycles = [sum(run.array_cycles * run.gemm.repeat for run in result.runs) for result in (w3, w4, w8)]
        assert cycles[2] / cycles[1] == pytest.approx(wide, rel=1e-4)
        assert cycles[0] / cycles[1] == pytest.approx(narrow, rel=1e-4)
        assert w3.dram_bytes < w4.dram_bytes < w8.dram_bytes
        assert w3.energy_pj.total < w4.energy_pj.total < w8.energy_pj.total
        assert w8.runs[0].mapped.element_cycles == wide * w4.runs[0].mapped.element_cycles


def test_fp16_weights_are_the_baseline_of_fp_fp():
    w4, w16 = (simulate(WORK, "fp-fp", UNIFORM, weights=w) for w in ("int4", "fp16"))
    assert [run.array_cycles for run in w16.runs] == [run.array_cycles for run in w4.runs]
    tensors = [sum(run.traffic.tensor_bits["weights"] for run in result.runs) for result in (w4, w16)]
    assert tensors[1] / tensors[0] == pytest.approx(16 / 4.125)


def test_a_decoded_value_sets_the_digits():
    """Table entries of 8 bits are two 4-bit digits, and eight planes of a serial element."""
    work = [Gemm("qkv", 64, 1024, 64)]
    for name, ratio in (("figna", 2), ("ifpu", 2), ("fp-fp", 1)):
        plain, table = (simulate(work, name, UNIFORM, technology=INFINITE, weights=w) for w in ("int4", "squeezellm-4"))
        assert table.runs[0].array_cycles == pytest.approx(ratio * plain.runs[0].array_cycles, rel=0.01)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ("bits: 8, digits: 1", "digits: 1 do not hold codes of 8 bits; leave digits out or give 2"),
        ("bits: 16, digits: 4", "digits: 4 do not hold codes of 16 bits; leave digits out"),
        ("bits: 12", "bits: 12 is out of range; use 1 to 8, or 16 for FP16 weights"),
        ("bits: 8, digits: 5", "digits: is 5; "),
    ],
)
def test_impossible_digits_are_refused(tmp_path: Path, changes: str, expected: str):
    path = tmp_path / "mine.yaml"
    path.write_text(f"{{name: mine, title: t, source: s, group_size: 128, scale_bits: 16, {changes}}}")
    with pytest.raises(InputError) as caught:
        load_weights(path)
    assert str(caught.value).startswith(f"weight format mine.yaml: {expected}")


@each("name", ["int3", "int8", "fp16"])
def test_level_cycle_says_what_it_needs(name: str):
    with pytest.raises(
        InputError, match=r"^(level: cycle needs INT4 weights|weights: fp16 holds FP16 numbers and anda)"
    ):
        simulate([Gemm("u", 16, 64, 64)], "anda", UNIFORM, "cycle", weights=name)


def test_short_codes_stream_faster():
    """3-bit codes of 16 columns and 64 channels take 3 rows of the weight buffer."""
    machine = load_architecture("anda").model_copy(update={"weights": load_weights("spqr-3")})
    assert machine.weight_load_cycles == 3
    assert machine.array_cycles_per_group(1) == 3 < WEIGHT_LOAD_CYCLES


def test_a_slow_side_unit_bounds_the_tile(tmp_path):  # type: ignore[no-untyped-def]
    slow = tmp_path / "slow.yaml"
    slow.write_text(
        "{name: slow, title: t, source: s, bits: 4, group_size: 128, scale_bits: 16, sparse_fraction: 0.01, "
        "sparse_bits: 48, sparse_lanes: 1}"
    )
    result = simulate([Gemm("qkv", 32, 1000, 32)], "anda", UNIFORM, technology=INFINITE, weights=slow)
    products = 16 * 16 * 10
    assert result.runs[0].array_cycles == 4 * products
    events = simulate([Gemm("qkv", 32, 1000, 32)], "anda", UNIFORM, "events", INFINITE, weights=slow)
    assert events.cycles == result.cycles


@each("name", weight_format_names())
def test_levels_agree_and_parts_add_up(name: str):
    work, machine = [Gemm("u", 50, 700, 130)], "fp-fp" if load_weights(name).is_fp16 else "anda"
    for mapping in ("best", "nothing"):
        closed, events = (
            simulate(work, machine, UNIFORM, level, INFINITE, weights=name, mapping=mapping)
            for level in ("analytical", "events")
        )
        assert closed.cycles == events.cycles
        rows = explain(closed)
        assert sum(r.total for r in rows if r.quantity == "cycles") == closed.cycles
        compute = sum(r.total for r in rows if r.part == "compute")
        assert compute == pytest.approx(closed.energy_pj.compute)


def test_sparse_products_cost_energy_and_bytes():
    int4, squeezed = (simulate(WORK, "fp-fp", UNIFORM, weights=w) for w in ("int4", "squeezellm-4"))
    rows = {r.what: r for r in explain(squeezed) if r.what.startswith("sparse weights")}
    added = math.fsum(row.total for row in rows.values())
    assert squeezed.energy_pj.compute == pytest.approx(int4.energy_pj.compute + added)
    assert rows["sparse weights"].count + rows["sparse weights, idle lanes"].count == sum(
        math.ceil(g.tokens / 16) * 16 * math.ceil(g.out_channels / 16) * 16
        * load_weights("squeezellm-4").sparse_weights(g.in_channels) * g.repeat
        for g in WORK
    )  # fmt: skip
    weights = [sum(r.traffic.tensor_bits["weights"] for r in result.runs) for result in (int4, squeezed)]
    assert weights[1] / weights[0] == pytest.approx(4.28 / 4.125, rel=0.005)


def test_whole_models_take_a_weight_format():
    shape = model_shape("OPT-1.3B")
    int4, spqr = (
        simulate_model(shape, "anda", UNIFORM, phase="decode", tokens=1, context=64, weights=w, idle="zero")
        for w in ("int4", "spqr-3")
    )
    attention = [next(row for row in run.rows if row.name == "attention") for run in (spqr, int4)]
    assert attention[0].work == attention[1].work
    assert attention[0].cycles == attention[1].cycles
    assert spqr.gemms.dram_bytes < int4.gemms.dram_bytes


def test_unknown_format():
    with pytest.raises(InputError) as caught:
        simulate(WORK, "anda", UNIFORM, weights="int2")
    assert str(caught.value).startswith("weight format: 'int2'")
