"""The circuit's dot products are the integers of `fp_int_gemm`, on slices of a GeMM."""

from typing import Any

import numpy as np
import pytest
from anda_codesign.formats import AndaFormat, Int4Weights
from anda_codesign.formats.latency.elements import pe_cycles_per_group
from anda_codesign.rtl import TraceComparison, compare_trace


def activations(rng: np.random.Generator, tokens: int, channels: int) -> np.ndarray:
    """Activations as in a decoder: most values are small, a few channels are large."""
    x = rng.standard_normal((tokens, channels))
    x[:, ::17] *= 40
    return x.astype(np.float16)


@pytest.mark.parametrize("mantissa_bits", [1, 4, 7, 13])
def test_symmetric_weights_in_groups_of_128(mantissa_bits: int) -> None:
    rng = np.random.default_rng(mantissa_bits)
    x = AndaFormat(mantissa_bits).encode(activations(rng, 2, 192))
    comparison = compare_trace(x, Int4Weights.quantize(rng.standard_normal((192, 2))))
    assert comparison.partial_sums.shape == (2, 2, 3)
    assert comparison.mismatches == 0
    assert comparison.cycles == comparison.predicted_cycles == 12 * pe_cycles_per_group(mantissa_bits)


@pytest.mark.parametrize("options", [{"reconstruct": "midpoint"}, {"mask_rows": 1}])
def test_options_of_the_format(options: dict[str, Any]) -> None:
    rng = np.random.default_rng(3)
    x = activations(rng, 2, 128)
    x[0, :64] = 0
    x[0, 5] = 1.5
    tensor = AndaFormat(7, 64, **options).encode(x)
    comparison = compare_trace(tensor, Int4Weights.quantize(rng.standard_normal((128, 2)), 32))
    assert comparison.mismatches == 0
    full = comparison.expected.size * pe_cycles_per_group(7)
    assert comparison.cycles == comparison.predicted_cycles
    assert (comparison.cycles < full) == ("mask_rows" in options)


def test_affine_codes_in_groups_of_32() -> None:
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 16, (128, 2)).astype(np.int8)
    parameters = np.ones((4, 2), np.float16)
    comparison = compare_trace(
        AndaFormat(6).encode(activations(rng, 3, 128)), Int4Weights(codes, parameters, 32, parameters)
    )
    assert comparison.partial_sums.shape == (3, 2, 4)
    assert comparison.mismatches == 0
    assert comparison.report() == "24 partial sums equal, 168 cycles (168 predicted)"


def test_the_activation_sum_of_the_affine_term() -> None:
    """Weights of one give the sum that is multiplied by an offset."""
    rng = np.random.default_rng(1)
    x = AndaFormat(5, 32).encode(activations(rng, 2, 96))
    ones = Int4Weights(np.ones((96, 1), np.int8), np.ones((3, 1), np.float16), 32)
    comparison = compare_trace(x, ones)
    np.testing.assert_array_equal(comparison.partial_sums[:, 0], x.signed_integers().sum(axis=-1))


def test_a_short_last_group() -> None:
    rng = np.random.default_rng(2)
    x = AndaFormat(4, 16).encode(activations(rng, 2, 40))
    assert compare_trace(x, Int4Weights.quantize(rng.standard_normal((40, 2)), 16)).mismatches == 0


def test_a_mismatch_is_counted_and_named() -> None:
    expected = np.arange(8).reshape(2, 2, 2)
    sums = expected.copy()
    sums[0, 1, 1] = -5
    sums[1, 0, 0] += 1
    comparison = TraceComparison(sums, expected, 10, 10)
    assert comparison.mismatches == 2
    assert comparison.report() == (
        "2 of 8 partial sums differ; the first at [token, output, segment] = [0, 1, 1]: circuit -5, formats 3"
    )
