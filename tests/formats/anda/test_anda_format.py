"""AndaFormat: its parameters, what it answers, and what it refuses to encode."""

import dataclasses
from typing import Any

import numpy as np
import pytest
from anda_codesign.formats import AndaFormat, InputError

pytestmark = pytest.mark.usefixtures("each_backend")


def test_storage_and_cycles() -> None:
    fmt = AndaFormat(mantissa_bits=6, group_size=64)
    assert fmt.bits_per_value == 7.078125  # the paper's example: 7.08 bits against 16
    assert fmt.cycles_per_group == 7
    assert AndaFormat(8, group_size=32).bits_per_value == 9.15625


def test_frozen_and_hashable() -> None:
    fmt = AndaFormat(6)
    assert {fmt: "kept"}[AndaFormat(6)] == "kept"
    with pytest.raises(dataclasses.FrozenInstanceError):
        fmt.mantissa_bits = 7  # type: ignore[misc]


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"mantissa_bits": 0}, "mantissa_bits: 0"),
        ({"mantissa_bits": 17}, "mantissa_bits: 17"),
        ({"mantissa_bits": True}, "mantissa_bits: True"),
        ({"mantissa_bits": 7.5}, "mantissa_bits: 7.5"),
        ({"mantissa_bits": 7.0}, "mantissa_bits: 7.0"),
        ({"mantissa_bits": "7"}, "mantissa_bits: '7'"),
        ({"group_size": 48}, "group_size: 48"),
        ({"rounding": "up"}, "rounding: 'up'"),
        ({"nonfinite": "drop"}, "nonfinite: 'drop'"),
        ({"reconstruct": "mean"}, "reconstruct: 'mean'"),
        ({"mask_rows": 65}, "mask_rows: 65"),
    ],
)
def test_refuses_parameters(parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as caught:
        AndaFormat(**{"mantissa_bits": 8, **parameters})
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (
            np.zeros(3, np.float32),
            "x: is float32, not a float16 array",
        ),
        ([1.0, 2.0], "x: is list, not a float16 array"),
        (np.float16(1).reshape(()), "x: shape () has no channels"),
        (np.zeros((2, 0), np.float16), "x: shape (2, 0) has no channels"),
    ],
)
def test_refuses_to_encode(x: Any, message: str) -> None:
    with pytest.raises(InputError) as caught:
        AndaFormat(8).encode(x)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(("value", "name"), [(np.inf, "inf"), (-np.inf, "-inf"), (np.nan, "nan")])
def test_names_the_first_nonfinite_element(value: float, name: str) -> None:
    x = np.ones((2, 3, 200), np.float16)
    x[1, 0, 130] = x[1, 0, 190] = x[1, 2, 0] = value
    with pytest.raises(InputError) as caught:
        AndaFormat(8).encode(x)
    assert str(caught.value) == f'x: element (1, 0, 130) is {name}; remove it or encode with nonfinite="saturate"'


def test_saturates_nonfinite_elements() -> None:
    x = np.array([1, np.inf, -np.inf, np.nan, -np.nan, -0.0], np.float16)
    tensor = AndaFormat(11, nonfinite="saturate").encode(x)
    assert tensor.saturated
    np.testing.assert_array_equal(tensor.decode(), np.array([0, 65504, -65504, 65504, -65504, 0], np.float16))
    assert not AndaFormat(11, nonfinite="saturate").encode(x[:1]).saturated
