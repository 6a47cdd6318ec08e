import re

import pytest
from anda_codesign.formats import InputError
from anda_codesign.workloads import MODULES, Precision
from hypothesis import given
from hypothesis import strategies as st


def test_names_its_modules():
    assert Precision._fields == MODULES
    assert Precision.parse("7,5,6,4")._asdict() == {"qkv": 7, "o": 5, "u": 6, "d": 4}


@given(st.tuples(*[st.integers(1, 16)] * 4))
def test_text_round_trips(bits: tuple[int, int, int, int]):
    assert Precision.parse(str(Precision(*bits))) == bits


def test_spaces_are_allowed():
    assert Precision.parse(" 7, 5,6 ,6 ") == (7, 5, 6, 6)


def test_uniform():
    assert Precision.uniform(7) == Precision(7, 7, 7, 7)


MEND = "give the mantissa bits of qkv, o, u and d, such as 7,5,6,6"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("7,5,6", f"precision: '7,5,6' is not four numbers; {MEND}"),
        ("7,5,6,6,6", f"precision: '7,5,6,6,6' is not four numbers; {MEND}"),
        ("7", f"precision: '7' is not four numbers; {MEND}"),
        ("", f"precision: '' is not four numbers; {MEND}"),
        ("7,5,six,6", f"precision: '7,5,six,6' is not four numbers; {MEND}"),
        ("7,5.5,6,6", f"precision: '7,5.5,6,6' is not four numbers; {MEND}"),
        ("7,0,6,6", "precision: o has 0 mantissa bits; use 1 to 16"),
        ("7,5,6,17", "precision: d has 17 mantissa bits; use 1 to 16"),
        ("-7,5,6,6", "precision: qkv has -7 mantissa bits; use 1 to 16"),
    ],
)
def test_bad_text(text: str, message: str):
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        Precision.parse(text)


@pytest.mark.parametrize(
    ("bits", "message"),
    [
        ((7, 7, 17, 7), "precision: u has 17 mantissa bits; use 1 to 16"),
        ((7, 7, 6.5, 7), f"precision: u is 6.5, not a whole number; {MEND}"),
    ],
)
def test_bad_numbers(bits: tuple[int, int, int, int], message: str):
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        Precision(*bits)
