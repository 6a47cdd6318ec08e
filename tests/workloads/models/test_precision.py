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


def test_bad_text():
    for text in ("7,5,6", "7,5,6,6,6", "7", "", "7,5,six,6", "7,5.5,6,6"):
        with pytest.raises(InputError, match=f"^precision: {text!r} is not four numbers; .* such as 7,5,6,6$"):
            Precision.parse(text)


def test_bad_numbers():
    cases = (((7, 0, 6, 6), "o has 0 "), ((7, 7, 17, 7), "u has 17 "), ((-7, 7, 7, 7), "qkv has -7 "))
    for bits, message in cases:
        with pytest.raises(InputError, match=f"^precision: {message}mantissa bits; use 1 to 16$"):
            Precision(*bits)
    with pytest.raises(InputError, match=r"^precision: d has 17 "):
        Precision.parse("7,5,6,17")
    with pytest.raises(InputError, match=r"^precision: u is 6\.5, not a whole number"):
        Precision(7, 7, 6.5, 7)  # type: ignore[arg-type]
