"""The integer elements' arithmetic: equal to the Anda GeMM at equal mantissas, and look-up tables to plain sums."""

import itertools

import numpy as np
import pytest
from anda_codesign.formats import AndaFormat, Int4Weights, fp_int_gemm
from anda_codesign.formats.activations.aligned import FignaFormat, IfpuFormat
from anda_codesign.formats.numeric.fp16 import round_to_fp16
from anda_codesign.formats.processing_elements.aligned import aligned_dot, weight_planes


@pytest.mark.parametrize("mantissa_bits", [1, 8, 11, 13, 16])
@pytest.mark.parametrize("element", [FignaFormat, IfpuFormat])
def test_equal_mantissas_give_the_outputs_of_anda(element: type, mantissa_bits: int) -> None:
    rng = np.random.default_rng(mantissa_bits)
    x = (rng.standard_normal((4, 192)) * 2.0 ** rng.integers(-8, 4, (4, 192))).astype(np.float16)
    w = Int4Weights.quantize(rng.standard_normal((192, 5)), group_size=64)
    expected = fp_int_gemm(AndaFormat(mantissa_bits).encode(x), w)
    a = element(mantissa_bits=mantissa_bits).encode(x)
    codes = w.codes.T.reshape(1, 5, 3, 64)
    sums, _ = aligned_dot(a.integers[:, None], a.exponents[:, None], codes, w.scales.T[None], mantissa_bits)
    assert round_to_fp16(sums)[0].view(np.uint16).tolist() == expected.view(np.uint16).tolist()


def test_binary_weights_stand_for_the_codes() -> None:
    codes = np.arange(-8, 8).astype(np.int8)
    bits = weight_planes(codes)
    assert sorted(map(tuple, bits.tolist())) == sorted(itertools.product((0, 1), repeat=4))
    assert (((2 * bits.astype(int) - 1) << np.arange(4)).sum(axis=1) - 1).tolist() == (2 * codes.astype(int)).tolist()
