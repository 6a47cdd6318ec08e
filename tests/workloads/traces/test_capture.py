import os
import re
import resource
import signal
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from anda_codesign.formats import InputError
from anda_codesign.workloads import MODULES, TextBlocks, Trace, load_checkpoint
from anda_codesign.workloads.inference.operators import to_fp16
from anda_codesign.workloads.traces.capture import CaptureText, capture_checkpoint
from checkpoints import LLAMA_CONFIG, OPT_CONFIG, TEXT, ByteTokenizer, llama_tensors, opt_tensors, write


@pytest.fixture(autouse=True)
def byte_tokenizer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("anda_codesign.workloads.loading.checkpoint.read_tokenizer", lambda *_: ByteTokenizer())


@pytest.fixture
def text(tmp_path: Path) -> CaptureText:
    (tmp_path / "text.txt").write_text(TEXT)
    return CaptureText(text=str(tmp_path / "text.txt"), tokens=24, blocks=3)


@pytest.fixture
def llama(tmp_path: Path) -> Path:
    return write(tmp_path / "llama", LLAMA_CONFIG, llama_tensors())


def blocks(text: CaptureText) -> np.ndarray:
    ids = TEXT[: TEXT.rfind(" ", 0, len(TEXT) // 2 + 1)].encode()
    starts = [block * (len(ids) // text.blocks) for block in range(text.blocks)]
    return np.array([list(ids[start : start + text.tokens]) for start in starts], np.int32)


@pytest.mark.parametrize(("config", "tensors"), [(LLAMA_CONFIG, llama_tensors), (OPT_CONFIG, opt_tensors)])
def test_activations_are_those_of_the_whole_model(config: Any, tensors: Any, tmp_path: Path, text: CaptureText):
    folder = write(tmp_path / "model", config, tensors())
    trace = Trace.load(capture_checkpoint(folder, tmp_path / "out", text))
    decoder = load_checkpoint(folder)
    seen: dict[tuple[int, str], list[np.ndarray]] = {}

    def hook(module: str, layer: int, x: np.ndarray) -> np.ndarray:
        seen.setdefault((layer, module), []).append(to_fp16(x).astype(np.float16))
        return to_fp16(x)

    for tokens in blocks(text):
        decoder.hidden(tokens, hook)
    for layer in range(2):
        for module in MODULES:
            np.testing.assert_array_equal(trace.activation(layer, module), np.concatenate(seen[layer, module]))
        for name in trace.metadata["linears"]:
            ours, theirs = trace.weights(layer, name), decoder.linear(layer, name)
            np.testing.assert_array_equal(ours.codes, theirs.codes)
            np.testing.assert_array_equal(ours.scales, theirs.scales)
            assert ours.group_size == 128


def test_metadata(llama: Path, tmp_path: Path, text: CaptureText):
    trace = Trace.load(capture_checkpoint(llama, tmp_path / "out", text, layers=[1], group_size=64))
    assert trace.metadata == {
        "model": "llama",
        "model_sha256": load_checkpoint(llama).sha256.split()[0],
        "tokenizer_sha256": "bytes",
        "text": text.text,
        "split": "calibration",
        "text_sha256": TextBlocks(blocks(text)).sha256,
        "blocks": 3,
        "tokens": 72,
        "layers": [1],
        "linears": ["q", "k", "v", "o", "gate", "up", "down"],
        "weight_group_size": 64,
        "stored_dtype": "F32",
        "quantization": "round to nearest, symmetric, group 64",
        "dtype": "float16",
        "capture_version": 1,
    }
    assert {path.name for path in (tmp_path / "out").iterdir()} == {".lock", "capture.json", "layer-001.safetensors"}
    with pytest.raises(InputError, match=r"^layer: 0 was not captured; the trace holds 1$"):
        trace.activation(0, "qkv")


def test_a_layers_file_is_a_trace(llama: Path, tmp_path: Path, text: CaptureText):
    out = capture_checkpoint(llama, tmp_path / "out", text)
    whole, layer = Trace.load(out), Trace.load(out / "layer-001.safetensors")
    assert layer.metadata == whole.metadata | {"layers": [1]}
    np.testing.assert_array_equal(layer.activation(1, "d"), whole.activation(1, "d"))
    assert len(whole.tensors) == 2 * len(layer.tensors)
    assert set(layer.tensors) < set(whole.tensors)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


KILLED = """
import os, signal, sys
from anda_codesign.workloads.loading import checkpoint
from anda_codesign.workloads.traces.capture import CaptureText, capture_checkpoint
from checkpoints import ByteTokenizer

checkpoint.read_tokenizer = lambda *_: ByteTokenizer()
kill = lambda done, _: os.kill(os.getpid(), signal.SIGKILL) if done == 1 else None
capture_checkpoint(sys.argv[1], sys.argv[2], CaptureText(text=sys.argv[3], tokens=24, blocks=3), progress=kill)
"""


def test_a_killed_capture_goes_on_where_it_was(llama: Path, tmp_path: Path, text: CaptureText):
    out = tmp_path / "killed"
    command = [sys.executable, "-c", KILLED, str(llama), str(out), text.text]
    result = subprocess.run(command, env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}, check=False)
    assert result.returncode == -signal.SIGKILL
    message = f"trace: {out} holds 1 of 2 layers; run the same `anda trace capture` again to finish it"
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        Trace.load(out)
    first = out / "layer-000.safetensors"
    written = first.stat().st_mtime_ns
    steps: list[tuple[int, int]] = []
    capture_checkpoint(llama, out, text, progress=lambda *step: steps.append(step))
    assert steps == [(2, 2)]
    assert first.stat().st_mtime_ns == written
    assert contents(out) == contents(capture_checkpoint(llama, tmp_path / "at-once", text))


def test_an_interrupted_capture_keeps_its_layers(llama: Path, tmp_path: Path, text: CaptureText):
    def interrupt(*_: int) -> None:
        raise KeyboardInterrupt

    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        capture_checkpoint(llama, out, text, progress=interrupt)
    Trace.load(out / "layer-000.safetensors")
    capture_checkpoint(llama, out, text)
    assert contents(out) == contents(capture_checkpoint(llama, tmp_path / "at-once", text))


def test_a_full_disk_keeps_the_finished_layers(llama: Path, tmp_path: Path, text: CaptureText):
    """From the second layer on, no file of this process may grow beyond 10 kB."""
    out = tmp_path / "out"
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(*_: int) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))

    try:
        with pytest.raises(InputError, match=rf"^out: {re.escape(str(out))} cannot be written .* 1 finished layers$"):
            capture_checkpoint(llama, out, text, progress=fill)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    Trace.load(out / "layer-000.safetensors")
    assert not list(out.glob(".*.part"))
    capture_checkpoint(llama, out, text)
    assert contents(out) == contents(capture_checkpoint(llama, tmp_path / "at-once", text))


def deep_model(folder: Path, layers: int) -> Path:
    """A model of equal layers."""
    tensors = {name: values for name, values in llama_tensors().items() if ".layers.1." not in name}
    names = [name for name in tensors if ".layers.0." in name]
    for layer in range(1, layers):
        tensors |= {name.replace(".0.", f".{layer}.", 1): tensors[name] for name in names}
    return write(folder, LLAMA_CONFIG | {"num_hidden_layers": layers}, tensors)


def peak_bytes(folder: Path, out: Path, text: CaptureText) -> int:
    tracemalloc.start()
    capture_checkpoint(folder, out, text)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def test_memory_does_not_grow_with_the_layers(tmp_path: Path, text: CaptureText):
    shallow, deep = (deep_model(tmp_path / f"model{layers}", layers) for layers in (2, 12))
    peak_bytes(shallow, tmp_path / "first", text)  # imports and caches
    few = peak_bytes(shallow, tmp_path / "out2", text)
    assert peak_bytes(deep, tmp_path / "out12", text) < 1.1 * few
    captured = sum(path.stat().st_size for path in (tmp_path / "out12").iterdir())
    assert captured > few


def rejects(message: str, *arguments: Any, **options: Any) -> None:
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        capture_checkpoint(*arguments, **options)


def test_a_folder_of_another_capture(llama: Path, tmp_path: Path, text: CaptureText):
    out = capture_checkpoint(llama, tmp_path / "out", text)
    message = f"out: {out} holds a capture with layers [0, 1], not [0]; name a new folder"
    rejects(message, llama, out, text, layers=[0])
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").write_text("mine")
    rejects(f"out: {tmp_path / 'mine'} is not empty; name a new folder", llama, tmp_path / "mine", text)


@pytest.mark.parametrize(
    "change",
    [
        lambda _: "{",
        lambda _: "[]",
        lambda _: "null",
        lambda _: '{"metadata": 3}',
        lambda _: "[" * 100_000,
        lambda record: record.replace('"done": 1', '"done": 2'),
        lambda record: record.replace('"weight_group_size": 128', '"weight_group_size": 64'),
        lambda record: record.replace("a", "b", 1),
        lambda record: record.replace('"files"', '"file"'),
    ],
)
def test_a_record_that_was_changed(llama: Path, tmp_path: Path, text: CaptureText, change: Callable[[str], str]):
    out = tmp_path / "out"
    stop_after_one_layer(llama, out, text)
    record = (out / "capture.json").read_text()
    (out / "capture.json").write_text(change(record))
    assert change(record) != record
    rejects(f"out: {out}/capture.json is damaged; name a new folder", llama, out, text)
    with pytest.raises(InputError, match=r"capture.json is damaged; capture it again"):
        Trace.load(out)


def stop_after_one_layer(llama: Path, out: Path, text: CaptureText) -> None:
    def interrupt(*_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        capture_checkpoint(llama, out, text, progress=interrupt)


@pytest.mark.parametrize("name", ["stream-001.npy", "layer-000.safetensors"])
@pytest.mark.parametrize("place", [0, 0.3, 0.999])
def test_a_capture_whose_files_changed_begins_again(
    llama: Path, tmp_path: Path, text: CaptureText, name: str, place: float
):
    out = tmp_path / "out"
    stop_after_one_layer(llama, out, text)
    content = bytearray((out / name).read_bytes())
    content[int(place * len(content))] ^= 1
    (out / name).write_bytes(content)
    steps: list[tuple[int, int]] = []
    capture_checkpoint(llama, out, text, progress=lambda *step: steps.append(step))
    assert steps == [(1, 2), (2, 2)]
    assert contents(out) == contents(capture_checkpoint(llama, tmp_path / "at-once", text))


def test_a_finished_capture_is_left_as_it_is(llama: Path, tmp_path: Path, text: CaptureText):
    out = capture_checkpoint(llama, tmp_path / "out", text)
    before = {path: path.stat().st_mtime_ns for path in out.iterdir() if path.name != ".lock"}
    steps: list[tuple[int, int]] = []
    assert capture_checkpoint(llama, out, text, progress=lambda *step: steps.append(step)) == out
    assert steps == []
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_two_captures_in_one_folder(llama: Path, tmp_path: Path, text: CaptureText):
    out = tmp_path / "out"

    def again(*_: int) -> None:
        rejects(f"out: another run is at work in {out}; wait for it or name another", llama, out, text)

    capture_checkpoint(llama, out, text, progress=again)
    assert contents(out) == contents(capture_checkpoint(llama, tmp_path / "at-once", text))


def test_layers_that_do_not_exist(llama: Path, tmp_path: Path, text: CaptureText):
    for layers, message in (([], "layers: there are none"), ([0, 2], "layers: 2 is not valid; .* from 0 to 1$")):
        with pytest.raises(InputError, match=f"^{message}"):
            capture_checkpoint(llama, tmp_path / "out", text, layers=layers)


def test_a_text_shorter_than_a_block(llama: Path, tmp_path: Path):
    (tmp_path / "short.txt").write_text("Too short, by far.")
    short = CaptureText(text=str(tmp_path / "short.txt"), tokens=24)
    message = "blocks: the text has 3 tokens, fewer than 1 x 24; use fewer or shorter ones"
    rejects(message, llama, tmp_path / "out", short)
    assert not (tmp_path / "out").exists()


def test_without_a_tokenizer(llama: Path, tmp_path: Path, text: CaptureText, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("anda_codesign.workloads.loading.checkpoint.read_tokenizer", lambda *_: None)
    rejects("tokenizer: llama has no tokenizer.json; copy it into the checkpoint folder", llama, tmp_path / "out", text)


def test_changed_layers_are_noticed(llama: Path, tmp_path: Path, text: CaptureText):
    out = capture_checkpoint(llama, tmp_path / "out", text)
    path = out / "layer-001.safetensors"
    layer = Trace.load(path)
    changed = {name: values.copy() for name, values in layer.tensors.items()}
    changed["activations.1.o"][0, 0] += 1
    Trace(layer.metadata, changed).write(path)
    trace = Trace.load(out)
    assert trace.activation(0, "o").shape == (72, 128)
    message = f"trace: {path} is not the file that was captured; capture it again"
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        trace.activation(1, "o")


def test_a_folder_that_is_no_capture(tmp_path: Path):
    message = f"trace: {tmp_path} holds no capture.json; give a folder of `anda trace capture`"
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        Trace.load(tmp_path)


@pytest.mark.parametrize(
    "text", ['{"metadata": 3}', "", "[]", "null", "\x00", "[" * 100_000, '{"metadata": {}, "done": 1, "files": {}}']
)
def test_a_damaged_record(tmp_path: Path, text: str):
    (tmp_path / "capture.json").write_text(text)
    message = f"trace: {tmp_path}/capture.json is damaged; capture it again with `anda trace capture`"
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        Trace.load(tmp_path)


def test_overflow_of_fp16(tmp_path: Path, text: CaptureText):
    tensors = llama_tensors()
    tensors["model.layers.0.input_layernorm.weight"] = np.full(128, 1e5, np.float32)
    folder = write(tmp_path / "model", LLAMA_CONFIG, tensors)
    rejects("activations of qkv in layer 0 overflow FP16; use another model", folder, tmp_path / "out", text)
