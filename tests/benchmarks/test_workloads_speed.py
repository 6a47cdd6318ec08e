"""Speed of accuracy experiments on the real model; needs ``anda fetch``.

Run with ``make benchmark`` on a machine that does nothing else; medians go to docs/benchmarks.
"""

import numpy as np
import pytest
from anda_codesign.formats import AndaFormat
from anda_codesign.workloads import (
    AndaActivations,
    AndaArithmetic,
    Decoder,
    Fp16Activations,
    Precision,
    load_blocks,
    load_decoder,
)
from anda_codesign.workloads.inference.fake_quantize import fake_quantize
from anda_codesign.workloads.inference.torch_decoder import TorchDecoder
from anda_codesign.workloads.text.blocks import read_text
from pytest_benchmark.fixture import BenchmarkFixture


@pytest.fixture(scope="module")
def decoder() -> Decoder:
    decoder = load_decoder()
    decoder.nll(np.zeros((1, 8), np.int32))
    return decoder


def test_fake_quantisation(benchmark: BenchmarkFixture):
    """The input of one `d` GeMM, 512 x 1536."""
    x = np.random.default_rng(0).standard_normal((512, 1536), np.float32)
    benchmark(fake_quantize, x, AndaFormat(7))


@pytest.mark.model
def test_load(benchmark: BenchmarkFixture):
    """The GGUF file into weights and tokenizer."""
    benchmark.pedantic(load_decoder, rounds=3)


@pytest.mark.model
def test_tokens(benchmark: BenchmarkFixture, decoder: Decoder):
    """The calibration articles, 1.4 million characters, after the first call filled the word cache."""
    text = read_text("wiki", "calibration")
    assert len(benchmark(decoder.tokenizer.encode, text)) > 300_000


@pytest.mark.model
@pytest.mark.parametrize(
    "hook", [None, Fp16Activations(), AndaActivations(Precision(7, 5, 6, 6))], ids=["fp32", "fp16", "anda"]
)
def test_evaluation_of_16k_tokens(benchmark: BenchmarkFixture, decoder: Decoder, hook: object):
    """32 blocks of 512 tokens; the aim is 60 s on two cores."""
    blocks = load_blocks(decoder.tokenizer, tokens=512, blocks=32)
    nll = benchmark.pedantic(decoder.nll, args=(blocks.tokens, hook), rounds=1)
    benchmark.extra_info["ms per token"] = round(1e3 * benchmark.stats.stats.median / blocks.tokens.size, 2)
    assert nll.shape == (32, 511)


@pytest.mark.model
@pytest.mark.hf
@pytest.mark.parametrize(
    "hook", [None, Fp16Activations(), AndaActivations(Precision(7, 5, 6, 6))], ids=["fp32", "fp16", "anda"]
)
def test_evaluation_of_16k_tokens_in_torch(benchmark: BenchmarkFixture, decoder: Decoder, hook: object):
    """The same with torch; the aim is 30 s on two cores."""
    blocks = load_blocks(decoder.tokenizer, tokens=512, blocks=32)
    torch = TorchDecoder(decoder)
    nll = benchmark.pedantic(torch.nll, args=(blocks.tokens, hook), rounds=1)
    benchmark.extra_info["ms per token"] = round(1e3 * benchmark.stats.stats.median / blocks.tokens.size, 2)
    assert nll.shape == (32, 511)


@pytest.mark.model
def test_bit_exact_evaluation_of_512_tokens(benchmark: BenchmarkFixture, decoder: Decoder):
    """The accelerator's own arithmetic in every GeMM."""
    blocks = load_blocks(decoder.tokenizer, tokens=512, blocks=1)
    benchmark.pedantic(decoder.nll, args=(blocks.tokens, AndaArithmetic(Precision(7, 5, 6, 6))), rounds=1)
