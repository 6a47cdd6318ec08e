"""Commands as functions: every one that prints JSON has one, and what it returns is a frame."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import typer
from anda_codesign.experiments import frames
from anda_codesign.experiments.cli import app
from anda_codesign.experiments.frames import Command, command_frame
from anda_codesign.formats import InputError
from anda_codesign.workloads import TextBlocks, capture_trace, synthetic_decoder

PAGE = (Path(__file__).parents[2] / "docs" / "tutorial.md").read_text()
FUNCTIONS = {name: value for name, value in vars(frames).items() if isinstance(value, Command)}
GEMM = {"gemm": "16x64x64", "m": 7}


def commands(command: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[str, bool]]:
    """Every command of the program, and whether it prints JSON."""
    own = any("--json" in parameter.opts for parameter in command.params)
    inner = getattr(command, "commands", {})
    if words and (not inner or own):
        yield " ".join(words), own
    for name, sub in inner.items():
        yield from commands(sub, (*words, name))


def test_every_command_is_a_function_on_the_page():
    found = dict(commands(typer.main.get_command(app)))
    assert {command.words for command in FUNCTIONS.values()} == {words for words, has_json in found.items() if has_json}
    table = PAGE[PAGE.index("| command | function |") :]
    assert [words for words in found if f"`anda {words}`" not in table] == []
    assert [name for name in FUNCTIONS if f"`{name}`" not in table] == []


@pytest.fixture(scope="module")
def trace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("trace") / "trace.safetensors"
    blocks = TextBlocks(np.arange(16, dtype=np.int32)[None])
    capture_trace(synthetic_decoder(), blocks, layers=(0,), tokens=4).save(path)
    return path


@pytest.mark.parametrize(
    ("name", "arguments", "options", "columns"),
    [
        ("models", (), {}, {"name", "layers", "macs_per_token"}),
        ("archs", (), {}, {"name", "area_mm2"}),
        ("formats", (), {}, {"name", "parameters.mantissa_bits"}),
        ("simulate", (), GEMM, {"arch", "cycles", "energy_pj.total"}),
        ("simulate", (), {"model": "OPT-125M", "m": 7, "tokens": 16, "whole": True}, {"fp_int_share"}),
        ("explain", (), GEMM, {"quantity", "count", "unit", "total"}),
        ("reproduce", ("fig18",), {}, {"figure", "quantity", "published", "ours", "deviation", "kind"}),
    ],
)
def test_a_frame(
    name: str,
    arguments: tuple[str, ...],
    options: dict[str, Any],
    columns: set[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.chdir(tmp_path)
    frame = FUNCTIONS[name](*arguments, **options)
    assert isinstance(frame, pd.DataFrame)
    assert len(frame) > 0
    assert columns <= set(frame.columns)


def test_frames_of_a_trace(trace: Path):
    assert set(frames.trace_info(trace)["module"]) == {"qkv", "o", "u", "d"}
    planes = frames.trace_planes(trace, m="4-5", rows=1)
    assert set(planes["mantissa_bits"]) == {4, 5}
    snr = frames.compare_formats(trace=trace)
    assert {"name", "snr_db.qkv"} <= set(snr.columns)
    checks = frames.check_circuits(trace=trace, m=4, layer=0)
    assert set(checks["mismatches"]) == {0}


def test_options_are_words():
    one = frames.simulate(gemm="16x64x64", arch="anda,fp-fp", m=7, technology=None, midpoint=False)
    assert one["arch"].tolist() == ["anda", "fp-fp"]


def test_rows_of_several_documents(monkeypatch: pytest.MonkeyPatch):
    documents = [
        {"design": name, "library": {"name": "x"}, "runs": [{"run": "M=4", "pj": 1.0}, {"run": "M=5", "pj": 2.0}]}
        for name in ("a", "b")
    ]
    monkeypatch.setattr(frames, "_document", lambda _: documents)
    frame = frames.synthesize("anda-pe")
    assert frame.to_dict("list") == {"design": ["a", "a", "b", "b"], "run": ["M=4", "M=5"] * 2, "pj": [1.0, 2.0] * 2}


def test_frames_of_bad_commands():
    with pytest.raises(InputError, match=r"^model: 'GPT-5' is unknown"):
        frames.simulate(model="GPT-5", m=7)
    with pytest.raises(InputError, match=r"^command: No such command"):
        command_frame("nonsense")
    with pytest.raises(InputError, match=r"^rows: the document has no list 'rows'; its fields are name, "):
        command_frame("models", rows="rows")
