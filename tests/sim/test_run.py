import json
import math
import subprocess
import sys

import pytest
from anda_codesign.formats import InputError
from anda_codesign.sim import architecture_names, load_architecture, load_technology, simulate
from anda_codesign.sim.config.architecture import BufferConfig
from anda_codesign.sim.cost.objective import Objective
from anda_codesign.sim.mapping.gemm_mapping import PartialSums
from anda_codesign.workloads import Gemm, Precision, bops_saving, gemms, model_shape
from hypothesis import given, settings
from hypothesis import strategies as st
from small_work import precisions

KEYS = [
    "cycles",
    "seconds",
    "macs",
    "bops_saving",
    "dram_bytes",
    "sram_bytes",
    "energy_pj",
    "idle_pj",
    "area_mm2",
    "level",
]

bits = st.integers(1, 16)
work = st.lists(
    st.builds(
        Gemm,
        module=st.sampled_from(["qkv", "o", "u", "d"]),
        tokens=st.integers(1, 3000),
        in_channels=st.integers(1, 30000),
        out_channels=st.integers(1, 30000),
        repeat=st.integers(1, 40),
    ),
    min_size=1,
    max_size=4,
)
names = st.sampled_from(architecture_names())
kibibytes = st.sampled_from([6, 64, 500, 1024])
places = st.sampled_from(["array", "buffer"])


def test_to_dict_is_plain_json():
    result = simulate(gemms(model_shape("LLaMA-13B")), "anda", Precision(7, 5, 6, 6))
    data = result.to_dict()
    assert list(data) == KEYS
    assert list(data["energy_pj"]) == ["compute", "sram", "dram", "background", "total"]
    assert json.loads(json.dumps(data)) == data
    assert type(data["cycles"]) is type(data["dram_bytes"]) is type(data["sram_bytes"]) is type(data["macs"]) is int


@given(work, names, precisions)
def test_parts_sum_to_totals(gemms: list[Gemm], name: str, precision: Precision):
    result = simulate(gemms, name, precision)
    assert result.macs == sum(g.total_macs for g in gemms)
    assert result.cycles == sum(run.cycles * run.gemm.repeat for run in result.runs)
    assert result.energy_pj.total == pytest.approx(sum(r.energy_pj.total * r.gemm.repeat for r in result.runs))
    energy = result.to_dict()["energy_pj"]
    assert energy["total"] == energy["compute"] + energy["sram"] + energy["dram"] + energy["background"]
    dram_bits = sum(run.traffic.dram_bits * run.gemm.repeat for run in result.runs)
    assert energy["dram"] == pytest.approx(dram_bits * 3.9)
    assert dram_bits <= 8 * result.dram_bytes < dram_bits + 8 * sum(g.repeat for g in gemms)


@given(work, names, precisions, st.integers(2, 50))
def test_repeat_multiplies(gemms: list[Gemm], name: str, precision: Precision, times: int):
    once = simulate(gemms, name, precision)
    again = [Gemm(g.module, g.tokens, g.in_channels, g.out_channels, g.repeat * times) for g in gemms]
    many = simulate(again, name, precision)
    assert (many.cycles, many.dram_bytes, many.sram_bytes) == (
        times * once.cycles,
        times * once.dram_bytes,
        times * once.sram_bytes,
    )
    assert many.energy_pj.total == pytest.approx(times * once.energy_pj.total)
    assert many.bops_saving == pytest.approx(once.bops_saving)


def test_bops_saving():
    shape = model_shape("LLaMA-13B")
    precision = Precision(7, 5, 6, 6)
    saving = {name: simulate(gemms(shape), name, precision).bops_saving for name in architecture_names()}
    assert saving["anda"] == pytest.approx(bops_saving(shape, precision))
    assert saving["fp-fp"] == saving["fp-int"] == saving["ifpu"] == 1
    assert saving["figna"] == pytest.approx(16 / 13)
    assert saving["figna-m11"] == pytest.approx(16 / 11)
    assert saving["figna-m8"] == 2


def test_precision_reports_what_was_used():
    precision = Precision(7, 5, 6, 6)
    one = [Gemm("u", 16, 64, 64)]
    assert simulate(one, "anda", precision).precision == precision
    assert simulate(one, "fp-fp", precision).precision == Precision.uniform(16)
    assert simulate(one, "figna", precision).precision == Precision.uniform(13)


@given(work, precisions, st.sampled_from(["qkv", "o", "u", "d"]), st.sampled_from(["double-buffered", "model"]))
def test_fewer_mantissa_bits_never_cost_more(gemms: list[Gemm], precision: Precision, module: str, mapping: str):
    fewer = precision._replace(**{module: max(1, getattr(precision, module) - 1)})
    more, less = (simulate(gemms, "anda", p, mapping=mapping) for p in (precision, fewer))
    assert less.dram_bytes <= more.dram_bytes
    assert less.sram_bytes <= more.sram_bytes
    assert less.cycles <= more.cycles
    assert less.energy_pj.total <= more.energy_pj.total


@given(work, precisions, st.sampled_from(["qkv", "o", "u", "d"]), places)
def test_fewer_mantissa_bits_never_cost_more_of_what_the_search_minimises(
    gemms: list[Gemm], precision: Precision, module: str, place: PartialSums
):
    fewer = precision._replace(**{module: max(1, getattr(precision, module) - 1)})

    def run(bits: Precision, objective: Objective):
        return simulate(gemms, "anda", bits, partial_sums=place, objective=objective)

    assert run(fewer, "energy").energy_pj.total <= run(precision, "energy").energy_pj.total
    assert run(fewer, "latency").cycles <= run(precision, "latency").cycles
    assert run(fewer, "dram").dram_bytes <= run(precision, "dram").dram_bytes


