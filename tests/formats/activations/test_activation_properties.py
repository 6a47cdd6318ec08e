"""What holds for any tensor: properties of the comparison formats, and slow references for those without a grid."""

import math
from fractions import Fraction

import numpy as np
from anda_codesign.formats.activations.registry import activation_format, activation_format_modes, activation_formats
from cases import each
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

# Anda's own tests cover all its lengths.
MODES = [
    fmt
    for name in activation_formats()
    for fmt in activation_format_modes(name)
    if name != "anda" or fmt.parameters["mantissa_bits"] in (1, 6, 13)
]
# Scales that are no powers of two; the values of bf16 may leave FP16 (the exhaustive test covers it).
NOT_DYADIC = ("vs-quant", "nvfp4", "bf16")
SHARED_BY_THE_TENSOR = ("vs-quant", "nvfp4", "flexpoint")

VALUES = st.floats(-65504, 65504, width=16) | st.builds(
    lambda m, e: np.float16(m * 2.0**e), st.floats(-1, 1), st.integers(-24, 15)
)
TENSORS = npst.arrays(np.float16, st.tuples(st.integers(1, 3), st.integers(1, 80)), elements=VALUES)


def values(fmt, x):
    return fmt.encode(x).decode().astype(np.float64)


@settings(deadline=None)
@given(x=TENSORS)
def test_encoding_a_decoded_tensor_changes_nothing(x):
    for fmt in MODES:
        if fmt.name not in NOT_DYADIC:
            once = fmt.encode(x).decode()
            np.testing.assert_array_equal(values(fmt, once.astype(np.float16)), once, err_msg=repr(fmt))


@settings(deadline=None)
@given(x=TENSORS)
def test_negating_a_tensor_negates_the_result(x):
    for fmt in MODES:
        np.testing.assert_array_equal(values(fmt, -x), -values(fmt, x), err_msg=repr(fmt))


@settings(deadline=None)
@given(x=TENSORS)
def test_zero_stays_zero_and_no_value_changes_sign(x):
    for fmt in MODES:
        decoded = values(fmt, x)
        assert (decoded[x == 0] == 0).all(), fmt
        assert (np.sign(decoded) * np.sign(x.astype(np.float64)) >= 0).all(), fmt


@each("fmt", MODES)
def test_a_tensor_of_zeros_decodes_to_zeros(fmt):
    for zero in (0.0, -0.0):
        assert (values(fmt, np.full((2, 70), zero, np.float16)) == 0).all()


@settings(deadline=None)
@given(x=TENSORS)
def test_truncation_never_enlarges_a_value(x):
    for fmt in MODES:
        if "rounding" in fmt.parameters and fmt.name not in NOT_DYADIC:
            cut = activation_format(fmt.name, **{**fmt.parameters, "rounding": "truncate"})
            assert (np.abs(values(cut, x)) <= np.abs(x.astype(np.float64))).all(), fmt


@settings(deadline=None)
@given(x=TENSORS)
def test_tokens_do_not_see_one_another(x):
    for fmt in MODES:
        if fmt.name not in SHARED_BY_THE_TENSOR:
            rows = [values(fmt, row[None]) for row in x]
            np.testing.assert_array_equal(values(fmt, x), np.concatenate(rows), err_msg=repr(fmt))


# Grids that contain one another under the same group, coarse to fine: no element's error can grow.
NESTED = [
    *([activation_format("anda", mantissa_bits=m, rounding=r) for m in range(1, 17)] for r in ("truncate", "nearest")),
    *([activation_format("lian", mantissa_bits=m, rounding=r) for m in range(2, 17)] for r in ("truncate", "nearest")),
    *([activation_format("figna", mantissa_bits=m, rounding=r) for m in range(1, 41)] for r in ("truncate", "nearest")),
    *([activation_format("fast", mantissa_bits=m, rounding=r) for m in (2, 4)] for r in ("truncate", "nearest")),
    *([activation_format("dacapo", mantissa_bits=m, rounding=r) for m in (2, 4, 8)] for r in ("truncate", "nearest")),
    *(
        [activation_format("flexblock", mantissa_bits=m, rounding=r) for m in (4, 8, 16)]
        for r in ("truncate", "nearest")
    ),
    [activation_format("flexpoint", mantissa_bits=m) for m in range(2, 17)],
    [activation_format("mxfp4"), activation_format("mxfp6-e2m3")],
    [activation_format("mxfp6-e3m2"), activation_format("mxfp8-e5m2")],
]


