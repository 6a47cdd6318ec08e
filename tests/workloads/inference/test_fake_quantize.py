import re

import numpy as np
import pytest
from anda_codesign.formats import AndaFormat, InputError
from anda_codesign.workloads.inference.fake_quantize import fake_quantize, fake_quantize_numpy
from anda_codesign.workloads.inference.operators import to_fp16
from anda_codesign.workloads.models.parameters import FloatArray
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

FINITE_HALVES = np.arange(65536, dtype=np.uint16).view(np.float16)
FINITE_HALVES = FINITE_HALVES[np.isfinite(FINITE_HALVES)]
OPTIONS = [(r, c) for r in ("truncate", "nearest") for c in ("truncate", "midpoint")]


def assert_same_bits(x: FloatArray, fmt: AndaFormat) -> None:
    fused, plain = fake_quantize(x, fmt), fake_quantize_numpy(x, fmt)
    np.testing.assert_array_equal(fused.view(np.uint32), plain.view(np.uint32))


def test_every_half_under_every_shared_exponent():
    """Each group is one power of two, which sets the exponent, and seven of the halves that do not exceed it."""
    groups: list[FloatArray] = []
    for exponent in range(1, 31):
        leader = np.float32(2.0 ** (exponent - 15))
        halves = FINITE_HALVES[np.abs(FINITE_HALVES) < 2 * leader].astype(np.float32)
        padded = np.concatenate([halves, np.zeros(-len(halves) % 7, np.float32)]).reshape(-1, 7)
        groups.append(np.concatenate([np.full((len(padded), 1), leader), padded], axis=1))
    x = np.concatenate(groups)
    x = np.resize(x, (len(x) // 64 + 1, 512))
    for mantissa_bits in range(1, 17):
        assert_same_bits(x, AndaFormat(mantissa_bits, group_size=8))


def test_options(rng: np.random.Generator):
    for mantissa_bits in range(1, 17):
        for rounding, reconstruct in OPTIONS:
            fmt = AndaFormat(mantissa_bits, rounding=rounding, reconstruct=reconstruct)  # type: ignore[arg-type]
            x = (
                rng.standard_normal((64, 100))
                * 2.0 ** rng.integers(-26, 14, (64, 1))
                * 2.0 ** rng.integers(-8, 1, (64, 100))
            )
            assert_same_bits(x.astype(np.float32), fmt)


def test_rounding_to_fp16_at_and_beside_every_tie():
    halves = np.sort(FINITE_HALVES[FINITE_HALVES >= 0]).astype(np.float32)
    ties = (halves[1:] + halves[:-1]) / 2
    x = np.concatenate([ties, np.nextafter(ties, np.float32(0)), np.nextafter(ties, np.float32(1e6)), [-0.0, 65519.9]])
    # a group of one element of size 2^11 or more of its exponent's steps keeps all 11 bits of FP16
    assert_same_bits(np.repeat(x.astype(np.float32)[:, None], 8, axis=1), AndaFormat(16, group_size=8))


@given(
    arrays(np.float32, (3, 20), elements=st.floats(-65504, 65504, width=32)),
    st.integers(1, 16),
    st.sampled_from([8, 16, 64]),
    st.sampled_from(OPTIONS),
)
def test_any_values(x: FloatArray, mantissa_bits: int, group_size: int, options: tuple[str, str]):
    rounding, reconstruct = options
    assert_same_bits(x, AndaFormat(mantissa_bits, group_size, rounding, reconstruct=reconstruct))  # type: ignore[arg-type]


def test_values_beyond_fp16():
    for value, text in [(65520.0, "inf"), (-np.inf, "-inf"), (np.nan, "nan")]:
        x = np.ones((2, 64), np.float32)
        x[1, 5] = value
        message = f'x: element (1, 5) is {text}; remove it or encode with nonfinite="saturate"'
        with pytest.raises(InputError, match=re.escape(message)):
            fake_quantize(x, AndaFormat(7))
        saturated = fake_quantize(x, AndaFormat(11, nonfinite="saturate"))
        assert abs(saturated[1, 5]) == 65504
        assert (saturated[0] == 1).all()


def test_strided_input():
    x = np.arange(256, dtype=np.float32).reshape(2, 128)
    fmt = AndaFormat(5)
    np.testing.assert_array_equal(fake_quantize(x[:, ::2], fmt), fake_quantize(x[:, ::2].copy(), fmt))


def test_to_fp16():
    x = np.array([1 + 2**-12, 1 + 3 * 2**-11, 2**-25, 65519, 65520], np.float32)
    np.testing.assert_array_equal(to_fp16(x), np.array([1, 1 + 2 * 2**-10, 0, 65504, np.inf], np.float32))
