"""Models, texts and traces that are missing or damaged: one line that names the file and the fix."""

import re
from pathlib import Path

import numpy as np
import pytest
from anda_codesign.workloads import TextBlocks, Trace, capture_trace, synthetic_decoder
from anda_codesign.workloads.fetch import data_paths
from messages import MODELS, Refused


@pytest.fixture(scope="module")
def trace() -> Trace:
    blocks = TextBlocks(np.arange(16, dtype=np.int32)[None])
    return capture_trace(synthetic_decoder(), blocks, layers=(0,), tokens=4)


@pytest.fixture
def trace_file(trace: Trace, tmp_path: Path) -> Path:
    path = tmp_path / "trace.safetensors"
    trace.save(path)
    return path


@pytest.fixture
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    folder = tmp_path / "cache"
    folder.mkdir()
    monkeypatch.setenv("ANDA_CACHE", str(folder))
    return folder


NEEDS_MODEL = ["report --out {}", "trace capture --out {}"]


@pytest.mark.parametrize("command", NEEDS_MODEL)
def test_a_model_that_is_not_fetched(refused: Refused, cache: Path, tmp_path: Path, command: str):
    out = tmp_path / "out"
    file = cache / "SmolLM2-135M-Instruct.Q4_1.gguf"
    message = f"model: {file} does not exist"
    assert refused(*command.format(out).split()).startswith(message)
    assert not out.exists()


@pytest.mark.parametrize("command", NEEDS_MODEL)
def test_a_model_file_that_is_truncated(refused: Refused, cache: Path, tmp_path: Path, command: str):
    out = tmp_path / "out"
    file = cache / "SmolLM2-135M-Instruct.Q4_1.gguf"
    file.write_bytes(b"GGUF\x03\x00\x00\x00")
    message = f"model: {file} is damaged"
    assert refused(*command.format(out).split()).startswith(message)
    assert not out.exists()


@pytest.mark.model
def test_a_text_that_is_truncated(refused: Refused, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    fetched = data_paths()
    monkeypatch.setenv("ANDA_CACHE", str(tmp_path))
    (tmp_path / fetched.model.name).symlink_to(fetched.model)
    text = tmp_path / fetched.wiki.name
    text.write_bytes(b"BZh9")
    message = f"text: {text} is damaged"
    assert refused("report", "--out", tmp_path / "out").startswith(message)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("report --model OPT-125M --out {}", "model: OPT-125M .* SmolLM2-135M .*GGUF.*"),
        ("report --model none --out {}", f"model: 'none' .*{MODELS}"),
        ("trace capture --model none --out {}", f"model: 'none' .*{MODELS}"),
        ("trace capture --layers 1,x --out {}", "layers: '1,x' .* 0,11,29"),
    ],
)
def test_what_needs_another_model(refused: Refused, tmp_path: Path, command: str, message: str):
    out = tmp_path / "out"
    assert re.match(message, refused(*command.format(out).split()))
    assert not out.exists()


READS_TRACE = ["trace info {}", "rtl check --trace {}", "formats compare --trace {}"]


@pytest.mark.parametrize("command", READS_TRACE)
def test_a_trace_that_is_missing(refused: Refused, tmp_path: Path, command: str):
    path = tmp_path / "none.safetensors"
    message = f"trace: {path} does not exist"
    assert refused(*command.format(path).split()).startswith(message)


@pytest.mark.parametrize("command", READS_TRACE)
@pytest.mark.parametrize("kept", [0, 7, 300, -1])
def test_a_trace_that_is_truncated(refused: Refused, trace_file: Path, command: str, kept: int):
    content = trace_file.read_bytes()[:kept]
    trace_file.write_bytes(content)
    message = refused(*command.format(trace_file).split())
    assert message.startswith(f"trace: {trace_file} is truncated or no safetensors file (")
    assert message.endswith("); capture it again")
    assert trace_file.read_bytes() == content


@pytest.mark.parametrize("command", READS_TRACE)
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_trace_with_values_that_are_no_numbers(
    refused: Refused, trace: Trace, tmp_path: Path, command: str, value: float
):
    damaged = {name: values.copy() for name, values in trace.tensors.items()}
    damaged["activations.0.u"][2, 5] = value
    path = tmp_path / "damaged.safetensors"
    Trace(trace.metadata, damaged).save(path)
    message = f"trace: {path}: activations.0.u holds {value} at (2, 5)"
    assert refused(*command.format(path).split()).startswith(message)


def test_a_trace_of_something_else(refused: Refused, tmp_path: Path):
    from safetensors.numpy import save_file

    path = tmp_path / "other.safetensors"
    save_file({"x": np.zeros(3, np.float32)}, path)
    message = f"trace: {path} is not a trace of this program"
    assert refused("trace", "info", path).startswith(message)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--m 4,x", "m: '4,x' .* 4,7,11"),
        ("--m 17", "m: 17 .* 1 to 16"),
        ("--layer 3", "layer: 3 .* 0"),
        ("--tokens 0", "tokens: 0 .* 1 to 4"),
        ("--tokens 5", "tokens: 5 .* 1 to 4"),
        ("--outputs 999", "outputs: 999 .* 1 to 128"),
    ],
)
def test_a_slice_that_the_trace_does_not_hold(refused: Refused, trace_file: Path, options: str, message: str):
    assert re.match(message, refused("rtl", "check", "--trace", trace_file, *options.split()))
