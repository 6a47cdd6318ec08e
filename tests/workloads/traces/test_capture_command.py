"""`anda trace capture --hf`, and what reads its folders."""

import json
import re
from pathlib import Path

import pytest
from anda_codesign.experiments.cli import main
from checkpoints import LLAMA_CONFIG, OPT_CONFIG, TEXT, ByteTokenizer, llama_tensors, opt_tensors, write


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    path.write_text(TEXT)
    return path


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("anda_codesign.workloads.loading.checkpoint.read_tokenizer", lambda *_: ByteTokenizer())
    return write(tmp_path / "model", LLAMA_CONFIG, llama_tensors())


def capture(model: Path, out: Path, text: Path, *more: str) -> int:
    options = ["--hf", str(model), "--out", str(out), "--text", str(text), "--tokens", "16"]
    return main(["trace", "capture", *options, *more])


def test_the_folder_is_a_trace_for_every_reader(
    model: Path, text: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    out = tmp_path / "out"
    assert capture(model, out, text, "--blocks", "2") == 0
    lines = capsys.readouterr().err.splitlines()
    assert lines[:2] == ["anda: note: layer 1 of 2", "anda: note: layer 2 of 2"]
    assert re.fullmatch(rf"anda: note: wrote {re.escape(str(out))} \([\d.]+ [KM]iB\)", lines[2])
    assert main(["trace", "info", str(out), "--json", "-"]) == 0
    info = json.loads(capsys.readouterr().out)
    assert info["metadata"]["layers"] == [0, 1]
    assert {(a["layer"], a["module"], a["tokens"]) for a in info["activations"]} >= {(1, "d", 32), (0, "qkv", 32)}
    assert main(["rtl", "check", "--trace", str(out), "--m", "5", "--layer", "1", "--json", "-"]) == 0
    checks = json.loads(capsys.readouterr().out)
    assert checks
    assert all(check["mismatches"] == 0 for check in checks)
    assert main(["formats", "compare", "--trace", str(out), "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out)


def test_opt(text: Path, model: Path, tmp_path: Path):
    own = write(tmp_path / "opt", OPT_CONFIG, opt_tensors())
    assert capture(own, tmp_path / "out", text, "--layers", "1", "--group-size", "64") == 0
    assert main(["rtl", "check", "--trace", str(tmp_path / "out"), "--m", "4", "--layer", "1"]) == 0


def test_bad_input(model: Path, text: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    def refused(model: Path, text: Path, *more: str) -> str:
        assert capture(model, tmp_path / "out", text, *more) == 2
        message = capsys.readouterr().err
        assert not (tmp_path / "out").exists()
        return message.removeprefix("anda: error: ").removesuffix("\n")

    message = "does not exist; give a Hugging Face checkpoint folder"
    assert refused(tmp_path / "none", text) == f"checkpoint: {tmp_path}/none/config.json {message}"
    assert refused(model, text, "--layers", "2").startswith("layers: 2 is not valid")
    unknown = tmp_path / "no.txt"
    assert refused(model, unknown) == f"text: {str(unknown)!r} is unknown; use wiki, brown or the path of a text file"
    message = "blocks: the text has 739 tokens, fewer than 60 x 16; use fewer or shorter ones"
    assert refused(model, text, "--blocks", "60") == message
    config = model / "config.json"
    config.write_text(json.dumps(LLAMA_CONFIG | {"model_type": "mamba"}))
    assert (
        refused(model, text)
        == f"checkpoint: {config} has model type 'mamba'; use one of opt, llama, mistral, qwen2, qwen3, gemma3_text"
    )
    config.write_text(json.dumps(LLAMA_CONFIG))
    weights = model / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    assert refused(model, text).startswith(f"checkpoint: {weights} is damaged or no safetensors file (")


def test_search_without_a_tokenizer(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    folder = write(tmp_path / "model", LLAMA_CONFIG, llama_tensors())
    assert main(["search", "--model", str(folder)]) == 2
    message = "tokenizer: model has none; copy its tokenizer.json into the folder, or give token ids"
    assert capsys.readouterr().err == f"anda: error: {message}\n"
