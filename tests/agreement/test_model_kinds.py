"""Every kind of model from its file to every question: what transformers' classes write goes through every command."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from anda_codesign.experiments.cli import main
from anda_codesign.experiments.report import job
from anda_codesign.workloads import Trace

sys.path.insert(0, str(Path(__file__).parents[1] / "workloads" / "inference"))

import test_transformers as kinds

from anda_codesign import report

pytestmark = [pytest.mark.hf, pytest.mark.model, pytest.mark.filterwarnings("ignore::DeprecationWarning")]

LONG = {"max_position_embeddings": 512}
FOLDERS = {
    "llama": lambda: kinds.llama(**LONG),
    "mistral": lambda: kinds.mistral(sliding_window=48, **LONG),
    "qwen2": lambda: kinds.qwen2(tie_word_embeddings=True, **LONG),
    "qwen3": lambda: kinds.qwen3(hidden_size=128, head_dim=64, **LONG),
    "gemma3": lambda: kinds.gemma3(head_dim=64, **LONG),
    "opt": lambda: kinds.opt(**LONG),
}
GGUF_FILES = {kind: FOLDERS[kind] for kind in ("llama", "qwen2", "qwen3", "gemma3")} | {
    "mistral": lambda: kinds.mistral(sliding_window=48, **LONG)
}


@pytest.fixture(autouse=True)
def own_evaluations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("anda_codesign.experiments.inputs.evaluation_cache", lambda: tmp_path / "cache")


def saved(kind: str, folder: Path) -> Path:
    kinds.save(FOLDERS[kind](), folder)
    kinds.tokenizer().save(str(folder / "tokenizer.json"))
    return folder


def answer(capsys: pytest.CaptureFixture[str], *arguments: object) -> Any:
    capsys.readouterr()
    assert main([*map(str, arguments), "--json", "-"]) == 0, capsys.readouterr().err
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("kind", FOLDERS)
def test_capture_search_and_quantisation(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    model = saved(kind, tmp_path / kind)
    text = tmp_path / "text.txt"
    text.write_text(kinds.TEXT * 5)
    out = tmp_path / "trace"
    command = ["trace", "capture", "--hf", model, "--text", text, "--tokens", 32, "--out", out]
    assert main([str(part) for part in command]) == 0, capsys.readouterr().err
    assert Trace.load(out).metadata["layers"] == [0, 1, 2]
    found = answer(
        capsys, "search", "--model", model, "--text", text, "--tokens", 32, "--blocks", 4, "--tolerance", 0.05
    )
    assert found["history"]
    rows = answer(
        capsys,
        *("quantize", "--model", model, "--method", "gptq", "--method", "spqr:group_size=16", "--bits", 3),
        *("--blocks", 1, "--calibration-blocks", 1, "--tokens", 64),
    )
    assert len(rows) == 2


@pytest.mark.parametrize("kind", GGUF_FILES)
def test_gguf_files(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    model = kinds.gguf_file(GGUF_FILES[kind](), tmp_path / f"{kind}.gguf", with_tokenizer=True)
    text = tmp_path / "text.txt"
    text.write_text(kinds.TEXT * 5)
    out = tmp_path / "trace.safetensors"
    command = ["trace", "capture", "--model", model, "--tokens", 32, "--out", out]
    assert main([str(part) for part in command]) == 0, capsys.readouterr().err
    assert Trace.load(out).metadata["layers"] == [0, 1, 2]
    found = answer(
        capsys, "search", "--model", model, "--text", text, "--tokens", 32, "--blocks", 4, "--tolerance", 0.05
    )
    assert found["history"]
    quantised = ("quantize", "--model", model, "--method", "gptq", "--bits", 3)
    assert answer(capsys, *quantised, "--blocks", 1, "--calibration-blocks", 1, "--tokens", 64)


@pytest.mark.parametrize("kind", [*FOLDERS, *(f"{kind}.gguf" for kind in GGUF_FILES)])
def test_reports(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The whole report of a tiny model, on short blocks and one mantissa width of the circuits."""
    name = kind.removesuffix(".gguf")
    if kind == name:
        model = saved(kind, tmp_path / kind)
    else:
        model = kinds.gguf_file(GGUF_FILES[name](), tmp_path / kind, with_tokenizer=True)
    monkeypatch.setattr(job, "CIRCUIT_WIDTHS", (3,))
    found = report(model=model, blocks=2, tokens=64, out=tmp_path / "report")
    assert (tmp_path / "report" / "report.html").is_file()
    assert len(found.frame) > 2
