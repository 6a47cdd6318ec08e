import json
from pathlib import Path
from typing import Any

import pytest
from anda_codesign.formats import InputError
from anda_codesign.formats.documents.yaml_file import MOST_BYTES, MOST_LEVELS, parse_yaml, read_yaml
from hypothesis import given
from hypothesis import strategies as st

TEXTS = st.text(st.characters(exclude_categories=["C", "Zl", "Zp"]))
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(1 - 2**63, 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS
)


def refusal(text: str) -> str:
    with pytest.raises(InputError, match=r"^file: is not YAML ") as error:
        parse_yaml(text, "file")
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0100", 100),
        ("0o17", 15),
        ("0x1F", 31),
        ("+12", 12),
        ("1e18", 1e18),
        (".5", 0.5),
        ("-.INF", float("-inf")),
        ("yes", "yes"),
        ("off", "off"),
        ("1_000", "1_000"),
        ("1:20", "1:20"),
        ("2024-99-99", "2024-99-99"),
        ("'1'", "1"),
        ("!!str 1", "1"),
        ("~", None),
        ("TRUE", True),
    ],
)
def test_scalars_are_those_of_yaml_1_2(text: str, value: object):
    """Section 10.3.2 of the YAML 1.2 specification."""
    assert parse_yaml(f"a: {text}", "file") == {"a": value}


@given(st.dictionaries(TEXTS, SCALARS | st.lists(SCALARS)))
def test_json_is_yaml(data: dict[str, Any]):
    """Every JSON document is a YAML 1.2 document of the same value."""
    assert parse_yaml(json.dumps(data, ensure_ascii=False), "file") == data


def test_anchors_and_merge_keys():
    assert parse_yaml("a: &a {x: 1}\nb: {<<: *a, y: *a}", "file") == {"a": {"x": 1}, "b": {"x": 1, "y": {"x": 1}}}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a: 1\nb: [1, 2", "in line "),
        ("a: 1\nb:\n  a: 1\n  a: 2", "the key 'a' is given twice) in line 4"),
        ("a: 1\nb: !!timestamp foo", "timestamp' is not plain data) in line 2"),
        ("a: !!python/object/apply:os.system [ls]", "is not plain data) in line 1"),
        ("a: !!int foo", "in line 1"),
        ("a: 1\nb: " + "9" * 5000, "is too large) in line 2"),
        ("[1]: 2", "unhashable key) in line 1"),
        ("a: &a [*a]", "an alias stands inside its own anchor) in line 1"),
        ("a: 1\n---\nb: 2", "in line 2"),
        ("a: \x07", "control characters"),
        ("[" * (MOST_LEVELS + 1) + "]" * (MOST_LEVELS + 1), "nested deeper"),
        ("- " * 5000, "nested deeper"),
        ("[" * 100_000, "nest"),
        ('a: 1\nname: "\\e[2J"', "(a text holds the control character '\\x1b') in line 2"),
        ('"\\a": 1', "the control character '\\x07'"),
    ],
)
def test_a_refusal_names_reason_and_line(text: str, reason: str):
    assert reason in refusal(text)


def test_aliases_count_as_what_they_stand_for():
    """Ten levels of ten aliases would be 10^10 values; merge keys multiply in the same way."""
    for item in ("[{}]", "{{<<: [{}]}}"):
        lines = ["a0: &a0 {x: 1}"]
        lines += [f"a{n + 1}: &a{n + 1} " + item.format(", ".join([f"*a{n}"] * 10)) for n in range(9)]
        with pytest.raises(InputError, match=r"^file: has more than 200,000 values"):
            parse_yaml("\n".join(lines), "file")


def test_many_keys_and_large_files(tmp_path: Path):
    """60,000 keys are read; a file of more than 1 MiB is refused before it is parsed."""
    assert len(parse_yaml("".join(f"k{n}: 1\n" for n in range(60_000)), "file")) == 60_000
    path = tmp_path / "large.yaml"
    path.write_bytes(b"#" * (MOST_BYTES + 1))
    with pytest.raises(InputError, match=r"^file: has more than 1 MiB"):
        read_yaml(path, "file")
