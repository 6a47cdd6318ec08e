"""docs/tutorial.md does what it says: its files are written, its commands and its Python run, in order, in one folder."""

import re
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from anda_codesign.formats.plugins import load_plugins

PAGE = (Path(__file__).parents[2] / "docs" / "tutorial.md").read_text()
BLOCK = re.compile(r"(?:^`(?P<file>[\w.]+)`:\n\n)?^```(?P<kind>\w+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)


def words(line: str) -> list[str]:
    return line.split()


@pytest.mark.model
@pytest.mark.osu018
@pytest.mark.slow
def test_the_tutorial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, anda: Callable[..., Any], capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    namespace: dict[str, Any] = {}
    for block in BLOCK.finditer(PAGE):
        if block["file"]:
            (tmp_path / block["file"]).write_text(block["text"])
        elif block["kind"] == "python":
            exec(compile(block["text"], "tutorial", "exec"), namespace)
        elif block["kind"] == "console":
            run_console(block["text"], anda)
    for module in ("my_format", "my_pe"):
        sys.modules.pop(module)
    load_plugins(())
    assert "my-chip" not in capsys.readouterr().err
    text = (tmp_path / "report" / "report.html").read_text()
    assert "Is the shift of a block worth a chip?" in text
    assert isinstance(namespace["front"], pd.DataFrame)
    for file, most in {"my_format.py": 45, "my_pe.py": 70}.items():
        assert len([line for line in (tmp_path / file).read_text().splitlines() if line]) <= most


def run_console(text: str, anda: Callable[..., Any]) -> None:
    """Run each command; every line under it is a line of its output, spaces aside."""
    for command in re.split(r"^\$ anda ", text, flags=re.MULTILINE)[1:]:
        first, *expected = command.rstrip("\n").split("\n")
        answer = anda(*shlex.split(first))
        assert answer.status == 0, answer.err
        printed = [words(line) for line in answer.out.splitlines()]
        for line in expected:
            assert words(line) in printed, answer.out


def test_the_page_has_all_kinds_of_blocks():
    kinds = [(block["kind"], bool(block["file"])) for block in BLOCK.finditer(PAGE)]
    assert kinds.count(("python", True)) == 2
    assert kinds.count(("yaml", True)) == 3
    assert kinds.count(("python", False)) == 2
    assert kinds.count(("console", False)) == 6
