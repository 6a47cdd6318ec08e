"""FIGNA and iFPU keep the values of the Anda format that they name."""

import numpy as np
import pytest
from anda_codesign.formats.activations.aligned import FignaFormat, IfpuFormat


@pytest.mark.parametrize("bits", [1, 8, 11, 13, 16])
@pytest.mark.parametrize("kind", [FignaFormat, IfpuFormat])
def test_values_of_every_width_are_those_of_anda(kind: type[FignaFormat | IfpuFormat], bits: int):
    rng = np.random.default_rng(bits)
    codes = rng.integers(0, 1 << 16, (64, 200), dtype=np.uint16)
    codes[:8] = (codes[:8] & 0x83FF) | 0x0400 * rng.integers(0, 2, (8, 1), dtype=np.uint16)  # subnormal and small
    x = codes.view(np.float16)
    x = np.where(np.isfinite(x), x, np.float16(0)).astype(np.float16)
    own = kind(mantissa_bits=bits)
    anda = own.same_values
    assert anda is not None
    np.testing.assert_array_equal(own.encode(x).decode(), anda.encode(x).decode())


def test_other_roundings_and_widths_have_no_such_format():
    assert FignaFormat(rounding="nearest").same_values is None
    assert IfpuFormat().same_values is None
