"""The microscaling formats: every element code by the specification's formula, scales, NVFP4 by a slow reference."""

import ml_dtypes
import numpy as np
import pytest
from anda_codesign.formats.activations import mx
from anda_codesign.formats.activations.mx import MxTensor
from anda_codesign.formats.activations.registry import activation_format
from cases import each
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

FLOATING = {  # OCP MX v1.0: exponent bits, fraction bits, exponent bias, positive codes that are finite numbers
    "mxfp8-e4m3": (4, 3, 7, 127),
    "mxfp8-e5m2": (5, 2, 15, 124),
    "mxfp6-e2m3": (2, 3, 1, 32),
    "mxfp6-e3m2": (3, 2, 3, 32),
    "mxfp4": (2, 1, 1, 8),
}
LARGEST = {
    "mxfp8-e4m3": 448.0,
    "mxfp8-e5m2": 57344.0,
    "mxfp6-e2m3": 7.5,
    "mxfp6-e3m2": 28.0,
    "mxfp4": 6.0,
    "mxint8": 127 / 64,
}


def element_value(code, exponent_bits, fraction_bits, bias):
    """Section 5.3 of the specification, field by field."""
    field, fraction = code >> fraction_bits, code % 2**fraction_bits
    assert field < 2**exponent_bits
    if field == 0:
        return fraction / 2**fraction_bits * 2.0 ** (1 - bias)
    return (1 + fraction / 2**fraction_bits) * 2.0 ** (field - bias)


@pytest.mark.parametrize("name", FLOATING)
@pytest.mark.parametrize("scale", [127, 90, 140])
def test_every_floating_code_decodes_to_the_specifications_value(name, scale):
    exponent_bits, fraction_bits, bias, finite = FLOATING[name]
    sign = 1 << (exponent_bits + fraction_bits)
    codes = np.concatenate([np.arange(finite), sign + np.arange(finite)]).astype(np.uint8)
    positive = [element_value(code, exponent_bits, fraction_bits, bias) for code in range(finite)]
    fmt = activation_format(name, group_size=len(codes))
    elements = codes.view(fmt.element.dtype)[None, None]
    values = MxTensor(fmt, (1, len(codes)), elements, np.array([[scale]], np.uint8)).decode()
    expected = np.array(positive + [-value for value in positive]) * 2.0 ** (scale - 127)
    np.testing.assert_array_equal(values[0], expected)
    assert positive[-1] == LARGEST[name]


def test_every_int8_code_decodes_to_the_specifications_value():
    codes = np.arange(-128, 128, dtype=np.int8)
    fmt = activation_format("mxint8", group_size=256)
    values = MxTensor(fmt, (256,), codes[None], np.array([127], np.uint8)).decode()
    np.testing.assert_array_equal(values, codes / 64)


@pytest.mark.parametrize("name", LARGEST)
@each("exponent", range(-24, 16))
def test_the_scale_is_the_largest_power_of_two_that_the_specification_allows(name, exponent):
    x = np.array([np.ldexp(1.0, exponent), 0], np.float16)
    tensor = activation_format(name).encode(x)
    largest_exponent = int(np.floor(np.log2(LARGEST[name])))
    assert tensor.scales.tolist() == [exponent - largest_exponent + 127]
    np.testing.assert_array_equal(tensor.decode(), x)


@pytest.mark.parametrize("name", LARGEST)
def test_elements_saturate_and_never_become_infinite(name):
    x = np.array([65504, -65504, 1, 0], np.float16)
    tensor = activation_format(name).encode(x)
    expected = LARGEST[name] * 2.0 ** (15 - np.floor(np.log2(LARGEST[name])))
    np.testing.assert_array_equal(tensor.decode()[:2].astype(np.float64), [expected, -expected])


def test_mxint8_leaves_its_most_negative_code_unused():
    x = np.array([-1.9990234375, 1.9990234375], np.float16)
    assert activation_format("mxint8").encode(x).elements[0, :2].tolist() == [-127, 127]


def nearest(table, value):
    """The index of the nearest entry, ties to the even one."""
    distances = [abs(entry - value) for entry in table]
    least = min(distances)
    candidates = [i for i, distance in enumerate(distances) if distance == least]
    return next((i for i in candidates if i % 2 == 0), candidates[0])


E4M3_TABLE = [element_value(code, 4, 3, 7) for code in range(127)]
E2M1_TABLE = [element_value(code, 2, 1, 1) for code in range(8)]


def nvfp4_reference(x, group_size):
    """Value by value, in float32, with tables in the place of casts."""
    f32 = np.float32
    largest = max((abs(f32(v)) for v in x), default=f32(0))
    tensor_scale = largest / (f32(6) * f32(448)) if largest > 0 else f32(1)
    result = []
    for start in range(0, len(x), group_size):
        block = [f32(v) for v in x[start : start + group_size]]
        ideal = max(abs(v) for v in block) / f32(6) / tensor_scale
        step = f32(E4M3_TABLE[nearest(E4M3_TABLE, float(ideal))]) * tensor_scale
        for value in block:
            magnitude = E2M1_TABLE[nearest(E2M1_TABLE, float(abs(value) / step))] if step > 0 else 0.0
            result.append(f32(np.copysign(magnitude, value)) * step)
    return np.array(result, np.float32)


FINITE = st.floats(-65504, 65504, width=16)
WIDE = st.builds(lambda m, e: np.float16(m * 2.0**e), st.floats(-1, 1), st.integers(-20, 15))


@settings(deadline=None)
@given(npst.arrays(np.float16, st.integers(1, 70), elements=FINITE | WIDE), st.sampled_from([8, 16, 32]))
def test_nvfp4_equals_the_slow_reference(x, group_size):
    decoded = activation_format("nvfp4", group_size=group_size).encode(x).decode()
    np.testing.assert_array_equal(decoded, nvfp4_reference(x, group_size))


def test_nvfp4_zeroes_a_block_that_is_too_small_for_the_tensors_scale():
    x = np.zeros(32, np.float16)
    x[0], x[16] = 60000, 0.01
    tensor = activation_format("nvfp4").encode(x)
    assert tensor.scales.astype(np.float32).tolist() == [448, 0]
    assert tensor.decode()[16] == 0


def test_nvfp4_uses_both_scales():
    x = np.repeat(np.array([6.0, 3.0, 0.75], np.float16), 16)
    tensor = activation_format("nvfp4").encode(x)
    assert tensor.tensor_scale == np.float32(6) / np.float32(2688)
    assert tensor.scales.astype(np.float32).tolist() == [448, 224, 56]
    assert tensor.elements.dtype == ml_dtypes.float4_e2m1fn
    np.testing.assert_array_equal(tensor.decode(), x)


@pytest.mark.parametrize("name", FLOATING)
def test_the_table_of_elements_agrees_with_ml_dtypes(name):
    element = activation_format(name).element
    info = ml_dtypes.finfo(element.dtype)
    assert (element.bits, element.largest) == (info.bits, float(info.max))
    assert element.largest_exponent == int(np.floor(np.log2(element.largest)))
    assert mx.SCALE_BIAS == 127
