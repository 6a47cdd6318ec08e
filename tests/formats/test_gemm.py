"""The GeMM against the slow reference, bit for bit."""

import numpy as np
import pytest

from anda_codesign.formats import AndaFormat, GemmFlags, Int4Weights, fp_int_gemm, fp_int_gemm_reference


@pytest.mark.parametrize("mantissa_bits", range(1, 17))
def test_agrees_with_reference(mantissa_bits: int) -> None:
    rng = np.random.default_rng(mantissa_bits)
    x = (rng.standard_normal((2, 2, 200)) * np.exp2(rng.integers(-20, 14, (2, 2, 200)))).astype(np.float16)
    a = AndaFormat(mantissa_bits).encode(x)
    w = Int4Weights.quantize(rng.standard_normal((200, 4)).astype(np.float32))
    expected_flags, flags = GemmFlags(), GemmFlags()
    expected = fp_int_gemm_reference(a, w, flags=expected_flags)
    result = fp_int_gemm(a, w, flags=flags)
    np.testing.assert_array_equal(result.view(np.uint16), expected.view(np.uint16))
    assert flags == expected_flags
