"""`anda rtl waveform` and `anda rtl lint`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]


def test_waveform(anda: Run, tmp_path: Path) -> None:
    path = tmp_path / "group.svg"
    answer = anda("rtl", "waveform", "--out", path)
    assert (answer.status, answer.out, answer.err) == (0, "", f"anda: note: wrote {path}\n")
    text = path.read_text()
    assert "<svg" in text
    assert "shared exponent" in text


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("group.txt", "out: {} is no picture; end it in .png, .svg, .pdf"),
        ("group", "out: {} is no picture; end it in .png, .svg, .pdf"),
    ],
)
def test_waveform_of_no_kind(refused: Run, tmp_path: Path, name: str, message: str) -> None:
    assert refused("rtl", "waveform", "--out", tmp_path / name) == message.format(tmp_path / name)


@pytest.mark.parametrize(("warnings", "status"), [([], 0), (["%Warning-WIDTHTRUNC: x"], 1)])
def test_lint(anda: Run, monkeypatch: pytest.MonkeyPatch, warnings: list[str], status: int) -> None:
    monkeypatch.setattr("anda_codesign.rtl.verilog.lint.lint", lambda name: warnings)
    answer = anda("rtl", "lint", "anda-pe")
    assert answer.status == status
    assert answer.out.splitlines() == [f"anda-pe: {len(warnings) or 'no'} warnings", *(f"  {w}" for w in warnings)]


def test_lint_of_an_unknown_circuit(refused: Run) -> None:
    assert refused("rtl", "lint", "pe").startswith("design: there is no 'pe'; choose one of ")
