"""Layers of several kinds: windows, experts, shared keys and values, parallel blocks, caps."""

from dataclasses import replace
from typing import Any

import pytest
from anda_codesign.formats import InputError
from anda_codesign.sim import Settings, load_weights, prepare, simulate_model
from anda_codesign.sim.config.kv_cache import KvCache
from anda_codesign.sim.models.experts import expert_notes
from anda_codesign.sim.models.footprint import Footprint, kv_cache_bytes
from anda_codesign.workloads import ModelShape, Precision
from anda_codesign.workloads.models.counts import linear_weights
from anda_codesign.workloads.models.shapes import Experts
from small_work import small_llama

PRECISION = Precision(7, 5, 6, 6)
LOCAL = replace(small_llama(), layers=4, window=16, global_layers=(1, 3))
EXPERTS = replace(small_llama(), layers=4, experts=Experts(count=8, per_token=2, ffn=120), dense_layers=(0,))
DECODE: dict[str, Any] = {"phase": "decode", "tokens": 5, "context": 40, "batch": 3}


def rows(shape: ModelShape, precision: Any = PRECISION, **settings: Any) -> dict[str, Any]:
    found = simulate_model(shape, "anda", precision, head="none", **settings).rows
    return {row.name: row for row in found}


@pytest.mark.parametrize("level", ["analytical", "events"])
@pytest.mark.parametrize("request_", [DECODE, {"tokens": 48, "batch": 2}])
def test_a_model_of_two_kinds_is_the_sum_of_its_parts(request_: dict[str, Any], level: Any) -> None:
    both = rows(LOCAL, level=level, **request_)
    parts = [rows(part.shape, level=level, **request_) for part in LOCAL.parts]
    assert [part.shape.window for part in LOCAL.parts] == [16, None]
    for name, row in both.items():
        assert row.cycles == sum(part[name].cycles for part in parts)
        assert row.dram_bytes == sum(part[name].dram_bytes for part in parts)
        assert row.operations == sum(part[name].operations for part in parts)


def test_a_window_saves_attention_and_cache_as_the_context_grows() -> None:
    """Beyond the window a layer's steps stay as they are; those of other layers grow."""
    near, far = (rows(LOCAL, phase="decode", tokens=1, context=context)["attention"] for context in (100, 200))
    local = replace(LOCAL, global_layers=())
    assert (
        rows(local, phase="decode", tokens=1, context=100)["attention"]
        == rows(local, phase="decode", tokens=1, context=200)["attention"]
    )
    per_key = 2 * LOCAL.heads * LOCAL.head_dim
    assert near.operations == per_key * (2 * 16 + 2 * 101)
    assert far.operations == per_key * (2 * 16 + 2 * 201)
    setup = prepare("anda", Settings())
    assert kv_cache_bytes(LOCAL, setup, KvCache(), 300, 3) == 3 * 2 * LOCAL.kv_channels * (2 * 16 + 2 * 300) * 2


def test_precision_of_each_layer() -> None:
    """Equal precisions in a list give what one precision gives; each kind of layer keeps its own."""
    one = rows(LOCAL, **DECODE)
    listed = rows(LOCAL, [PRECISION] * 4, **DECODE)
    assert {name: (row.cycles, row.dram_bytes) for name, row in one.items()} == {
        name: (row.cycles, row.dram_bytes) for name, row in listed.items()
    }
    mixed = [PRECISION, Precision.uniform(9), PRECISION, Precision.uniform(9)]
    assert rows(LOCAL, mixed, **DECODE)["u"].cycles > one["u"].cycles
    assert rows(EXPERTS, mixed, **DECODE)["d"].cycles > rows(EXPERTS, **DECODE)["d"].cycles


@pytest.mark.parametrize("level", ["analytical", "events"])
def test_experts(level: Any) -> None:
    """Five steps of three tokens on three layers: 8 * (1 - 0.75**3) = 4.625 distinct experts a layer, 69 in all."""
    result = simulate_model(EXPERTS, "anda", PRECISION, head="none", level=level, **DECODE)
    hidden, downs = 240, [run for run in result.gemms.runs if run.gemm.module == "d" and run.gemm.in_channels == 120]
    assert sum(run.gemm.repeat for run in downs) == 69
    assert sum(run.gemm.tokens * run.gemm.repeat for run in downs) == 3 * 5 * 3 * 2
    weights = sum(run.traffic.weights * run.gemm.repeat for run in downs)
    assert weights == 69 * hidden * load_weights("int4").channel_bits(120)
    router = {row.name: row for row in result.rows}["router"]
    assert router.operations == 3 * 5 * 3 * hidden * 8
    assert router.kind == "router"
    assert result.router is not None
    assert result.router.mapped.channel_bits == hidden * 16
    [note] = expert_notes(EXPERTS, [3])
    assert "an expectation: of 8 experts, 2 of which compute each token, 4.62 distinct ones" in note


