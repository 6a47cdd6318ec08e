"""Fake quantisation in torch, bit for bit as the format's; hooks on models of transformers."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from anda_codesign.formats import AndaFormat, InputError
from anda_codesign.workloads import AndaActivations, Precision, load_checkpoint
from anda_codesign.workloads.hf import activations, fake_quantize, module_map

sys.path.insert(0, str(Path(__file__).parents[1] / "inference"))

import test_transformers as kinds

pytestmark = [pytest.mark.hf, pytest.mark.filterwarnings("ignore::DeprecationWarning")]

HALVES = np.arange(0x7C00, dtype=np.uint16).view(np.float16)
ALL_HALVES = np.concatenate([HALVES, -HALVES])


def same(x: np.ndarray, mantissa_bits: int, **options: Any) -> None:
    import torch

    found = fake_quantize(torch.from_numpy(x), mantissa_bits, **options)
    expected = AndaFormat(mantissa_bits, **options).encode(x.astype(np.float16)).decode()
    assert found.dtype == torch.from_numpy(x).dtype
    np.testing.assert_array_equal(found.numpy(), expected.astype(x.dtype))


@pytest.mark.slow
@pytest.mark.parametrize("mantissa_bits", range(1, 17))
@pytest.mark.parametrize("options", [{}, {"rounding": "nearest"}, {"reconstruct": "midpoint"}])
def test_every_half_alone_and_in_mixed_groups(mantissa_bits: int, options: dict[str, str]):
    rng = np.random.default_rng(mantissa_bits)
    for group_size in (8, 16, 32, 64, 128):
        alone = np.zeros((len(ALL_HALVES), group_size), np.float16)
        alone[:, 3] = ALL_HALVES
        same(alone, mantissa_bits, group_size=group_size, **options)
        mixed = rng.permutation(ALL_HALVES)[: 496 * 128].reshape(496, 128)
        same(mixed, mantissa_bits, group_size=group_size, **options)
        # anchors keep every exponent apart: neighbours of all magnitudes below each power of two
        scaled = (mixed.astype(np.float32) * 2.0 ** -rng.integers(0, 30, (496, 1))).astype(np.float16)
        same(scaled[:, :100].copy(), mantissa_bits, group_size=group_size, **options)


def test_types_and_values_that_are_refused():
    import torch

    x = np.random.default_rng(0).standard_normal((5, 70)).astype(np.float32)
    same(x, 6)
    narrow = torch.from_numpy(x).bfloat16()
    assert fake_quantize(narrow, 5).dtype == torch.bfloat16
    np.testing.assert_array_equal(
        fake_quantize(narrow, 5).float().numpy(), AndaFormat(5).encode(narrow.half().numpy()).decode()
    )
    for value in (np.inf, np.nan, 65520.0):
        x[2, 3] = value
        with pytest.raises(InputError, match=r"^x: overflows FP16 or holds a NaN; give finite activations"):
            fake_quantize(torch.from_numpy(x), 6)
    with pytest.raises(InputError, match="mantissa_bits"):
        fake_quantize(torch.zeros(8), 17)


@pytest.mark.parametrize("kind", ["llama", "qwen2", "gemma3", "opt"])
def test_hooked_models_compute_what_the_decoder_does(kind: str, tmp_path: Path):
    import torch

    model = getattr(kinds, kind)()
    ours = load_checkpoint(kinds.save(model, tmp_path), group_size=None)
    precision = Precision(7, 6, 8, 9)
    plain = kinds.logits(model, kinds.TOKENS)
    with activations(model, precision) as modules:
        hooked = kinds.logits(model, kinds.TOKENS)
    assert set(modules.values()) == {"qkv", "o", "u", "d"}
    np.testing.assert_array_equal(kinds.logits(model, kinds.TOKENS), plain)
    expected = ours.logits(kinds.TOKENS, AndaActivations(precision))
    assert np.abs(hooked - plain).max() > 0.01
    assert np.abs(hooked - expected).mean() < 0.1 * np.abs(hooked - plain).mean()
    with pytest.raises(InputError, match=r"^model: no pattern takes the linear layer model.layers.0.extra; give one"):
        broken = kinds.llama()
        broken.model.layers[0].extra = torch.nn.Linear(4, 4)
        module_map(broken)
    assert "model.layers.0.extra" not in module_map(broken, {"extra": ""})


def test_families():
    import transformers as t

    small = {"hidden_size": 64, "num_hidden_layers": 1, "num_attention_heads": 4, "vocab_size": 64}
    gated = small | {"intermediate_size": 64, "num_key_value_heads": 4}
    models = [
        t.Phi3ForCausalLM(t.Phi3Config(**gated, pad_token_id=0)),
        t.GPTNeoXForCausalLM(t.GPTNeoXConfig(**small, intermediate_size=64)),
        t.FalconForCausalLM(t.FalconConfig(**small)),
    ]
    for model in models:
        assert set(module_map(model).values()) == {"qkv", "o", "u", "d"}
