"""`anda rtl waveform` and `anda rtl lint`."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from anda_codesign.experiments.circuits.waveform_figure import MANTISSA_BITS, VALUES, WEIGHTS, draw_group
from anda_codesign.formats import AndaFormat

Run = Callable[..., Any]


def test_waveform(anda: Run, tmp_path: Path) -> None:
    path = tmp_path / "group.svg"
    answer = anda("rtl", "waveform", "--out", path)
    assert (answer.status, answer.out, answer.err) == (0, "", f"anda: note: wrote {path}\n")
    text = path.read_text()
    assert "<svg" in text
    assert "shared exponent" in text


def test_the_figure_shows_the_group() -> None:
    figure = draw_group()
    texts = [text.get_text() for text in figure.axes[0].texts]
    tensor = AndaFormat(MANTISSA_BITS, 8).encode(np.pad(np.array(VALUES, np.float16), (0, 4)))
    planes = [int(word) for word in (tensor.signs[0], *tensor.planes[0])]
    assert [text for text in texts if re.fullmatch("[01]{4}", text)] == [f"{plane:04b}"[::-1] for plane in planes]
    total = int(tensor.signed_integers()[0, :4].astype(np.int64) @ np.array(WEIGHTS))
    assert figure.get_suptitle().endswith(f": {total} · 2^({int(tensor.exponents[0]) - MANTISSA_BITS} - 14)")


@pytest.mark.parametrize("name", ["group.txt", "group"])
def test_waveform_of_no_kind(refused: Run, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    assert refused("rtl", "waveform", "--out", path).startswith(f"out: {path} ")


@pytest.mark.parametrize(("warnings", "status"), [([], 0), (["%Warning-WIDTHTRUNC: x"], 1)])
def test_lint(anda: Run, monkeypatch: pytest.MonkeyPatch, warnings: list[str], status: int) -> None:
    monkeypatch.setattr("anda_codesign.rtl.verilog.lint.lint", lambda name: warnings)
    answer = anda("rtl", "lint", "anda-pe")
    assert answer.status == status
    assert answer.out.splitlines() == [f"anda-pe: {len(warnings) or 'no'} warnings", *(f"  {w}" for w in warnings)]


def test_lint_of_an_unknown_circuit(refused: Run) -> None:
    assert refused("rtl", "lint", "pe").startswith("design: there is no 'pe'")
