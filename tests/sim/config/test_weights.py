import math

import pytest
from anda_codesign.formats import InputError
from anda_codesign.formats.latency.array import WEIGHT_LOAD_CYCLES
from anda_codesign.sim import (
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
    work = [Gemm("u", 50, 700, 130)]
    for tiling in ("search", "nothing"):
        closed, events = (
            simulate(work, "anda", UNIFORM, level, INFINITE, weights=name, tiling=tiling)
            for level in ("analytical", "events")
        )
        assert closed.cycles == events.cycles
        rows = explain(closed)
        assert sum(r.total for r in rows if r.quantity == "cycles") == closed.cycles
        compute = sum(r.total for r in rows if r.part == "compute")
        assert compute == pytest.approx(closed.energy_pj.compute)


def test_sparse_products_cost_energy_and_bytes():
    int4, squeezed = (simulate(WORK, "fp-fp", UNIFORM, weights=w) for w in ("int4", "squeezellm-4"))
    row = next(r for r in explain(squeezed) if r.what == "sparse weights")
    assert squeezed.energy_pj.compute == pytest.approx(int4.energy_pj.compute + row.total)
    assert row.count == sum(
        math.ceil(g.tokens / 16) * 16 * math.ceil(g.out_channels / 16) * 16
        * load_weights("squeezellm-4").sparse_weights(g.in_channels) * g.repeat
        for g in WORK
    )  # fmt: skip
    weights = [sum(r.traffic.tensor_bits["weights"] for r in result.runs) for result in (int4, squeezed)]
    assert weights[1] / weights[0] == pytest.approx(4.28 / 4.125, rel=0.005)


def test_whole_models_take_a_weight_format():
    shape = model_shape("OPT-1.3B")
    int4, spqr = (
        simulate_model(shape, "anda", UNIFORM, phase="decode", tokens=1, context=64, weights=w)
        for w in ("int4", "spqr-3")
    )
    assert spqr.rows[4] == int4.rows[4]
    assert spqr.gemms.dram_bytes < int4.gemms.dram_bytes


def test_unknown_format():
    with pytest.raises(InputError) as caught:
        simulate(WORK, "anda", UNIFORM, weights="int2")
    assert str(caught.value).startswith("weight format: 'int2'")
