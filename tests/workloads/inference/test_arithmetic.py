import re
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from anda_codesign.formats import AndaFormat, InputError, fp_int_gemm_reference
from anda_codesign.formats.options import Partial
from anda_codesign.workloads import (
    MODULES,
    AndaActivations,
    AndaArithmetic,
    Decoder,
    Fp16Activations,
    Precision,
    TextBlocks,
    evaluate,
    load_blocks,
    synthetic_decoder,
)
from anda_codesign.workloads.inference.hooks import FormatActivations, FormatArithmetic
from anda_codesign.workloads.loading.synthetic import SYNTHETIC_OPT
from cases import each

LLAMA, OPT = synthetic_decoder(), synthetic_decoder(SYNTHETIC_OPT)
TOKENS = np.random.default_rng(1).integers(0, 256, 12).astype(np.int32)
PRECISION = Precision(7, 5, 6, 8)


@pytest.mark.parametrize("decoder", [LLAMA, OPT], ids=["llama", "opt"])
@pytest.mark.parametrize("module", MODULES)
def test_products_equal_the_reference_bit_for_bit(decoder: Decoder, module: str, rng: np.random.Generator):
    names = {"qkv": "qkv", "o": "o", "u": ["gate", "up"] if decoder is LLAMA else ["up"], "d": ["down"]}[module]
    weights = [decoder.linear(1, name) for name in names]
    x = rng.standard_normal((3, weights[0].codes.shape[0]), np.float32)
    tensor = AndaFormat(getattr(PRECISION, module)).encode(x.astype(np.float16))
    expected = [fp_int_gemm_reference(tensor, w).astype(np.float32) for w in weights]
    product = AndaArithmetic(PRECISION).multiply(module, 1, x, weights)
    np.testing.assert_array_equal(product, np.concatenate(expected, axis=1))


@each("partial", get_args(Partial))
@each("module", MODULES)
def test_any_format_with_rounded_sums_is_the_same_arithmetic(module: str, partial: Partial, rng: np.random.Generator):
    names = {"qkv": "qkv", "o": "o", "u": ["up"], "d": ["down"]}[module]
    weights = [OPT.linear(0, name) for name in names]
    x = rng.standard_normal((3, weights[0].codes.shape[0]), np.float32)
    formats = tuple(AndaFormat(bits, group_size=32) for bits in PRECISION)
    product = FormatArithmetic(formats, 32, partial).multiply(module, 0, x, weights)
    expected = AndaArithmetic(PRECISION, partial, group_size=32).multiply(module, 0, x, weights)
    np.testing.assert_array_equal(product, expected)


@pytest.mark.parametrize("decoder", [LLAMA, OPT], ids=["llama", "opt"])
def test_stays_near_float32_products_of_the_same_values(decoder: Decoder):
    fast, faithful = (decoder.logits(TOKENS, kind(PRECISION)) for kind in (AndaActivations, AndaArithmetic))
    coarser = decoder.logits(TOKENS, AndaActivations(Precision.uniform(4)))
    difference = np.abs(faithful - fast).mean()
    assert 0 < difference < 0.2 * np.abs(coarser - fast).mean()


def test_partial_sums_of_32_bits_are_nearer():
    fast = LLAMA.logits(TOKENS, AndaActivations(PRECISION))
    distances = {
        partial: np.abs(LLAMA.logits(TOKENS, AndaArithmetic(PRECISION, partial)) - fast).mean()
        for partial in ("fp16", "fp32")
    }
    assert distances["fp32"] < distances["fp16"]


def test_hooks_are_equal_by_value():
    hooks: list[Any] = [
        AndaActivations(PRECISION),
        AndaArithmetic(PRECISION),
        AndaArithmetic(PRECISION, "fp32"),
        AndaArithmetic(PRECISION, group_size=32),
        AndaArithmetic(Precision.uniform(7)),
    ]
    assert len(set(hooks)) == len(hooks)


def test_evaluations_are_cached(tmp_path: Path):
    blocks = TextBlocks(TOKENS[None])
    values = evaluate(LLAMA, blocks, AndaArithmetic(PRECISION), tmp_path)
    np.testing.assert_array_equal(values, LLAMA.nll(blocks.tokens, AndaArithmetic(PRECISION)))
    assert len(list(tmp_path.iterdir())) == 1


def test_overflow_names_the_place():
    message = 'activations of o in layer 3: x: element (0, 1) is inf; remove it or encode with nonfinite="saturate"'
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        AndaArithmetic(PRECISION).multiply("o", 3, np.array([[1.0, 1e6]], np.float32), [])


@pytest.mark.model
def test_smollm2_rounded_partial_sums_cost_less_than_truncation(smollm2: Decoder):
    tokens = load_blocks(smollm2.tokenizer, tokens=48, blocks=1).tokens
    precision = Precision.uniform(8)
    reference = smollm2.nll(tokens, Fp16Activations())
    fast, faithful = (smollm2.nll(tokens, kind(precision)) for kind in (AndaActivations, AndaArithmetic))
    assert 0 < np.abs(faithful - fast).mean() < np.abs(fast - reference).mean()


class _FailsLate:
    """A format of a user's own that fails on some values."""

    name, source, parameters, bits_per_value, cycles_per_group = "late", "test", {}, 16, 16

    def encode(self, x: Any) -> Any:
        raise ZeroDivisionError("division by zero")


def test_a_format_that_fails_is_one_line_with_module_and_layer():
    activations = FormatActivations(_FailsLate())  # pyright: ignore[reportArgumentType]
    with pytest.raises(
        InputError, match=r"^activations of o in layer 3: late fails \(ZeroDivisionError: division by zero\)"
    ):
        activations("o", 3, np.ones((2, 64), np.float32))
