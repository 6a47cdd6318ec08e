"""Every FP16 value under every shared exponent, against a table of all magnitudes that a format has.

A format with power-of-two scales is its grid: the magnitudes that exist under the shared exponent 0, in the order of
their codes. The reference picks from that list by the rounding rule and knows nothing of shifts and casts. A pair
(value, exponent of the group's largest element) is all that the encoder sees, so nothing is left out.
"""

from functools import cache
from typing import NamedTuple

import numpy as np
import pytest
from anda_codesign.formats.activations.registry import activation_format

LEAST_NORMAL, LEAST = -14, -24


class Grid(NamedTuple):
    magnitudes: np.ndarray  # float64, ascending; index parity is code parity
    least_exponent: int
    truncate: bool = False


def integers(magnitude_bits, least_exponent=LEAST_NORMAL, truncate=False):
    return Grid(np.arange(2.0**magnitude_bits) * 2.0 ** (1 - magnitude_bits), least_exponent, truncate)


def minifloat(exponent_bits, fraction_bits, codes):
    """The first ``codes`` magnitudes, scaled so that the largest one has the exponent 0."""
    code = np.arange(codes)
    field, fraction = code >> fraction_bits, code & (2**fraction_bits - 1)
    significand = np.where(field == 0, fraction, fraction + 2**fraction_bits).astype(np.float64)
    values = significand * 2.0 ** np.maximum(field, 1)
    assert field.max() < 2**exponent_bits
    return Grid(values / 2.0 ** np.floor(np.log2(values[-1])), LEAST)


GRIDS = {
    ("lian", ()): integers(7),
    ("lian", (("rounding", "truncate"),)): integers(7, truncate=True),
    ("fan", ()): integers(14),
    ("fast", (("mantissa_bits", 2),)): integers(2, truncate=True),
    ("fast", (("mantissa_bits", 4),)): integers(4, truncate=True),
    ("fast", (("mantissa_bits", 4), ("rounding", "nearest"))): integers(4),
    ("flexblock", (("mantissa_bits", 4),)): integers(3, LEAST),
    ("flexblock", (("mantissa_bits", 8),)): integers(7, LEAST),
    ("flexblock", (("mantissa_bits", 16),)): integers(15, LEAST),
    ("figna", (("mantissa_bits", 13),)): integers(13, truncate=True),
    ("figna", (("mantissa_bits", 11),)): integers(11, truncate=True),
    ("figna", (("mantissa_bits", 8),)): integers(8, truncate=True),
    ("ifpu", (("mantissa_bits", 16),)): integers(16, truncate=True),
    ("boost", ()): minifloat(2, 5, 128),
    # OCP MX v1.0, tables 1 to 6: the codes of finite numbers
    ("mxfp8-e4m3", ()): minifloat(4, 3, 127),  # the last code is NaN
    ("mxfp8-e5m2", ()): minifloat(5, 2, 124),  # infinity and three NaN
    ("mxfp6-e2m3", ()): minifloat(2, 3, 32),
    ("mxfp6-e3m2", ()): minifloat(3, 2, 32),
    ("mxfp4", ()): minifloat(2, 1, 8),
    ("mxint8", ()): Grid(np.arange(128) / 64, LEAST),
}


@cache
def values_and_exponents():
    """All finite FP16 magnitudes with all shared exponents that a group holding them can have."""
    finite = np.arange(0x7C00, dtype=np.uint16).view(np.float16)
    binades = np.floor(np.log2(np.maximum(finite.astype(np.float64), 2.0**LEAST)))
    blocks = [finite[binades <= exponent] for exponent in range(LEAST, 16)]
    exponents = np.repeat(np.arange(LEAST, 16), [len(block) for block in blocks])
    return np.concatenate(blocks), exponents


def reference(values, exponents, grid):
    """Scale to the shared exponent 0 (exact in float64), pick from the grid, scale back."""
    exponents = np.maximum(exponents, grid.least_exponent).astype(np.float64)
    scaled = values.astype(np.float64) / 2.0**exponents
    if grid.truncate:
        index = np.searchsorted(grid.magnitudes, scaled, side="right") - 1
    else:
        above = np.minimum(np.searchsorted(grid.magnitudes, scaled), len(grid.magnitudes) - 1)
        below = np.maximum(above - 1, 0)
        to_above, to_below = np.abs(grid.magnitudes[above] - scaled), np.abs(scaled - grid.magnitudes[below])
        up = (to_above < to_below) | ((to_above == to_below) & (above % 2 == 0))
        index = np.where(up, above, below)
    return grid.magnitudes[index] * 2.0**exponents


@pytest.mark.parametrize("key", GRIDS, ids=str)
def test_every_value_under_every_exponent(key):
    name, parameters = key
    values, exponents = values_and_exponents()
    subnormal, normal = sum(2**k for k in range(1, 11)), sum(1024 * (1 + k) for k in range(1, 31))
    assert len(values) == subnormal + normal == 508_926
    fmt = activation_format(name, **dict(parameters), group_size=2)
    anchors = np.ldexp(np.float16(1), exponents).astype(np.float16)
    signs = np.where(np.arange(len(values)) % 2, np.float16(-1), np.float16(1))
    decoded = fmt.encode(np.stack([values * signs, anchors], axis=-1)).decode()
    expected = reference(values, exponents, GRIDS[key]) * signs
    np.testing.assert_array_equal(decoded[:, 0].astype(np.float64), expected)


@pytest.mark.parametrize(("mantissa_bits", "magnitude_bits"), [(2, 2), (4, 4), (8, 7)])
@pytest.mark.parametrize("partner", ["large", "zero"])
def test_dacapo_under_every_exponent_and_microexponent(mantissa_bits, magnitude_bits, partner):
    values, exponents = values_and_exponents()
    anchors = np.ldexp(np.float16(1), exponents).astype(np.float16)
    zeros = np.zeros_like(anchors)
    fmt = activation_format("dacapo", mantissa_bits=mantissa_bits, group_size=4)
    pair = [values, anchors if partner == "large" else zeros]
    decoded = fmt.encode(np.stack([*pair, anchors, zeros], axis=-1)).decode()
    # A pair that stays below the group's binade has a grid of half the step: the grid of one exponent less.
    microexponents = (values < anchors) if partner == "zero" else np.zeros(len(values), np.bool_)
    expected = reference(values, exponents - microexponents, integers(magnitude_bits, LEAST - 1, truncate=True))
    np.testing.assert_array_equal(decoded[:, 0].astype(np.float64), expected)


@pytest.mark.parametrize("name", ["fp16", "ifpu"])
def test_formats_that_lose_nothing(name):
    values, exponents = values_and_exponents()
    fmt = activation_format(name, **({"mantissa_bits": 40, "group_size": 2} if name == "ifpu" else {}))
    anchors = np.ldexp(np.float16(1), exponents).astype(np.float16)
    decoded = fmt.encode(np.stack([values, anchors], axis=-1)).decode()
    np.testing.assert_array_equal(decoded[:, 0], values)


def test_bf16_rounds_every_value_to_8_significant_bits():
    values = np.arange(0x7C00, dtype=np.uint16).view(np.float16)
    exponents = np.floor(np.log2(np.maximum(values, 2.0**-24).astype(np.float64)))
    expected = np.rint(values / 2.0 ** (exponents - 7)) * 2.0 ** (exponents - 7)
    np.testing.assert_array_equal(activation_format("bf16").encode(values).decode(), expected)
    np.testing.assert_array_equal(activation_format("bf16").encode(-values).decode(), -expected)
