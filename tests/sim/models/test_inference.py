"""Whole inferences against single simulations at each context, and against formulas written out here."""

import pytest
from anda_codesign.formats import InputError
from anda_codesign.sim import (
    ModelSettings,
    Settings,
    Timeline,
    load_technology,
    prepare,
    run_inference,
    run_model,
    simulate_model,
)
from anda_codesign.workloads import ModelShape, Precision, model_shape
from hypothesis import given, settings
from hypothesis import strategies as st
from small_work import small_llama

PRECISION = Precision(7, 5, 6, 6)


def inference(shape: ModelShape, prompt: int, generate: int, arch: str = "anda", precision=PRECISION, **options):
    setup = prepare(arch, Settings(level=options.pop("level", "analytical")))
    return run_inference(shape, setup, precision, ModelSettings(**options), prompt, generate)


@pytest.mark.parametrize("level", ["analytical", "events"])
@pytest.mark.parametrize("arch", ["anda", "fp-fp", "figna-m8"])
def test_the_sum_of_single_simulations_at_each_context(arch: str, level: str):
    """The prefill gives the first token, and a step of its own each of the other five."""
    shape, batch = small_llama(), 3
    result = inference(shape, 40, 6, arch, batch=batch, level=level)
    prefill = simulate_model(shape, arch, PRECISION, level, tokens=40, batch=batch)
    steps = [
        simulate_model(shape, arch, PRECISION, level, phase="decode", tokens=1, context=40 + step, batch=batch)
        for step in range(5)
    ]
    assert result.ttft_seconds == prefill.seconds
    assert result.cycles == prefill.cycles + sum(step.cycles for step in steps)
    assert result.tpot_seconds["mean"] == pytest.approx(sum(step.seconds for step in steps) / 5)
    assert result.tpot_seconds["last"] == steps[-1].seconds
    assert result.energy_pj.total == pytest.approx(sum(one.energy_pj.total for one in (prefill, *steps)))
    document = result.to_dict()
    assert document["total_seconds"] == pytest.approx(prefill.seconds + sum(step.seconds for step in steps))
    assert document["tokens_per_second"] == pytest.approx(3 * 6 / document["total_seconds"])
    assert document["energy_per_token_pj"] == pytest.approx(document["total_energy_pj"] / 18)


def test_every_step_has_its_own_context():
    """Across the lengths at which a tile and a group of keys begin, and the buffer for keys and values is full."""
    shape = model_shape("LLaMA3-8B")
    result = inference(shape, 4090, 20, "fp-fp")
    assert result.decode is not None
    steps = [
        simulate_model(shape, "fp-fp", PRECISION, phase="decode", tokens=1, context=context)
        for context in range(4090, 4109)
    ]
    rows = {row.name: row for row in result.decode.rows}
    for name, row in rows.items():
        singles = [next(one for one in step.rows if one.name == name) for step in steps]
        assert row.cycles == sum(one.cycles for one in singles)
        assert row.operations == sum(one.operations for one in singles)
        assert row.dram_bytes == pytest.approx(sum(one.dram_bytes for one in singles), abs=len(steps))
        assert row.work.sram.total == sum(one.work.sram.total for one in singles) or row.kind in ("fp-int", "head")
        assert row.energy_pj.total == pytest.approx(sum(one.energy_pj.total for one in singles))
    attention = [next(row.cycles for row in step.rows if row.name == "attention") for step in steps]
    assert attention == sorted(attention)
    assert attention[0] < attention[-1]


def test_one_token_is_the_prefill_alone():
    result = inference(small_llama(), 30, 1)
    assert result.decode is None
    assert result.tpot_seconds == {"mean": None, "last": None}
    assert result.seconds == result.ttft_seconds


@settings(max_examples=25)
@given(st.integers(1, 80), st.integers(1, 30), st.integers(1, 4), st.sampled_from(["anda", "fp-fp", "ifpu"]))
def test_parts_sum_to_totals_and_macs_are_those_of_the_formula(prompt: int, generate: int, batch: int, arch: str):
    shape = small_llama()
    result = inference(shape, prompt, generate, arch, batch=batch)
    assert result.cycles == sum(row.cycles for _, phase in result.phases for row in phase.rows)
    assert result.energy_pj.total == pytest.approx(
        sum(row.energy_pj.total for _, phase in result.phases for row in phase.rows)
    )
    assert result.total.dram_bytes == sum(phase.dram_bytes for _, phase in result.phases)
    hidden, kv, ffn = 240, 80, 500
    block = hidden * (hidden + 2 * kv) + hidden * hidden + 3 * hidden * ffn
    positions = range(1, prompt + generate)  # the last generated token is not read
    attention = sum(2 * hidden * position for position in positions)
    head = generate * hidden * 100
    assert result.total.macs == batch * (3 * (len(positions) * block + attention) + head)


