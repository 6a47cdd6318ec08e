"""The reference's own rounding, against NumPy's conversions."""

from fractions import Fraction

import numpy as np
from anda_codesign.formats.gemm.reference import round_to_fp16, round_to_fp32
from hypothesis import example, given
from hypothesis import strategies as st

VALUES = st.floats(allow_nan=False, allow_infinity=False, width=64)
NEAR_HALF = st.floats(-70000, 70000, width=32)


@given(VALUES | NEAR_HALF)
@example(65519.99)
@example(65520.0)
@example(-65520.0)
@example(2.0**-25)
@example(3 * 2.0**-25)
@example(2049.0)
@example(2051.0)
def test_round_to_half(value: float) -> None:
    with np.errstate(over="ignore"):
        expected = np.float64(value).astype(np.float16)
    rounded, saturated = round_to_fp16(Fraction(value))
    assert saturated == np.isinf(expected)
    assert float(rounded) == (np.copysign(65504, value) if saturated else expected)


@given(st.floats(-1e30, 1e30, width=64))
@example(2.0**24 + 1)
@example(2.0**24 + 3)
@example(2.0**-149 * 1.5)
def test_round_to_single(value: float) -> None:
    assert float(round_to_fp32(Fraction(value))) == np.float32(value)
