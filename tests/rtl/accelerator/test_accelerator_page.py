# amaranth: UnusedElaboratable=no
"""The page on circuits says what the program prints, and its example runs."""

import re
from pathlib import Path

import pytest
from anda_codesign.formats.accelerator.assembler import instruction_table
from anda_codesign.rtl import Accelerator
from anda_codesign.rtl.simulation.ports import port_table

PAGE = (Path(__file__).parents[3] / "docs/rtl.md").read_text("utf-8").partition("## The accelerator\n")[2]


def test_the_tables_are_those_of_the_program() -> None:
    assert instruction_table() in PAGE
    assert port_table(Accelerator()) in PAGE


def test_the_example(capsys: pytest.CaptureFixture[str]) -> None:
    example = re.search(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert example is not None
    exec(compile(example[1], "docs/rtl.md", "exec"), {})
    printed = capsys.readouterr().out.splitlines()
    assert printed[:2] == ["True", "True"]
    assert printed[2].startswith("load buffer=planes ")
