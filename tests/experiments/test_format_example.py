"""The example of docs/activation_formats.md runs: one format file in simulate, compare, sweep, search and report."""

import re
import shlex
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from anda_codesign.formats.plugins import load_plugins
from tiny import random_text, tiny_model

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "activation_formats.md").read_text()
BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COMMANDS = ("simulate", "formats compare", "sweep", "search", "report")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The examples, on a tiny model."""
    monkeypatch.chdir(tmp_path)
    random_text(monkeypatch, tmp_path / "cache")
    shutil.copytree(ROOT / "examples", "examples")
    sweep = Path("examples/my_sweep.yaml")
    sweep.write_text(sweep.read_text().replace("SmolLM2-135M", str(tiny_model(tmp_path / "tiny"))))
    yield tmp_path
    load_plugins(())


@pytest.mark.slow
def test_the_commands_of_the_page(folder: Path, anda: Callable[..., Any]):
    lines = [line.removeprefix("$ anda ") for block in BLOCK.findall(PAGE) for line in block.splitlines()]
    assert [line[: len(name)] for line, name in zip(lines, COMMANDS, strict=True)] == list(COMMANDS)
    printed: dict[str, str] = {}
    for name, line in zip(COMMANDS, lines, strict=True):
        answer = anda(*shlex.split(line.replace("SmolLM2-135M", str(folder / "tiny"))))
        assert answer.status == 0, answer.err
        printed[name] = answer.out
    assert re.search(r"my-format +6.156 +6 ", printed["formats compare"])
    assert re.search(r"6,6,6,6 +my-format bits=6 ", printed["sweep"])
    assert "my-format, 6.15625 bits a value: loss " in printed["search"]
    frame = pd.read_parquet("report/table.parquet")
    assert frame["label"].tolist()[-2:] == ["my-format bits=6 group_size=32", "mxint8"]
    assert frame["loss_percent"].iloc[-2:].notna().all()


def test_the_format_has_forty_lines():
    text = (ROOT / "examples" / "my_format.py").read_text()
    assert len([line for line in text.splitlines() if line]) <= 45
