"""Checks accept what is in range and name the field, the value and the fix of the rest."""

import math
from enum import StrEnum
from typing import Any

import numpy as np
import pytest
from anda_codesign.formats.checks import (
    check_array,
    check_choice,
    check_finite,
    check_integer,
    check_number,
    check_positive,
)
from anda_codesign.formats.errors import InputError


class Colour(StrEnum):
    RED = "red"


def test_values_in_range_are_returned() -> None:
    assert check_integer("a", 1, 1, 1) == check_integer("a", np.int64(1), 1) == 1
    assert check_number("a", 0.5, 0.5, 1) == check_positive("a", 0.5) == 0.5
    assert check_number("a", math.inf, 0) == math.inf
    assert check_choice("a", "red", Colour) is Colour.RED


@pytest.mark.parametrize("value", [True, 0, 17, 4.0, "4", None, math.nan])
def test_integers_are_integers(value: Any) -> None:
    with pytest.raises(InputError, match=rf"^a: {value!r} .* 1 to 16$"):
        check_integer("a", value, 1, 16)


@pytest.mark.parametrize("value", [True, -0.5, 1.5, "1", None, math.nan])
def test_numbers_are_numbers(value: Any) -> None:
    with pytest.raises(InputError, match=rf"^a: {value!r} .* 0 to 1$"):
        check_number("a", value, 0, 1)


@pytest.mark.parametrize("value", [True, 0, -1, math.inf, math.nan, "1"])
def test_positive_numbers_are_finite(value: Any) -> None:
    with pytest.raises(InputError, match=f"^a: {value!r} "):
        check_positive("a", value)


@pytest.mark.parametrize("value", [True, 1.0, "1", 3, None])
def test_choices_are_not_booleans_or_floats(value: Any) -> None:
    with pytest.raises(InputError, match=rf"^a: {value!r} .* 1, 2$"):
        check_choice("a", value, (1, 2))


def test_arrays_have_dtype_and_shape_and_finite_values() -> None:
    array = np.array([[1.0, np.nan]], np.float16)
    assert check_array("a", array, np.float16, (1, 2)) is array
    for dtype, shape in ((np.float32, (1, 2)), (np.float16, (2,))):
        with pytest.raises(InputError, match=r"^a: is float16 \[1, 2\]; .*float"):
            check_array("a", array, dtype, shape)
    with pytest.raises(InputError, match=r"^a: element \(0, 1\) is nan"):
        check_finite("a", array)
