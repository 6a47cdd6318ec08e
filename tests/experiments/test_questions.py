"""Public functions: documented keywords; names, paths and objects give the same answer, which is what the command prints."""

import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from anda_codesign.experiments.synthesis.jobs import SynthesisResults
from anda_codesign.formats.activations.registry import activation_format
from anda_codesign.workloads import MODULES, TextBlocks, Trace, capture_trace, synthetic_decoder

import anda_codesign

DECODER = synthetic_decoder()
QUESTIONS = (
    "accelerator_cycles", "capture_trace", "check_circuits", "compare_formats", "quantize", "report", "reproduce",
    "run_accelerator", "search", "study", "synthesize", "trace_info", "trace_planes",
)  # fmt: skip
SMALL = {"m": 3, "tokens": 1, "k": 16, "n": 2, "rows": 1, "columns": 2, "simulator": "amaranth"}


@pytest.fixture(scope="module")
def trace() -> Trace:
    blocks = TextBlocks(np.arange(16, dtype=np.int32)[None])
    return capture_trace(DECODER, blocks, layers=(0,), tokens=4)


@pytest.fixture(scope="module")
def trace_file(trace: Trace, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("trace") / "trace.safetensors"
    trace.save(path)
    return path


@pytest.fixture
def made_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Random text in place of a fetched one."""
    tokens = np.random.default_rng(0).integers(0, 256, (2, 4, 16)).astype(np.int32)
    monkeypatch.setenv("ANDA_CACHE", str(tmp_path))
    blocks = [TextBlocks(part) for part in tokens]
    monkeypatch.setattr(type(DECODER), "blocks", lambda _decoder, _text, split, *_: blocks[split == "heldout"])


@pytest.mark.parametrize("name", QUESTIONS)
def test_every_option_is_documented(name: str):
    function = getattr(anda_codesign, name)
    for parameter in inspect.signature(function).parameters.values():
        assert parameter.kind is inspect.Parameter.KEYWORD_ONLY
        assert f"\n{parameter.name} : " in function.__doc__


def test_answers_on_a_trace(anda: Callable[..., Any], trace: Trace, trace_file: Path):
    for name, words, options, own in (
        ("trace_info", ("trace", "info", trace_file), {}, ()),
        ("trace_planes", ("trace", "planes", trace_file), {"m": range(4, 6), "rows": 1}, ("--m", "4-5", "--rows", 1)),
        ("compare_formats", ("formats", "compare", "--trace", trace_file), {}, ()),
        ("run_accelerator", ("rtl", "run", "--trace", trace_file), SMALL, [w for k, v in SMALL.items() for w in (f"--{k}", v)]),
    ):  # fmt: skip
        function = getattr(anda_codesign, name)
        answers = [function(trace=given, **options).to_dict() for given in (trace, trace_file)]
        printed = json.loads(anda(*words, *own, "--json", "-").out)
        assert answers == [printed] * 2, name


def test_frames(trace: Trace):
    for frame, columns in (
        (anda_codesign.trace_info(trace=trace).to_frame(), {"layer", "module", "largest"}),
        (anda_codesign.trace_planes(trace=trace, m=4).to_frame(), {"module", "zero_planes"}),
        (anda_codesign.compare_formats(trace=trace).to_frame(), {"name", "snr_db.qkv"}),
        (anda_codesign.check_circuits(trace=trace, m=4).to_frame(), {"circuit", "mismatches"}),
        (anda_codesign.list_formats().to_frame(), {"name", "parameters.mantissa_bits", "bits_per_weight"}),
        (anda_codesign.reproduce(figure="fig18", out=None).to_frame(), {"quantity", "published", "ours", "deviation"}),
    ):
        assert isinstance(frame, pd.DataFrame)
        assert len(frame) > 0
        assert columns <= set(frame.columns)


def test_own_formats_are_compared(trace: Trace):
    formats = [activation_format("anda", mantissa_bits=5), activation_format("fp16")]
    result = anda_codesign.compare_formats(trace=trace, formats=formats)
    assert [comparison.format for comparison in result.comparisons] == formats
    assert result.comparisons[1].snr_db == dict.fromkeys(MODULES, float("inf"))
    assert len(result.figure().axes) == len(MODULES)


def test_synthesis_has_one_row_a_run():
    documents = [
        {"design": name, "library": {"name": "x"}, "runs": [{"run": "M=4", "pj": 1.0}, {"run": "M=5", "pj": 2.0}]}
        for name in ("a", "b")
    ]
    frame = SynthesisResults(documents).to_frame()
    assert frame.to_dict("list") == {"design": ["a", "a", "b", "b"], "run": ["M=4", "M=5"] * 2, "pj": [1.0, 2.0] * 2}


@pytest.mark.usefixtures("made_up")
def test_a_search_of_an_object():
    seen: list[str] = []
    found = anda_codesign.search(
        model=DECODER, tolerance=0.05, exhaustive=(6, 8), on_step=lambda step: seen.append(str(step.precision))
    )
    document = found.to_dict()
    assert seen == [step["precision"] for step in document["history"]] == list(found.to_frame()["precision"])
    assert document["exhaustive"]["bits"] == [6, 8]
    assert len(found.figure().axes) == 2


def test_a_captured_model(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    text = TextBlocks(np.arange(16, dtype=np.int32)[None])
    monkeypatch.setattr(type(DECODER), "blocks", lambda *_, **__: text)
    captured = anda_codesign.capture_trace(model=DECODER, out=tmp_path / "trace.safetensors", layers=[1], tokens=4)
    assert captured.to_dict() == anda_codesign.trace_info(trace=tmp_path / "trace.safetensors").to_dict()
    assert set(captured.to_frame()["layer"]) == {1}