@given(work, names, precisions, kibibytes, kibibytes, places)
def test_more_sram_never_costs_what_the_search_minimises(
    gemms: list[Gemm], name: str, precision: Precision, activation_kib: int, weight_kib: int, place: PartialSums
):
    def run(scale: int, objective: Objective):
        buffers = {
            "activation_buffer": BufferConfig(capacity=f"{activation_kib * scale} KiB", port="1024 bit"),
            "weight_buffer": BufferConfig(capacity=f"{weight_kib * scale} KiB", port="1024 bit"),
        }
        machine = load_architecture(name).model_copy(update=buffers | {"partial_sums": place})
        return simulate(gemms, machine, precision, objective=objective)

    small, large = ([run(scale, objective) for objective in ("energy", "latency", "dram")] for scale in (1, 2))
    assert large[0].energy_pj.total <= small[0].energy_pj.total
    assert large[1].cycles <= small[1].cycles
    assert large[2].dram_bytes <= small[2].dram_bytes
    if place == "array":
        assert large[0].dram_bytes <= small[0].dram_bytes


@given(work, names, precisions, places, st.floats(0.01, 1000), st.floats(1, 100))
def test_more_bandwidth_never_costs_what_the_search_minimises(
    gemms: list[Gemm], name: str, precision: Precision, place: PartialSums, gigabytes: float, factor: float
):
    def run(speed: float, objective: Objective):
        technology = load_technology().with_bandwidth(speed)
        return simulate(gemms, name, precision, technology=technology, objective=objective, partial_sums=place)

    slow, fast = ([run(gigabytes * times, each) for each in ("energy", "latency")] for times in (1, factor))
    assert fast[0].energy_pj.total <= slow[0].energy_pj.total * (1 + 1e-12)
    assert fast[1].cycles <= slow[1].cycles
    for one, other in zip(fast[0].runs, slow[0].runs, strict=True):
        if one.mapping == other.mapping:
            assert one.cycles <= other.cycles
            for part in ("sram", "dram", "background"):
                assert getattr(one.energy_pj, part) == getattr(other.energy_pj, part)
            worked = [run.energy_pj.compute - run.energy_pj.idle for run in (one, other)]
            assert worked[0] == pytest.approx(worked[1])


@settings(max_examples=20)
@given(st.integers(1, 300), st.integers(1, 600), st.integers(1, 300), names, st.floats(0.1, 100))
def test_more_bandwidth_never_costs_time_at_event_level(
    tokens: int, in_channels: int, out_channels: int, name: str, gigabytes: float
):
    work = [Gemm("u", tokens, in_channels, out_channels)]
    cycles = [
        simulate(work, name, Precision.uniform(6), "events", load_technology().with_bandwidth(b), idle="zero").cycles
        for b in (gigabytes, 2 * gigabytes, math.inf)
    ]
    assert cycles == sorted(cycles, reverse=True)


def test_edge_tiles_take_whole_cycles_but_real_bytes():
    whole = simulate([Gemm("qkv", 32, 128, 32)], "anda", Precision.uniform(7))
    edge = simulate([Gemm("qkv", 17, 128, 32)], "anda", Precision.uniform(7))
    assert edge.runs[0].array_cycles == whole.runs[0].array_cycles
    assert edge.dram_bytes < whole.dram_bytes


def test_decode_is_one_row_of_the_array():
    shape = model_shape("LLaMA-7B")
    step = simulate(gemms(shape, phase="decode", tokens=1, context=100), "anda", Precision.uniform(7))
    strip = simulate(gemms(shape, tokens=16), "anda", Precision.uniform(7))
    assert sum(r.array_cycles for r in step.runs) == sum(r.array_cycles for r in strip.runs)


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (lambda: simulate([], "anda", Precision.uniform(7)), "gemms: there are none"),
        (
            lambda: simulate([Gemm("u", 1, 1, 1)], "anda", Precision.uniform(7), level="rtl"),  # type: ignore[arg-type]
            "level: 'rtl'",
        ),
        (
            lambda: simulate([Gemm("u", 1, 1, 1)], "anda", Precision.uniform(7), objective="area"),  # type: ignore[arg-type]
            "objective: 'area'",
        ),
        (
            lambda: simulate([Gemm("attention", 1, 1, 1)], "anda", Precision.uniform(7)),
            "gemm.module: 'attention'",
        ),
        (
            lambda: simulate([Gemm("u", 0, 64, 64)], "anda", Precision.uniform(7)),
            "gemm.tokens: 0",
        ),
    ],
)
def test_bad_input(call: object, expected: str):
    with pytest.raises(InputError) as caught:
        call()  # type: ignore[operator]
    assert str(caught.value).startswith(expected)


def test_heavy_libraries_are_imported_when_needed():
    code = (
        "import sys, anda_codesign.sim as sim; "
        "from anda_codesign.workloads import Gemm, Precision; "
        "sim.simulate([Gemm.parse('4x64x64')], 'anda', Precision.uniform(7)); "
        "print([name for name in ('simpy', 'numba', 'pandas', 'matplotlib') if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
