import json
from typing import Any, get_args

import pytest
from anda_codesign.formats import InputError
from anda_codesign.sim import architecture_names, load_architecture, load_technology, simulate, simulate_model
from anda_codesign.sim.analytical.attention import attention_work
from anda_codesign.sim.analytical.vector import PROGRAMS, layer_work, row_cost
from anda_codesign.sim.analytical.vector_work import Scores
from anda_codesign.sim.config.architecture import BufferConfig
from anda_codesign.sim.config.array import Array
from anda_codesign.sim.config.kv_cache import KvCache
from anda_codesign.sim.models.rows import Kind
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
    assert work.array_cycles == groups * digits * max(cache.operand_bits(anda) + 1, 4)


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
    assert sum(result.cycle_share(kind) for kind in get_args(Kind)) == pytest.approx(1)


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
    closed, events = (simulate_model(shape, "anda", PRECISION, tokens=32, level=level, idle="zero") for level in LEVELS)
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


PUBLISHED: dict[str, Any] = {"vector_traffic": "none", "head": "none"}


@settings(max_examples=40)
@given(
    st.sampled_from(["anda", "fp-fp", "figna-m8", "ifpu"]),
    st.sampled_from([4, 16, 32, 128]),
    st.sampled_from(["prefill", "decode"]),
    st.integers(1, 40),
    st.integers(0, 200),
    st.integers(1, 3),
    st.sampled_from(["fp16", "integer"]),
    st.booleans(),
    st.floats(1, 2000),
)
def test_the_closed_form_is_a_lower_bound_of_events(
    name: str, size: int, phase: str, tokens: int, context: int, batch: int, unit: str, whole: bool, gigabytes: float
):
    """Part by part but the attention with its softmax, which events may divide in another way; any size of array."""
    machine = load_architecture(name)
    port = {"capacity": "1 MiB", "port": f"{max(1024, size * 64)} bit"}
    machine = machine.model_copy(
        update={"array": Array(rows=size, columns=size), "activation_buffer": BufferConfig.model_validate(port)}
    )
    technology = load_technology().with_bandwidth(gigabytes)
    options: dict[str, Any] = {"phase": phase, "tokens": min(tokens, 6) if phase == "decode" else tokens}
    options |= {"context": context, "batch": batch, "vector_unit": unit, "technology": technology}
    options |= {} if whole else PUBLISHED
    closed, events = (
        {
            row.name: row
            for row in simulate_model(small_llama(), machine, PRECISION, level=level, mapping="nothing", **options).rows
        }
        for level in LEVELS
    )
    assert list(closed) == list(events)
    scores = [sum(rows[name].cycles for name in ("attention", "softmax")) for rows in (closed, events)]
    assert scores[0] <= scores[1]
    for part in set(closed) - {"attention", "softmax"}:
        assert closed[part].cycles <= events[part].cycles
        assert closed[part].dram_bytes == events[part].dram_bytes
        assert closed[part].operations == events[part].operations


def test_a_large_array_hides_behind_the_softmax():
    """At 128 x 128 the softmax takes longer than the array; the closed form is still below the events, and close."""
    machine = load_architecture("fp-fp").model_copy(update={"array": Array(rows=128, columns=128)})
    closed, events = (
        {row.name: row.cycles for row in simulate_model(SMOLLM2, machine, PRECISION, level=level, tokens=512).rows}
        for level in LEVELS
    )
    assert closed["softmax"] > closed["attention"]
    sums = [rows["attention"] + rows["softmax"] for rows in (closed, events)]
    assert 0.9 * sums[1] < sums[0] <= sums[1]


SMOLLM2 = model_shape("SmolLM2-135M")


