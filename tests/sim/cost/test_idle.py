"""Power of idle elements, against counts of lanes and cycles made independently."""

import math
from itertools import product

import pytest
from anda_codesign.formats import InputError
from anda_codesign.sim import (
    architecture_names,
    explain,
    load_architecture,
    load_technology,
    load_weights,
    simulate,
    simulate_model,
    technology_names,
)
from anda_codesign.sim.analytical.attention import attention_work
from anda_codesign.sim.config.kv_cache import KvCache
from anda_codesign.workloads import Gemm, Precision, model_shape
from cases import each
from hypothesis import given, settings
from hypothesis import strategies as st

SEVEN = Precision.uniform(7)
MODES = ("zero", "measured", "full")
sizes = st.builds(Gemm, st.just("u"), st.integers(1, 70), st.integers(1, 700), st.integers(1, 90))
names = st.sampled_from(architecture_names())
gigabytes = st.sampled_from([0.5, 5.0, 50.0, 256.0, math.inf])


def compute(gemm: Gemm, name: str, idle: str, bandwidth: float = 256.0, **options: object) -> float:
    technology = load_technology().with_bandwidth(bandwidth)
    return simulate([gemm], name, SEVEN, technology=technology, idle=idle, **options).energy_pj.compute  # type: ignore[arg-type]


def lanes_in_use(tokens: int, channels: int, outputs: int) -> int:
    """Lanes with a token, a channel and an output channel, counted tile by tile and group by group."""
    used = 0
    for row, column, group in product(range(0, tokens, 16), range(0, outputs, 16), range(0, channels, 64)):
        used += min(16, tokens - row) * min(16, outputs - column) * min(64, channels - group)
    return used


@settings(max_examples=60)
@given(sizes, gigabytes, st.sampled_from(["fp-fp", "fp-int", "figna", "anda", "ifpu", "figna-m8"]))
def test_by_hand(gemm: Gemm, bandwidth: float, name: str):
    """Each lane takes its share of the element's power at work, and a ratio of it in every other cycle."""
    run = simulate([gemm], name, SEVEN, technology=load_technology().with_bandwidth(bandwidth))
    ratio = load_technology().element(name).power_idle
    assert ratio is not None
    priced, worked = {"anda": (8, 8), "figna-m8": (16, 8)}.get(name, (16, 16))  # cycles of a group: paid, and taken
    passes = math.ceil(gemm.tokens / 16) * math.ceil(gemm.out_channels / 16) * math.ceil(gemm.in_channels / 64)
    lane_pj = run.costs.array_pj_per_cycle / (16 * 16 * 64)
    used = lanes_in_use(gemm.tokens, gemm.in_channels, gemm.out_channels) * priced
    idle = passes * priced * 16 * 16 * 64 - used + (run.cycles - passes * worked) * 16 * 16 * 64
    assert run.energy_pj.idle == pytest.approx(lane_pj * ratio.value * idle)
    support = run.runs[0].array_cycles * math.fsum(run.costs.support_pj_per_cycle.values())
    assert run.energy_pj.compute == pytest.approx(lane_pj * used + run.energy_pj.idle + support)


@given(sizes, names, gigabytes, st.booleans())
def test_zero_measured_full(gemm: Gemm, name: str, bandwidth: float, gating: bool):
    zero, measured, full = (
        compute(gemm, name, mode, bandwidth, clock_gating=gating and mode != "zero") for mode in MODES
    )
    assert zero <= measured <= full
    whole = Gemm("u", 16 * math.ceil(gemm.tokens / 16), 64 * math.ceil(gemm.in_channels / 64), 16)
    assert compute(whole, name, "measured", bandwidth) == compute(whole, name, "full", bandwidth)


@given(sizes, names, st.sampled_from(MODES), gigabytes, st.integers(1, 70))
def test_fewer_tokens_never_cost_more(gemm: Gemm, name: str, idle: str, bandwidth: float, tokens: int):
    fewer = Gemm("u", min(tokens, gemm.tokens), gemm.in_channels, gemm.out_channels)
    assert compute(fewer, name, idle, bandwidth) <= compute(gemm, name, idle, bandwidth) * (1 + 1e-12)


def test_a_decode_step_of_the_issue():
    """4096 x 4096: as published one token costs what 16 cost; only used rows make a sixteenth."""
    one, sixteen = (Gemm("u", tokens, 4096, 4096) for tokens in (1, 16))
    assert compute(one, "fp-fp", "full") == pytest.approx(compute(sixteen, "fp-fp", "full"), rel=1e-5)
    assert compute(one, "fp-fp", "full") == pytest.approx(250.7e6, rel=2e-4)
    assert compute(one, "fp-fp", "measured") < 0.2 * compute(one, "fp-fp", "full")
    support = 262144 * math.fsum(simulate([one], "fp-fp", SEVEN).costs.support_pj_per_cycle.values())
    array = compute(sixteen, "fp-fp", "zero") - support
    assert compute(one, "fp-fp", "zero") == pytest.approx(array / 16 + support)


