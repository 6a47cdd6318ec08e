import json

import pytest
from anda_codesign.formats import InputError
from anda_codesign.sim import architecture_names, load_architecture, simulate, simulate_model
from anda_codesign.sim.analytical.attention import attention_work
from anda_codesign.sim.analytical.vector import PROGRAMS, layer_work, row_cost
from anda_codesign.sim.analytical.vector_work import Scores
from anda_codesign.sim.config.kv_cache import KvCache
from anda_codesign.workloads import Precision, bops_saving, gemms, model_names, model_shape
from cases import each
from hypothesis import given, settings
from hypothesis import strategies as st
from small_work import small_llama

PRECISION = Precision(7, 5, 6, 6)
PUBLISHED_MODELS = [
    "OPT-1.3B", "OPT-2.7B", "OPT-6.7B", "OPT-13B", "OPT-30B", "LLaMA-7B", "LLaMA-13B", "LLaMA2-7B", "LLaMA2-13B",
]  # fmt: skip


def up(number: int, step: int) -> int:
    return -(-number // step)


@settings(max_examples=40)
@given(
    st.integers(1, 90),
    st.integers(0, 200),
    st.integers(1, 3),
    st.sampled_from([(6, 2), (6, 6), (4, 1)]),
    st.sampled_from([16, 40, 64, 130]),
    st.sampled_from(["anda", "fp-fp", "figna-m8"]),
)
def test_attention_against_counting_row_by_row(
    tokens: int, context: int, batch: int, heads: tuple[int, int], head_dim: int, name: str
):
    """Every query row, strip, key tile and group, in plain loops."""
    shape, machine = small_llama(*heads, head_dim), load_architecture(name)
    cache = KvCache()
    work = attention_work(shape, machine, cache, tokens, context, batch, 6)
    queries = [token for token in range(tokens) for _ in range(heads[0] // heads[1])]
    macs = scores = groups = 0
    for start in range(0, len(queries), 16):
        strip = queries[start : start + 16]
        for token in strip:
            scores += context + token + 1
            macs += 2 * (context + token + 1) * head_dim
        keys = context + strip[-1] + 1
        groups += up(keys, 16) * up(head_dim, 64) + up(head_dim, 16) * up(keys, 64)
    times = batch * heads[1]
    group_cycles = {"anda": 3 * 12, "fp-fp": 16, "figna-m8": 3 * 8}[name]
    assert work.macs == times * macs
    assert work.scores == times * scores
    assert work.rows == times * len(queries)
    assert work.array_cycles == times * groups * group_cycles


def test_attention_traffic_by_hand():
    """One head of 64 channels, 32 tokens after 96: all in FP16, keys and values fit their buffer."""
    shape = small_llama(heads=1, kv_heads=1, head_dim=64)
    work = attention_work(shape, load_architecture("fp-fp"), KvCache(), 32, 96, 1, 16)
    row = 64 * 16
    assert work.dram_bits == 32 * row + 2 * 128 * row + 32 * row
    keys = [96 + 16, 96 + 32]
    assert work.sram.weight_writes == 2 * 128 * row
    assert work.sram.weight_reads == sum(2 * k * row for k in keys)
    queries, scores = (sum(16 * k // 16 * row for k in keys), sum(16 * k * 16 for k in keys))
    assert work.sram.activation_reads == queries + scores + 4 * scores + 32 * row
    assert work.sram.activation_writes == 32 * row + scores + scores + 32 * row


def test_keys_and_values_that_do_not_fit_come_for_each_tile_of_queries():
    shape = small_llama(heads=8, kv_heads=1, head_dim=64)
    machine = load_architecture("fp-fp")
    fits, exceeds = (attention_work(shape, machine, KvCache(), 1000, c, 1, 16) for c in (3096, 3097))
    row = 64 * 16  # 4096 keys and values fill 1 MiB; half of 1152 KiB holds 4608 of the 8000 queries
    assert fits.dram_bits == (2 * 8000 + 2 * 4096) * row
    assert exceeds.dram_bits == (2 * 8000 + 2 * 2 * 4097) * row


@pytest.mark.parametrize(("text", "digits"), [("fp16", 3), ("anda:11", 3), ("anda:7", 2), ("anda:3", 1)])
def test_digits_of_keys_and_values(text: str, digits: int):
    """A sign and M bits in 4-bit digits, at the cycles of a group each."""
    anda = load_architecture("anda")
    cache = KvCache.parse(text)
    shape = small_llama(heads=1, kv_heads=1, head_dim=64)
    work = attention_work(shape, anda, cache, 16, 0, 1, 6)
    groups = 1 * 1 + 4 * 1
    assert work.array_cycles == groups * digits * max(cache.mantissa_bits + 1, 4)


def test_cache_in_anda_moves_fewer_bits():
    shape = model_shape("LLaMA3-8B")
    runs = {
        text: simulate_model(shape, "anda", PRECISION, phase="decode", tokens=2, context=4000, kv_cache=text)
        for text in KV_FORMATS
    }
    attention = [next(r for r in run.rows if r.name == "attention") for run in runs.values()]
    assert [row.dram_bytes for row in attention] == sorted((r.dram_bytes for r in attention), reverse=True)
    assert [row.cycles for row in attention] == sorted((r.cycles for r in attention), reverse=True)
    qkv = [run.gemms.runs[0].traffic.results for run in runs.values()]
    assert qkv == sorted(qkv, reverse=True)


KV_FORMATS = ["fp16", "anda:11", "anda:7", "anda:5"]


def test_vector_work_by_hand():
    """Three tokens of a gated model with 240 hidden and 500 FFN channels, 18 query rows of 100 scores in 20 vectors."""
    work = {w.name: w for w in layer_work(small_llama(), 3, Scores(18, 100, 20), 64)}
    reduction, scalar, load = 8, 5, 1  # beyond the vectors: fold of 64 lanes; a scalar of scalars; a constant
    rms, activation = reduction + load + scalar + load + scalar, load
    assert {name: w.cycles for name, w in work.items()} == {
        "norms": 2 * 3 * (3 * 4 + rms),
        "softmax": 4 * 20 + 18 * (2 * reduction + load + 2 * scalar),
        "activation": 3 * (6 * 8 + activation),
        "residuals": 2 * 3 * 4,
        "rotation": 3 * 3 * 5,
    }
    assert {name: w.total for name, w in work.items()} == {
        "norms": 2 * 3 * (3 * 240 + 4),
        "softmax": 4 * 100 + 18 * 3,
        "activation": 3 * (6 * 500 + 1),
        "residuals": 2 * 3 * 240,
        "rotation": 3 * 3 * (240 + 80),
    }
    opt = {w.name: w for w in layer_work(model_shape("OPT-125M"), 1, Scores(12, 12, 12), 64)}
    assert "rotation" not in opt
    assert opt["norms"].cycles == 2 * (6 * 12 + load + reduction + rms)
    assert opt["activation"].cycles == 48


@given(
    st.sampled_from(["softmax", "rms_norm", "layer_norm", "gated_silu", "relu", "residual", "rotation"]),
    st.integers(1, 5000),
)
def test_rows_cost_what_their_programs_take(name: str, channels: int):
    """Passes over the row and a constant: the cycles of `formats.vector.programs` at any length."""
    cost, program = row_cost(name, 64), PROGRAMS[name](channels, 64)
    assert cost.passes * up(channels, 64) + cost.cycles == program.cycles(64)
    assert cost.passes + cost.scalars == len(program.steps)


@each("name", architecture_names())
@pytest.mark.parametrize("phase", ["prefill", "decode"])
def test_parts_of_a_model_sum_to_its_totals(name: str, phase: str):
    shape = model_shape("LLaMA-7B")
    result = simulate_model(shape, name, PRECISION, phase=phase, tokens=8, context=100)
    alone = simulate(gemms(shape, phase, tokens=8, context=100), name, PRECISION)
    fp_int = [row for row in result.rows if row.kind == "fp-int"]
    assert sum(row.cycles for row in fp_int) == alone.cycles == result.gemms.cycles
    assert sum(row.dram_bytes for row in fp_int) == alone.dram_bytes
    assert sum(row.energy_pj.total for row in fp_int) == pytest.approx(alone.energy_pj.total)
    assert result.cycles == sum(row.cycles for row in result.rows)
    assert result.seconds == pytest.approx(result.cycles / 285e6)
    assert result.energy_pj.total == pytest.approx(sum(row.energy_pj.total for row in result.rows))
    assert sum(result.cycle_share(kind) for kind in ("fp-int", "attention", "vector")) == pytest.approx(1)


@pytest.mark.parametrize("unit", ["fp16", "integer"])
def test_integers_do_more_and_cheaper_operations(unit: str):
    """Steps of one score of the integer softmax, written out: each of DI-ClippedSoftmax's lines."""
    work = {w.name: w for w in layer_work(small_llama(), 3, Scores(18, 100, 20), 64, unit)}  # type: ignore[arg-type]
    more = {w.name: w for w in layer_work(small_llama(), 3, Scores(18, 101, 20), 64, unit)}  # type: ignore[arg-type]
    score = {kind: more["softmax"].operations[kind] - count for kind, count in work["softmax"].operations.items()}
    clip, requantise, subtract, exponential, accumulate, quotient = 2, 7, 1, 6, 1, 3
    add = clip + requantise + subtract + exponential + accumulate + quotient
    assert score == {"fp16": {"fp16": 4}, "integer": {"add": add, "multiply": 4}}[unit]
    extra = {"fp16": set(), "integer": {"dyadic products", "requantisation"}}[unit]
    assert set(work) - {"norms", "softmax", "activation", "residuals", "rotation"} == extra


def test_integer_vector_work_by_hand():
    """Three tokens, 240 hidden, 80 key channels, 500 FFN channels, six heads of which two hold keys; 18 rows."""
    work = {w.name: w.operations for w in layer_work(small_llama(), 3, Scores(18, 100, 20), 64, "integer")}
    qkv, hidden, ffn, attended = 3 * 400, 3 * 240, 3 * 500, 18 * 40
    division = 32
    assert work["residuals"] == {"add": 2 * hidden * 9, "multiply": 2 * hidden}
    assert work["rotation"] == {"add": 3 * (hidden + 240), "multiply": 2 * (hidden + 240)}
    assert work["norms"] == {"add": 2 * (hidden * 5 + 3 * 3 * division), "multiply": 2 * hidden * 3}
    assert work["activation"] == {"add": ffn * (1 + 6 + 5 + 16), "multiply": ffn * 5}
    products = qkv + hidden + 2 * ffn + hidden + 100 + attended
    assert work["dyadic products"] == {"add": products, "multiply": 2 * products}
    values = 2 * hidden + qkv + 3 * ffn + attended
    rows = 3 * (2 + 6 + 4 + 3 + 1)
    assert work["requantisation"] == {"add": 7 * values + rows * (2 * division + 2), "multiply": values + 2 * rows}
    opt = {w.name: w.operations for w in layer_work(model_shape("OPT-125M"), 1, Scores(12, 12, 12), 64, "integer")}
    assert opt["norms"] == {"add": 2 * (768 * 8 + 3 * division), "multiply": 2 * 768 * 3}
    assert opt["activation"] == {"add": 3072, "multiply": 0}


def test_integer_vector_unit_of_a_model():
    """More lane cycles than in FP16, all else equal."""
    shape = model_shape("LLaMA-7B")
    half, integer = (simulate_model(shape, "anda", PRECISION, tokens=64, vector_unit=u) for u in ("fp16", "integer"))
    assert integer.gemms == half.gemms
    lanes = [sum(row.cycles for row in run.rows if row.kind == "vector") for run in (half, integer)]
    assert lanes[1] > 2 * lanes[0]
    costs = half.gemms.costs.vector_pj
    assert costs["add"] < costs["fp16"] < costs["multiply"]


def test_decode_steps_add_up():
    shape = model_shape("OPT-1.3B")
    whole = simulate_model(shape, "anda", PRECISION, phase="decode", tokens=3, context=50)
    steps = [simulate_model(shape, "anda", PRECISION, phase="decode", tokens=1, context=50 + i) for i in range(3)]
    assert whole.cycles == sum(step.cycles for step in steps)
    assert whole.energy_pj.total == pytest.approx(sum(step.energy_pj.total for step in steps))


def test_a_batch_shares_the_weights():
    """Sixteen sequences fill the rows of the array: decode takes as long as for one, and fetches the weights once."""
    shape = model_shape("OPT-1.3B")
    one, sixteen = (
        simulate_model(shape, "anda", PRECISION, phase="decode", tokens=1, context=64, batch=b).gemms for b in (1, 16)
    )
    assert [r.array_cycles for r in one.runs] == [r.array_cycles for r in sixteen.runs]
    assert [r.traffic.weights for r in one.runs] == [r.traffic.weights for r in sixteen.runs]
    attention = [
        simulate_model(shape, "anda", PRECISION, phase="decode", tokens=1, context=64, batch=b).rows[4] for b in (1, 16)
    ]
    assert attention[1].cycles == pytest.approx(16 * attention[0].cycles, rel=0.01)
    assert attention[1].operations == 16 * attention[0].operations


@pytest.mark.parametrize("name", PUBLISHED_MODELS)
def test_fp_int_gemms_are_most_of_the_work(name: str):
    """Fig. 2 of the Anda paper: over 90 % of the operations below 4K tokens; all nine models at 2048."""
    assert simulate_model(model_shape(name), "fp-fp", PRECISION, tokens=2048).fp_int_share > 0.9


@each("name", [n for n in model_names() if n not in ("OPT-125M", "SmolLM2-135M")])
def test_share_falls_with_the_context(name: str):
    shares = [simulate_model(model_shape(name), "fp-fp", PRECISION, tokens=t).fp_int_share for t in (512, 4096, 16384)]
    assert shares == sorted(shares, reverse=True)
    assert shares[0] > 0.95


def test_events_do_the_same_work():
    """Equal operations, bytes and groups; the array's energy too."""
    shape = small_llama()
    closed, events = (simulate_model(shape, "anda", PRECISION, tokens=32, level=level) for level in LEVELS)
    assert events.level == events.gemms.level == "events"
    for one, other in zip(closed.other_rows, events.other_rows, strict=True):
        assert (one.name, one.operations, one.work, one.groups) == (
            other.name,
            other.operations,
            other.work,
            other.groups,
        )
        assert one.energy_pj == other.energy_pj
    assert events.gemms.cycles > closed.gemms.cycles


LEVELS = ("analytical", "events")


def test_to_dict_is_plain_json():
    data = simulate_model(model_shape("SmolLM2-135M"), "anda", PRECISION, tokens=64).to_dict()
    assert json.loads(json.dumps(data)) == data
    assert list(data) == [
        "model", "arch", "level", "cycles", "seconds", "macs", "fp_int_share", "dram_bytes", "sram_bytes", "energy_pj",
        "area_mm2", "rows",
    ]  # fmt: skip
    assert bops_saving(model_shape("SmolLM2-135M"), PRECISION) > 2


def test_bad_input():
    cases = (
        ({"batch": 0}, "batch: 0 is not valid"),
        ({"kv_cache": "int8"}, "kv_cache: 'int8' is unknown"),
        ({"kv_cache": "anda:17"}, "kv_cache: 'anda:17' is unknown"),
        ({"kv_cache": "anda:7", "architecture": "fp-fp"}, "kv_cache: fp-fp has no compressor"),
        ({"phase": "train"}, "phase: 'train' "),
        ({"vector_unit": "bf16"}, "vector_unit: 'bf16' "),
    )
    for arguments, expected in cases:
        with pytest.raises(InputError, match=f"^{expected}"):
            simulate_model(model_shape("OPT-125M"), **{"architecture": "anda", "precision": PRECISION, **arguments})  # type: ignore[arg-type]