@settings(max_examples=25, deadline=None)
@given(x=TENSORS)
def test_more_bits_never_enlarge_an_error(x):
    for formats in NESTED:
        errors = [np.abs(values(fmt, x) - x.astype(np.float64)) for fmt in formats]
        for fmt, coarse, fine in zip(formats, errors, errors[1:], strict=False):
            assert (fine <= coarse).all(), fmt


@settings(deadline=None)
@given(x=TENSORS, m=st.integers(1, 16), group_size=st.sampled_from([8, 16, 32, 64, 128]))
def test_an_aligned_tile_holds_what_anda_holds(x, m, group_size):
    anda = activation_format("anda", mantissa_bits=m, group_size=group_size).encode(x).decode()
    for name in ("figna", "ifpu"):
        aligned = activation_format(name, mantissa_bits=m, group_size=group_size).encode(x).decode()
        np.testing.assert_array_equal(aligned, anda)


def test_the_aligned_integers_of_a_worked_example():
    tensor = activation_format("figna", mantissa_bits=13).encode(np.array([1.0, -0.5, 2**-8, 3.0], np.float16))
    assert tensor.exponents.tolist() == [1]
    assert tensor.integers[0, :4].tolist() == [2048, -1024, 8, 6144]


@settings(deadline=None)
@given(x=TENSORS)
def test_flexpoint_shares_one_exponent_across_the_tensor(x):
    tensor = activation_format("flexpoint").encode(x)
    largest = float(np.abs(x).max())
    exponent = max(math.floor(math.log2(largest)), -14) if largest else -14
    assert tensor.exponents.tolist() == [exponent]
    step = Fraction(2) ** (exponent - 14)
    expected = [min(round(abs(Fraction(float(v))) / step), 2**15 - 1) * step for v in x.ravel()]
    np.testing.assert_array_equal(np.abs(tensor.decode()).ravel(), np.array(expected, np.float64))


def vs_quant_reference(x, group_size, bits, scale_bits):
    """Value by value in float32, as the definition reads."""
    f32 = np.float32
    vectors = [
        [f32(v) for v in row[start : start + group_size]] for row in x for start in range(0, len(row), group_size)
    ]
    ideal = [max(abs(v) for v in vector) / f32(2 ** (bits - 1) - 1) for vector in vectors]
    tensor_scale = max(ideal) / f32(2**scale_bits - 1) or f32(1)
    result = []
    for vector, scale in zip(vectors, ideal, strict=True):
        step = f32(round(scale / tensor_scale)) * tensor_scale
        for value in vector:
            code = min(round(abs(value) / step), 2 ** (bits - 1) - 1) if step else 0
            result.append(math.copysign(f32(code) * step, value))
    return np.array(result)


@settings(deadline=None)
@given(x=TENSORS, group_size=st.sampled_from([4, 16]), bits=st.integers(2, 8), scale_bits=st.integers(1, 10))
def test_vs_quant_equals_the_slow_reference(x, group_size, bits, scale_bits):
    fmt = activation_format("vs-quant", mantissa_bits=bits, scale_bits=scale_bits, group_size=group_size)
    tensor = fmt.encode(x)
    assert tensor.scales.max() < 2**scale_bits
    expected = vs_quant_reference(x, group_size, bits, scale_bits)
    np.testing.assert_array_equal(tensor.decode().ravel(), expected)