@settings(max_examples=25)
@given(st.integers(1, 60), st.integers(1, 12), st.sampled_from(["anda", "fp-fp", "figna"]))
def test_every_bound_works_no_longer_than_its_part(prompt: int, generate: int, arch: str):
    for _, phase in inference(small_llama(), prompt, generate, arch).phases:
        for row in phase.rows:
            assert row.bound in ("compute", "dram", "sram port", "vector unit")
            assert 0 <= row.utilisation <= 1
            assert row.busy.longest <= row.cycles + 1 or row.name == "softmax"


def test_the_bound_of_each_kind_of_part():
    """Compute where tokens reuse weights; DRAM where few bits a cycle come and one token uses each weight."""
    from anda_codesign.sim import load_technology

    shape, slow = model_shape("OPT-1.3B"), load_technology().with_bandwidth(4)
    fast_rows = simulate_model(shape, "anda", PRECISION, tokens=512).rows
    slow_rows = simulate_model(shape, "anda", PRECISION, technology=slow, phase="decode", tokens=1, context=500).rows
    assert {row.name: row.bound for row in fast_rows}["u"] == "compute"
    assert {row.name: row.bound for row in slow_rows}["u"] == "dram"
    short = simulate_model(shape, "anda", Precision.uniform(1), tokens=512).rows
    assert {row.name: row.bound for row in short}["u"] == "sram port", "two cycles of planes, four of weights"


def test_a_precision_for_each_layer():
    """Two layers of one precision before one of another: results of d are compressed for the layer after."""
    shape, low, high = small_llama(), Precision(4, 5, 6, 7), Precision(9, 5, 6, 7)
    mixed = inference(shape, 33, 4, precision=[low, low, high])
    equal = [inference(shape, 33, 4, precision=one) for one in (low, high)]
    cycles = {name: next(row.cycles for row in mixed.rows if row.name == name) for name in ("o", "u", "qkv")}
    for name, taken in cycles.items():
        singles = [next(row.cycles for row in one.rows if row.name == name) for one in equal]
        assert taken == (2 * singles[0] + singles[1]) / 3
    runs = [run for run in mixed.prefill.gemms.runs if run.gemm.module == "d"]
    assert [(run.mapped.result_mantissa_bits, run.gemm.repeat) for run in runs] == [(4, 1), (9, 1), (9, 1)]
    assert inference(shape, 33, 4, precision=[low] * 3).rows == equal[0].rows
    with pytest.raises(InputError, match=r"^precision: 2 layers have one and small has 3 layers"):
        inference(shape, 33, 4, precision=[low, high])


def test_the_decode_of_a_model_equals_a_run_of_its_steps():
    shape = small_llama()
    setup = prepare("anda", Settings())
    decode = run_model(shape, setup, PRECISION, ModelSettings(phase="decode", tokens=7, context=20))
    assert inference(shape, 20, 8).decode == decode


@pytest.mark.parametrize(("prompt", "generate", "field"), [(0, 3, "prompt"), (3, 0, "generate")])
def test_bad_input(prompt: int, generate: int, field: str):
    with pytest.raises(InputError, match=f"^{field}: 0 is not valid"):
        inference(small_llama(), prompt, generate)


def test_too_many_steps():
    with pytest.raises(InputError, match=r"^generate: 16,777,215 decode steps are too many"):
        inference(small_llama(), 1, 16_777_215)
    with pytest.raises(InputError, match=r"^tokens: 300,000 decode steps are too many"):
        run_model(small_llama(), prepare("anda", Settings()), PRECISION, ModelSettings(phase="decode", tokens=300_000))


def test_a_timeline_holds_every_step_once():
    timeline = Timeline(285e6)
    setup = prepare("anda", Settings(level="events", timeline=timeline))
    run_inference(small_llama(), setup, PRECISION, ModelSettings(), 10, 4)
    names = [event["name"] for event in timeline.to_chrome()["traceEvents"] if event["ph"] == "X" and event["tid"] == 0]
    assert names.count("attention") == 1 + 3


@settings(max_examples=25)
@given(
    st.integers(1, 60),
    st.integers(1, 8),
    st.integers(1, 3),
    st.tuples(*[st.integers(2, 13)] * 4),
    st.sampled_from([None, 11, 7]),
    st.floats(0.5, 300),
)
def test_more_bandwidth_fewer_bits_and_a_shorter_answer_cost_no_more(
    prompt: int, generate: int, batch: int, bits: tuple[int, int, int, int], cache: int | None, gigabytes: float
):
    kv_cache = "fp16" if cache is None else f"anda:{cache}"

    def run(factor: float = 1, less: int = 0, shorter: int = 0):
        technology = load_technology().with_bandwidth(factor * gigabytes)
        setup = prepare("anda", Settings(technology=technology))
        precision = Precision(*(max(own - less, 1) for own in bits))
        asked = ModelSettings(batch=batch, kv_cache=kv_cache)
        return run_inference(small_llama(), setup, precision, asked, prompt, max(generate - shorter, 1))

    base = run()
    assert run(factor=3).cycles <= base.cycles
    for other in (run(less=1), run(shorter=1)):
        assert other.cycles <= base.cycles
        assert other.total.dram_bytes <= base.total.dram_bytes
        assert other.energy_pj.total <= base.energy_pj.total * (1 + 1e-12)
