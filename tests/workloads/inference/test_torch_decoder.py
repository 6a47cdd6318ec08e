import sys
from dataclasses import replace

import numpy as np
import pytest
from anda_codesign.formats import InputError
from anda_codesign.workloads import (
    AndaActivations,
    AndaArithmetic,
    Decoder,
    Fp16Activations,
    LayeredActivations,
    Precision,
    PrefixCache,
    TextBlocks,
    evaluate,
    load_blocks,
    synthetic_decoder,
)
from anda_codesign.workloads.inference.torch_decoder import TorchDecoder, evaluator
from anda_codesign.workloads.loading.synthetic import SYNTHETIC_OPT
from anda_codesign.workloads.models.rope import Llama3Scaling

BLOCKS = np.random.default_rng(2).integers(0, 256, (3, 40)).astype(np.int32)


def scaled() -> Decoder:
    scaling = Llama3Scaling(factor=8, original_length=16, low_frequency_factor=1, high_frequency_factor=4)
    decoder = synthetic_decoder()
    head = 2 * decoder.weights.embedding[::-1]
    return decoder.with_weights(replace(decoder.weights, rope_scaling=scaling, head=head), "scaled")


DECODERS = {"llama": synthetic_decoder(), "opt": synthetic_decoder(SYNTHETIC_OPT), "scaled, untied": scaled()}


@pytest.mark.hf
@pytest.mark.parametrize("name", DECODERS)
def test_same_nll_as_numpy(name: str):
    decoder = DECODERS[name]
    np.testing.assert_allclose(TorchDecoder(decoder).nll(BLOCKS), decoder.nll(BLOCKS), atol=1e-5)


@pytest.mark.hf
@pytest.mark.parametrize("name", DECODERS)
@pytest.mark.parametrize(
    "hook", [Fp16Activations(), AndaActivations(Precision.uniform(5)), AndaArithmetic(Precision.uniform(6))]
)
def test_hooks_see_the_same_activations(name: str, hook: object):
    """A last-digit difference may become one step of the format; nearly all tokens are free of that."""
    decoder = DECODERS[name]
    ours, theirs = TorchDecoder(decoder).nll(BLOCKS, hook), decoder.nll(BLOCKS, hook)  # type: ignore[arg-type]
    assert np.median(np.abs(ours - theirs)) < 1e-3
    assert np.abs(theirs - decoder.nll(BLOCKS)).max() > 10 * np.median(np.abs(ours - theirs))


@pytest.mark.hf
def test_evaluations_are_cached_apart():
    decoder, blocks = DECODERS["llama"], TextBlocks(BLOCKS)
    torch = evaluator(decoder, "torch")
    assert torch.sha256 != decoder.sha256
    assert torch.sha256.startswith(f"{decoder.sha256} torch ")
    np.testing.assert_array_equal(evaluate(torch, blocks, Fp16Activations()), torch.nll(BLOCKS, Fp16Activations()))


@pytest.mark.hf
@pytest.mark.parametrize("name", DECODERS)
def test_prefixes_are_kept_for_torch_too(name: str):
    decoder = TorchDecoder(DECODERS[name])
    base = Fp16Activations()
    hook = LayeredActivations(base, {1: AndaActivations(Precision.uniform(4))})
    cache = PrefixCache(decoder, base)
    np.testing.assert_array_equal(cache.nll(BLOCKS, hook), decoder.nll(BLOCKS, hook))
    assert np.abs(cache.nll(BLOCKS, hook) - decoder.nll(BLOCKS, base)).max() > 1e-3


@pytest.mark.hf
@pytest.mark.model
def test_smollm2_in_torch(smollm2: Decoder):
    blocks = load_blocks(smollm2.tokenizer, tokens=48, blocks=2).tokens
    np.testing.assert_allclose(TorchDecoder(smollm2).nll(blocks), smollm2.nll(blocks), atol=1e-3)


def test_numpy_is_the_decoder_itself():
    assert evaluator(DECODERS["llama"], "numpy") is DECODERS["llama"]


def test_bad_input(monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(InputError, match=r"^backend: 'jax' .* numpy, torch$"):
        evaluator(DECODERS["llama"], "jax")
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(InputError, match=r"^torch: is not installed.* anda-codesign\[hf\]$"):
        evaluator(DECODERS["llama"], "torch")


@pytest.mark.hf
def test_tiles_of_two_models_side_by_side_leave_torch_as_it_was():
    """Inference mode around a yield would stay on in the caller, and gradients off."""
    import torch

    decoders = [TorchDecoder(synthetic_decoder()) for _ in range(2)]
    hidden = decoders[0].hidden(BLOCKS[0])
    for first, second in zip(*(decoder.logit_tiles(hidden) for decoder in decoders), strict=True):
        assert not torch.is_inference_mode_enabled()
        np.testing.assert_array_equal(first, second)
    assert not torch.is_inference_mode_enabled()
    assert torch.is_grad_enabled()
