"""Lists, ranges and formulas of sweep files."""

from typing import Any

import numpy as np
import pytest
from anda_codesign.experiments.sweep.space.values import expand
from anda_codesign.formats import InputError
from anda_codesign.formats.documents.expressions import Expression
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("given_", "values"),
    [
        (7, [7]),
        ("anda", ["anda"]),
        ([3, 1], [3, 1]),
        ({"from": 4, "to": 7}, [4, 5, 6, 7]),
        ({"from": 1, "to": 8, "step": 3}, [1, 4, 7]),
        ({"from": 0.1, "to": 0.3, "step": 0.1}, [0.1, 0.2, 0.30000000000000004]),
        ({"from": 1, "to": 1000, "points": 4}, [1, 10, 100, 1000]),
        ({"from": 1, "to": 4, "points": 7}, [1, 2, 3, 4]),
        ({"from": 0.5, "to": 2.0, "points": 3}, [0.5, 1.0, 2.0]),
        ({"from": 1, "to": 4, "points": 3, "unit": "MiB"}, ["1 MiB", "2 MiB", "4 MiB"]),
    ],
)
def test_values(given_: Any, values: list[Any]):
    assert expand(given_) == values


RANGE_KEYS = "use from, to, step (or points: that many, spaced by equal ratios), unit"


@pytest.mark.parametrize(
    ("given_", "message"),
    [
        ({"from": 1}, f"a range needs a number under 'to'; {RANGE_KEYS}"),
        ({"from": "1", "to": 2}, f"a range needs a number under 'from'; {RANGE_KEYS}"),
        ({"from": 1, "to": float("inf")}, f"a range needs a number under 'to'; {RANGE_KEYS}"),
        ({"from": 1, "to": 2, "by": 1}, f"'by' is not a key of a range; {RANGE_KEYS}"),
        ({"from": 2, "to": 1}, "the range from 2 to 1 is empty; put the smaller first"),
        ({"from": 1, "to": 2, "step": 0}, "step is 0; give a number above 0"),
        ({"from": 1, "to": 2, "step": "1"}, "step is '1'; give a number above 0"),
        ({"from": 1, "to": 2, "step": 1, "points": 2}, "a range has either step or points; remove one"),
        ({"from": 0, "to": 2, "points": 2}, "a range spaced by ratios starts at 0; start above 0"),
        ({"from": 1, "to": 2, "points": 1}, "points is 1; give a whole number from 2 to 100000"),
        ({"from": 0, "to": 1, "step": 1e-9}, "the range has more than 100000 values"),
    ],
)
def test_ranges_that_are_none(given_: dict[str, Any], message: str):
    with pytest.raises(ValueError) as error:
        expand(given_)
    assert str(error.value).startswith(message)


COLUMNS = {"cycles": np.array([1, 2, 4]), "seconds": np.array([0.5, 1.0, 0.0]), "arch": np.array(["a", "b", "a"])}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("cycles * 2 + 1", [3, 5, 9]),
        ("cycles / seconds", [2, 2, np.inf]),
        ("-cycles ** 2", [-1, -4, -16]),
        ("cycles % 3", [1, 2, 1]),
        ("max(cycles, 3) - min(seconds, 0.75)", [2.5, 2.25, 4]),
        ("log2(cycles) + sqrt(cycles ** 2) + abs(-1) + exp(0) + log10(100) + round(0.4)", [5, 7, 10]),
        ("cycles >= 2 and arch == 'a'", [False, False, True]),
        ("arch != 'a' or not seconds < 0.75 or cycles == 1", [True, True, False]),
        ("9 ** 9 ** 9 > 1", True),
    ],
)
def test_formulas(text: str, value: Any):
    result = Expression(text, "x").evaluate(COLUMNS)
    np.testing.assert_allclose(np.asarray(result, dtype=float), np.asarray(value, dtype=float))


def test_formulas_of_one_point():
    assert Expression("tokens * 2 == 8 and arch == 'a'", "x").evaluate({"tokens": 4, "arch": "a"})
    assert not Expression("tokens != 4", "x").evaluate({"tokens": 4})


ALLOWED = (
    "use numbers, columns, + - * / % **, one comparison, and, or, not, min, max, abs, sqrt, exp, log2, log10, round"
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cycles *", "f: 'cycles *'"),
        ("a; b", "f: 'a; b'"),
        ("cycles.real", "f: 'cycles.real'"),
        ("__import__('os')", "f: \"__import__('os')\" is not allowed in a formula"),
        ("[1, 2]", "f: '[1, 2]'"),
        ("(lambda: 1)()", "f: '(lambda: 1)()'"),
        ("1 < cycles < 3", "f: '1 < cycles < 3'"),
        ("max(cycles)", "f: 'max(cycles)'"),
        ("cycles if 1 else 2", "f: 'cycles if 1 else 2'"),
        ("cycles // 2", "f: 'cycles // 2'"),
    ],
)
def test_formulas_that_are_refused(text: str, message: str):
    with pytest.raises(InputError) as error:
        Expression(text, "f")
    assert str(error.value).startswith(message)


def test_a_formula_that_is_too_long():
    assert Expression("-" * 100 + "1", "f").evaluate({}) == 1
    for formula, message in (("-" * 101 + "1", "f: nests more than 100 deep"), ("-" * 500 + "1", "f: has 501")):
        with pytest.raises(InputError) as error:
            Expression(formula, "f")
        assert str(error.value).startswith(message)


def test_names_that_are_no_columns():
    with pytest.raises(InputError) as error:
        Expression("cycles * watts", "derived.x").evaluate(COLUMNS)
    assert str(error.value).startswith("derived.x: 'watts'")


def test_texts_are_no_numbers():
    with pytest.raises(InputError) as error:
        Expression("arch * 2 + cycles", "f").evaluate({"arch": "a", "cycles": 1})
    assert str(error.value).startswith("f: 'arch * 2 + cycles'")


@given(st.text(alphabet="abc123+-*/%() .,'<>=andort\n", max_size=30))
def test_any_text_is_a_formula_or_refused_in_one_line(text: str):
    columns = {"a": np.array([1.0, 2.0]), "b": np.array([0.0, -3.0]), "c": np.array(["x", "y"])}
    try:
        Expression(text, "f").evaluate(columns)
    except InputError as error:
        assert str(error).startswith("f: ")
