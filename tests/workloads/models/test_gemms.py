import json
from dataclasses import replace
from pathlib import Path

import pytest
from anda_codesign.formats import InputError
from anda_codesign.workloads import MODULES, Gemm, Precision, bops, bops_saving, gemms, model_names, model_shape

PAPER = json.loads(Path("experiments/paper/anda_hpca2025.json").read_text())["wikitext2"]


def test_published_savings():
    for model in PAPER["bops_saving_1%"]:
        for tolerance in ["0.1%", "1%"]:
            precision = Precision(*PAPER[f"combination_{tolerance}"][model])
            saving = bops_saving(model_shape(model), precision)
            assert saving == pytest.approx(PAPER[f"bops_saving_{tolerance}"][model], abs=0.011)


def test_uniform_saving_does_not_depend_on_the_shape():
    for model in model_names():
        assert bops_saving(model_shape(model), Precision.uniform(16)) == 1
        assert bops_saving(model_shape(model), Precision.uniform(4)) == 4


def test_prefill_of_a_gated_model():
    assert gemms(model_shape("LLaMA3-8B"), tokens=100) == [
        Gemm("qkv", 100, 4096, 4096 + 2 * 1024, repeat=32),
        Gemm("o", 100, 4096, 4096, repeat=32),
        Gemm("u", 100, 4096, 2 * 14336, repeat=32),
        Gemm("d", 100, 14336, 4096, repeat=32),
    ]


def test_heads_that_do_not_add_up_to_the_hidden_size():
    """Qwen3-0.6B: hidden 1024, 16 query heads and 8 key/value heads of 128 channels."""
    shape = replace(model_shape("LLaMA3-8B"), hidden=1024, heads=16, kv_heads=8, head_size=128, ffn=3072)
    assert [(gemm.in_channels, gemm.out_channels) for gemm in gemms(shape, tokens=1)] == [
        (1024, 4096),
        (2048, 1024),
        (1024, 6144),
        (3072, 1024),
    ]


def test_prefill_of_opt_has_one_up_projection():
    assert gemms(model_shape("OPT-125M"), tokens=7)[2] == Gemm("u", 7, 768, 3072, repeat=12)


def test_decode_repeats_steps_of_one_token():
    shape = model_shape("LLaMA-7B")
    steps = gemms(shape, phase="decode", tokens=10, context=50)
    assert [g.tokens for g in steps] == [1] * 4
    assert [g.repeat for g in steps] == [320] * 4
    assert sum(g.total_macs for g in steps) == sum(g.total_macs for g in gemms(shape, tokens=10))


def attention_macs(shape_name: str, **arguments: object) -> int:
    products = gemms(model_shape(shape_name), attention=True, **arguments)  # type: ignore[arg-type]
    assert [g.module for g in products[:4]] == list(MODULES)
    assert {g.module for g in products[4:]} == {"attention"}
    return sum(g.total_macs for g in products[4:])


def test_attention_macs_counted_by_hand():
    for model in ["LLaMA-7B", "LLaMA3-8B", "SmolLM2-135M"]:
        shape = model_shape(model)
        per_pair = 2 * shape.layers * shape.heads * shape.head_dim
        assert attention_macs(model, tokens=8, context=4) == per_pair * 8 * 12
        assert attention_macs(model, phase="decode", tokens=8, context=4) == per_pair * sum(range(5, 13))


def test_grouped_heads_share_one_product():
    assert gemms(model_shape("LLaMA3-8B"), phase="decode", tokens=1, context=99, attention=True)[4:] == [
        Gemm("attention", 4, 128, 100, repeat=32 * 8),
        Gemm("attention", 4, 100, 128, repeat=32 * 8),
    ]


def test_bad_input():
    for field, value in (("phase", "train"), ("tokens", 0), ("context", -1)):
        with pytest.raises(InputError, match=f"^{field}: {value!r} "):
            gemms(model_shape("OPT-125M"), **{field: value})  # type: ignore[arg-type]


def test_a_gemm_as_text():
    assert Gemm.parse("2048x4096X1") == Gemm("u", 2048, 4096, 1)
    for text in ("2048x4096", "axbxc", "1x2x3x4", "", "0x1x1", "1x-2x3"):
        with pytest.raises(InputError, match=f"^gemm: {text!r} .*TOKENSxINxOUT"):
            Gemm.parse(text)


def test_bops_of_one_token():
    shape = model_shape("OPT-125M")
    per_block = 768 * 768 * 4 * (3 * 7 + 5 + 4 * 6 + 4 * 6)
    assert bops(shape, Precision(7, 5, 6, 6)) == 12 * per_block