@each("level", ["analytical", "events", "cycle"])
def test_every_level_counts_alike(level: str):
    work = [Gemm("u", 9, 300, 40)]
    runs = {mode: simulate(work, "anda", SEVEN, level, idle=mode) for mode in MODES}  # type: ignore[arg-type]
    gated = simulate(work, "anda", SEVEN, level, clock_gating=True)  # type: ignore[arg-type]
    assert runs["zero"].energy_pj.idle == 0 < gated.energy_pj.idle < runs["measured"].energy_pj.idle
    assert runs["measured"].energy_pj.idle < runs["full"].energy_pj.idle
    for run in (*runs.values(), gated):
        works = [row.total for row in explain(run) if row.part == "compute"]
        assert math.fsum(works) == pytest.approx(run.energy_pj.compute)
        assert run.energy_pj.compute - run.energy_pj.idle == pytest.approx(runs["zero"].energy_pj.compute)


@each("technology", technology_names())
def test_every_element_has_measured_idle_power(technology: str):
    for kind, element in load_technology(technology).elements.items():
        assert element.power_idle is not None and element.power_gated is not None, kind
        assert 0 < element.power_gated.value < element.power_idle.value < 1
        assert "rtl/synthesis/results/idle/" in element.power_idle.source


def test_a_technology_without_idle_power_counts_full_and_says_so():
    technology = load_technology()
    bare = {kind: e.model_copy(update={"power_idle": None}) for kind, e in technology.elements.items()}
    own = technology.model_copy(update={"elements": bare})
    work = [Gemm("u", 3, 100, 40)]
    measured, full = (simulate(work, "fp-fp", SEVEN, technology=own, idle=mode) for mode in ("measured", "full"))  # type: ignore[arg-type]
    assert measured.energy_pj.compute == full.energy_pj.compute
    assert any(
        note.startswith("idle: technology paper-16nm has no idle power of fp-fp") for note in measured.costs.notes
    )
    assert not full.costs.notes


@settings(max_examples=40)
@given(st.integers(1, 40), st.integers(0, 60), st.integers(1, 2), st.sampled_from(["fp-fp", "anda"]))
def test_attention_counts_the_lanes_that_hold_operands(tokens: int, context: int, batch: int, name: str):
    """Strips of 16 query rows times the keys up to the last row's, both products, token by token."""
    shape = model_shape("SmolLM2-135M")
    machine = load_architecture(name)
    work = attention_work(shape, machine, KvCache.parse("fp16"), tokens, context, batch, 7)
    shared, channels = shape.heads // shape.kv_heads, shape.head_dim
    rows = [context + row // shared + 1 for row in range(tokens * shared)]
    used = 0
    for start in range(0, len(rows), 16):
        strip = rows[start : start + 16]
        used += 2 * len(strip) * strip[-1] * channels
    heads = batch * shape.kv_heads
    assert work.products == heads * used >= work.macs
    assert work.products <= work.groups * 16 * 16 * 64


def test_a_whole_model_sums_its_parts_and_waits_beside_the_vector_unit():
    run = simulate_model(model_shape("OPT-125M"), "anda", SEVEN, phase="decode", tokens=2, context=5)
    assert run.energy_pj.idle == pytest.approx(math.fsum(row.energy_pj.idle for row in run.rows))
    pj = run.gemms.costs.idle.waiting_pj_per_cycle
    for row in run.rows:
        if row.kind == "vector":
            assert row.energy_pj.idle == pytest.approx(row.cycles * pj)
    assert math.fsum(r.total for r in explain(run) if r.part == "compute") == pytest.approx(run.energy_pj.compute)
    zero, full = (
        simulate_model(model_shape("OPT-125M"), "anda", SEVEN, phase="decode", tokens=2, context=5, idle=mode)
        for mode in ("zero", "full")
    )
    assert zero.energy_pj.compute < run.energy_pj.compute < full.energy_pj.compute


def test_the_side_unit_idles_too():
    """All tiles as published; used products, idle lanes and waiting lanes otherwise."""
    weights, gemm = load_weights("squeezellm-4"), Gemm("u", 5, 1000, 40)
    zero, measured, full = (
        simulate([gemm], "fp-fp", SEVEN, weights=weights, idle=mode)
        for mode in MODES  # type: ignore[arg-type]
    )
    sparse = math.ceil(1000 * 0.0045)
    used, whole = 5 * 40 * sparse, 3 * 16 * 16 * sparse
    pj, ratio = full.costs.idle.side_pj, load_technology().element("fp-fp").power_idle
    assert ratio is not None
    plain = [simulate([gemm], "fp-fp", SEVEN, idle=mode).energy_pj.compute for mode in MODES]  # type: ignore[arg-type]
    waiting = (64 * full.cycles - whole) * pj * ratio.value
    assert zero.energy_pj.compute - plain[0] == pytest.approx(used * pj)
    assert full.energy_pj.compute - plain[2] == pytest.approx(whole * pj + waiting, rel=0.01)
    assert measured.energy_pj.compute - plain[1] == pytest.approx(
        used * pj + (whole - used) * pj * ratio.value + waiting, rel=0.01
    )


def test_refused():
    with pytest.raises(InputError, match=r"^idle: 'half'"):
        simulate([Gemm("u", 1, 64, 16)], "anda", SEVEN, idle="half")  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"^clock_gating: idle zero "):
        simulate([Gemm("u", 1, 64, 16)], "anda", SEVEN, idle="zero", clock_gating=True)