def test_traffic_of_experts() -> None:
    """Activations and sums of a token: two experts of 120 channels, then one FP16 vector to the residual stream."""
    parts = rows(replace(EXPERTS, dense_layers=()), phase="decode", tokens=1, context=40)
    stream = 240 * 2
    assert parts["activation"].operations == 4 * (6 * 2 * 120 + 1)
    assert parts["expert sums"].operations == 4 * 2 * 240
    output_bits = prepare("anda", Settings()).machine.token_bits(240, 7)
    assert parts["expert sums"].dram_bytes == 4 * (2 * output_bits + 8 * stream) // 8


def test_memory_of_experts() -> None:
    setup = prepare("anda", Settings())
    found = Footprint.of(EXPERTS, setup, PRECISION, KvCache(), load_weights("fp16"), 3, 40, 3)
    attention, dense = 240 * (240 + 2 * 80) + 240 * 240, 3 * 240 * 500
    assert linear_weights(EXPERTS) == 4 * attention + dense + 3 * 8 * 3 * 240 * 120
    fp16 = prepare("fp-fp", Settings(weights="fp16"))
    found = Footprint.of(EXPERTS, fp16, Precision.uniform(16), KvCache(), load_weights("fp16"), 3, 40, 3)
    assert found.weights == 2 * (linear_weights(EXPERTS) + 3 * 8 * 240)


def test_layers_that_share_keys_and_values() -> None:
    shape = replace(small_llama(), layers=4, shared_kv_layers=(2, 3))
    own, sharing = (part.shape for part in shape.parts)
    assert (own.shares_kv, sharing.shares_kv) == (False, True)
    assert rows(shape, **DECODE)["qkv"].operations == 15 * 240 * (4 * 240 + 2 * 160)
    assert (
        rows(shape, **DECODE)["attention"].operations
        == rows(replace(shape, shared_kv_layers=()), **DECODE)["attention"].operations
    )
    setup = prepare("anda", Settings())
    assert kv_cache_bytes(shape, setup, KvCache(), 10) == 2 * 10 * 2 * 80 * 2


def test_blocks() -> None:
    plain = rows(small_llama(), tokens=8)
    norms = {
        count: rows(replace(small_llama(), block_norms=count, parallel=True), tokens=8)["norms"] for count in (1, 2, 4)
    }
    assert norms[2] == plain["norms"]
    assert norms[1].operations * 2 == norms[2].operations == norms[4].operations // 2
    parallel = rows(replace(small_llama(), parallel=True), tokens=8)
    stream = 3 * 8 * 240 * 2
    assert plain["residuals"].dram_bytes - parallel["residuals"].dram_bytes == 2 * stream
    capped = simulate_model(replace(small_llama(), score_cap=50.0, logit_cap=30.0), "anda", PRECISION, tokens=8)
    parts = {row.name: row for row in capped.rows}
    assert parts["softmax"].operations == plain["softmax"].operations + 6 * 3 * 6 * 36 + 4 * 3 * 6 * 8
    assert parts["logit cap"].operations == 6 * 100 + 4
    normed = rows(replace(small_llama(), qk_norm=True, rotary_share=0.5), tokens=8)
    assert normed["query and key norms"].operations == 3 * 8 * 8 * (3 * 40 + 4)
    assert normed["rotation"].operations * 2 == plain["rotation"].operations


@pytest.mark.parametrize(
    ("changes", "text"), [({"activation": "gelu"}, "GELU"), ({"qk_norm": True}, "norms of queries and keys")]
)
def test_integer_unit_refuses_what_it_has_no_operator_for(changes: dict[str, Any], text: str) -> None:
    message = f"^vector_unit: integer has no operator for {text}, which small needs; use fp16$"
    with pytest.raises(InputError, match=message):
        rows(replace(small_llama(), **changes), tokens=4, vector_unit="integer")