def test_what_the_vector_unit_loads_and_stores_adds_up():
    """Every tensor between two parts of a layer: as many bits are loaded as were stored."""
    shape, tokens, steps = model_shape("LLaMA-7B"), 24, 1
    result = simulate_model(shape, "anda", PRECISION, tokens=tokens // 2, batch=2, kv_cache="anda:8")
    runs = {run.gemm.module: run.traffic.tensor_bits for run in result.gemms.runs}
    rows = {row.name: row.dram_bytes * 8 // (32 * tokens * steps) for row in result.rows}
    anda = {m: (m + 1) * 64 + 5 for m in (5, 6, 7, 8)}
    stream = 4096 * 16
    assert runs["u"]["results"] == tokens * 22016 // 64 * anda[6]
    assert runs["d"]["activations"] == tokens * 11008 // 64 * anda[6]
    assert rows["activation"] == (runs["u"]["results"] + runs["d"]["activations"]) // tokens
    assert rows["norms"] == 2 * stream + (runs["qkv"]["activations"] + runs["u"]["activations"]) // tokens
    assert rows["residuals"] == 4 * stream + (runs["o"]["results"] + runs["d"]["results"]) // tokens
    assert rows["rotation"] == 2 * 2 * 4096 // 64 * anda[8]
    assert rows["softmax"] == 0


def test_buffer_accesses_of_a_norm_by_hand():
    """RMS norm: three passes read, two write; the stream comes in and the compressed result goes out."""
    shape = small_llama()
    norms = next(r for r in simulate_model(shape, "fp-fp", PRECISION, tokens=5).rows if r.name == "norms")
    values = 3 * 2 * 5 * 240
    assert norms.work.sram.activation_reads == 16 * (3 * values + values)
    assert norms.work.sram.activation_writes == 16 * (2 * values + values)
    assert norms.work.dram_bits == 16 * 2 * values


def test_the_published_scope_leaves_it_all_out():
    result = simulate_model(small_llama(), "anda", PRECISION, tokens=5, **PUBLISHED)
    assert {row.kind for row in result.rows} == {"fp-int", "attention", "vector"}
    vector = [row for row in result.rows if row.kind == "vector"]
    assert all(row.dram_bytes == row.sram_bytes == 0 for row in vector)


@pytest.mark.parametrize("phase", ["prefill", "decode"])
@pytest.mark.parametrize("name", ["anda", "fp-fp"])
def test_the_head_gives_logits_of_the_last_token_of_each_sequence(name: str, phase: str):
    result = simulate_model(small_llama(), name, PRECISION, phase=phase, tokens=8, batch=3)
    rows = {row.name: row for row in result.rows}
    logits = 3 * (1 if phase == "prefill" else 8)
    assert rows["head"].operations == logits * 240 * 100
    assert rows["final norm"].operations == logits * (3 * 240 + 4)
    assert rows["embedding"].dram_bytes == 2 * 8 * 3 * 240 * 2, "a row of the table in, the stream out"
    assert result.head is not None
    assert result.head.traffic.tensor_bits["weights"] == 100 * 240 * 16
    assert result.head.mapped.mantissa_bits == {"anda": 11, "fp-fp": 16}[name]
    assert result.head.mapped.group_cycles == {"anda": 3 * 12, "fp-fp": 16}[name]
    assert result.macs == sum(row.operations for row in rows.values() if row.kind in ("fp-int", "attention", "head"))


def test_shares_of_the_head():
    """SmolLM2's head has 27 % of the MACs of its blocks; LLaMA3-8B's head adds 29 % to the decode traffic of the blocks."""
    small = simulate_model(SMOLLM2, "fp-fp", PRECISION, phase="decode", tokens=1)
    large = simulate_model(model_shape("LLaMA3-8B"), "fp-fp", PRECISION, phase="decode", tokens=1)
    heads = [next(row for row in result.rows if row.name == "head") for result in (small, large)]
    assert heads[0].operations / small.gemms.macs == pytest.approx(0.27, abs=0.005)
    assert heads[1].dram_bytes / large.gemms.dram_bytes == pytest.approx(0.29, abs=0.005)


def test_a_quantised_head_takes_less():
    int4, fp16 = (simulate_model(SMOLLM2, "anda", PRECISION, tokens=4, head=head) for head in ("int4", "fp16"))
    assert int4.dram_bytes < fp16.dram_bytes
    assert int4.cycles < fp16.cycles


LEVELS = ("analytical", "events")


def test_to_dict_is_plain_json():
    data = simulate_model(model_shape("SmolLM2-135M"), "anda", PRECISION, tokens=64).to_dict()
    assert json.loads(json.dumps(data)) == data
    assert list(data) == [
        "model", "arch", "level", "cycles", "seconds", "macs", "fp_int_share", "dram_bytes", "sram_bytes", "energy_pj",
        "idle_pj", "area_mm2", "rows",
    ]  # fmt: skip
    assert bops_saving(model_shape("SmolLM2-135M"), PRECISION) > 2


def test_bad_input():
    cases = (
        ({"batch": 0}, "batch: 0 is not valid"),
        ({"kv_cache": "int8"}, "kv_cache: 'int8' is unknown"),
        ({"kv_cache": "anda:17"}, "kv_cache: anda: mantissa_bits: 17 is not valid; choose an integer from 1 to 16"),
        ({"kv_cache": "anda:7", "architecture": "fp-fp"}, "kv_cache: fp-fp has no compressor"),
        ({"phase": "train"}, "phase: 'train' "),
        ({"vector_unit": "bf16"}, "vector_unit: 'bf16' "),
        ({"vector_traffic": "sram"}, "vector_traffic: 'sram' "),
        ({"head": "int2"}, "weight format: 'int2' "),
    )
    for arguments, expected in cases:
        with pytest.raises(InputError, match=f"^{expected}"):
            simulate_model(model_shape("OPT-125M"), **{"architecture": "anda", "precision": PRECISION, **arguments})  # type: ignore[arg-type]
