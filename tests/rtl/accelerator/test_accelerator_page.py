"""The page on circuits says what the program prints, and its example runs."""

import re
from pathlib import Path

import pytest
from anda_codesign.experiments.markdown import renew_parts

from scripts import load_script

PAGE = (Path(__file__).parents[3] / "docs/rtl.md").read_text("utf-8").partition("## The accelerator\n")[2]


def test_the_tables_are_those_of_the_program() -> None:
    tables = load_script("circuit_tables").TABLES
    assert renew_parts(PAGE, {name: tables[name] for name in ("instructions", "ports")}) == PAGE


def test_the_example(capsys: pytest.CaptureFixture[str]) -> None:
    example = re.search(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert example is not None
    exec(compile(example[1], "docs/rtl.md", "exec"), {})
    printed = capsys.readouterr().out.splitlines()
    assert printed[:2] == ["True", "True"]
    assert printed[2].startswith("load buffer=planes ")
