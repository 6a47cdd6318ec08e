"""The quantisation study, on a small random model."""

import json
import re
from collections.abc import Generator
from contextlib import contextmanager
from math import inf, isnan
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from anda_codesign.experiments.formats.quantize import IntegerOnly, QuantizationStudy, StudyTexts, parse_methods
from anda_codesign.experiments.progress import Advance
from anda_codesign.formats import InputError
from anda_codesign.formats.weight_registry import weight_quantizer
from anda_codesign.workloads import Fp16Activations, TextBlocks, synthetic_decoder
from anda_codesign.workloads.integer_only.decoder import IntegerDecoder
from anda_codesign.workloads.integer_only.io import load_integer_weights
from anda_codesign.workloads.loading.requantize import MODEL_FILE, load_linears

DECODER = synthetic_decoder()


def blocks(seed: int, count: int = 2) -> TextBlocks:
    return TextBlocks(np.random.default_rng(seed).integers(0, 256, (count, 24)).astype(np.int32))


class Study(QuantizationStudy):
    """A study that remembers its stages and the units each of them advanced."""

    def __init__(self, cache: Path | None = None, texts: StudyTexts | None = None, sink_weight: float = 8) -> None:
        self.stages: list[list[Any]] = []

        @contextmanager
        def stage(title: str, total: int) -> Generator[Advance]:
            self.stages.append([title, total, 0])

            def advance(units: int) -> None:
                self.stages[-1][2] += units

            yield advance

        texts = texts or StudyTexts(blocks(0), blocks(1), blocks(3), blocks(4), blocks(2))
        super().__init__(DECODER, texts, sink_weight, cache, stage)


def test_calibrates_once_and_only_for_what_a_method_needs() -> None:
    study = Study()
    for method in ("rtn", "gptq", "spqr", "squeezellm", "squeezellm"):
        study.quantize(weight_quantizer(method))
    assert study.stages == [
        ["quantise by rtn", 14, 14],
        ["accumulate Hessians", 2, 2],
        ["quantise by gptq", 14, 14],
        ["quantise by spqr", 14, 14],
        ["accumulate Fisher information", 2, 2],
        ["quantise by squeezellm", 14, 14],
        ["quantise by squeezellm", 14, 14],
    ]


@pytest.mark.parametrize("method", ["rtn", "gptq"])
def test_size_and_loss(method: str, tmp_path: Path) -> None:
    study = Study(tmp_path)
    results = [study.run(quantizer) for quantizer in (weight_quantizer(method, bits=bits) for bits in (3, 8))]
    reference = float(np.exp(DECODER.nll(blocks(2).tokens, Fp16Activations()).mean()))
    for bits, result in zip((3, 8), results, strict=True):
        assert bits < result.bits_by_formula < bits + 1
        assert result.bits_by_bytes >= result.bits_by_formula - 1e-9
        assert result.loss.reference_perplexity == pytest.approx(reference)
    assert results[1].loss.perplexity == pytest.approx(reference, rel=0.01)
    assert len(list(tmp_path.glob("nll-*"))) == 6


def test_saved_folder_holds_the_model_and_its_measurement(tmp_path: Path) -> None:
    study = Study()
    quantizer = weight_quantizer("spqr", threshold=inf)
    result = study.run(quantizer, tmp_path / "model")
    about = json.loads((tmp_path / "model" / MODEL_FILE).read_text())["about"]
    assert about["method"] == "spqr"
    assert about["parameters"]["threshold"] == "inf"
    assert about["loss"]["perplexity"] == result.loss.perplexity
    assert about["heldout_sha256"] == blocks(2).sha256
    loaded = load_linears(tmp_path / "model", DECODER)
    assert float(np.exp(loaded.nll(blocks(2).tokens).mean())) == pytest.approx(result.loss.perplexity, rel=1e-2)


def test_integer_only_model(tmp_path: Path) -> None:
    result = Study().run(IntegerOnly(8), tmp_path / "model")
    weights = load_integer_weights(tmp_path / "model")
    assert result.bits_by_formula == weights.bits_per_weight
    assert result.bits_by_bytes == pytest.approx(result.bits_by_formula, abs=0.1)
    nll = IntegerDecoder(weights).nll(blocks(2).tokens)
    assert result.loss.perplexity == float(np.exp(nll.mean()))
    assert abs(result.loss.loss) < 0.2
    assert Study().run(IntegerOnly(8)).bits_by_bytes is None


def test_the_error_of_a_single_block_is_a_word() -> None:
    study = Study(texts=StudyTexts(blocks(0), blocks(1), blocks(3), blocks(4), blocks(2, count=1)))
    quantizer = weight_quantizer("rtn")
    result = study.run(quantizer)
    assert isnan(result.loss.standard_error)
    assert result.record()["loss"]["standard_error"] == "nan"
    json.dumps(result.record(), allow_nan=False)


def test_bad_sink_weight() -> None:
    with pytest.raises(InputError, match=r"^sink_weight: 0 "):
        Study(sink_weight=0)


def test_methods_and_widths() -> None:
    found = parse_methods(
        ["illm:bits=6", "rtn", "gptq:act_order=false,damping=0.1", "spqr:bits=2,threshold=inf", "kmeans:"], [3, 4]
    )
    assert [(q.name, q.parameters["bits"]) for q in found] == [
        ("illm", 6),
        ("rtn", 3),
        ("rtn", 4),
        ("gptq", 3),
        ("gptq", 4),
        ("spqr", 2),
        ("kmeans", 3),
        ("kmeans", 4),
    ]
    assert found[3] == weight_quantizer("gptq", bits=3, act_order=False, damping=0.1)
    assert found[5] == weight_quantizer("spqr", bits=2, threshold=inf)
    assert parse_methods(["kmeans:solver=lloyd"], []) == [weight_quantizer("kmeans", solver="lloyd")]


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    from anda_codesign.experiments.cli import main

    status = main(["quantize", *arguments])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--method", "awq"], r"method: .*'awq'.* rtn, q4_1, q8_0, gptq, kmeans, squeezellm, spqr, illm"),
        (["--method", "rtn:x"], "method: 'x' .*rtn:group_size=64"),
        (["--method", "rtn:bits="], "method: 'bits=' .*rtn:group_size=64"),
        (["--method", "rtn:x=1"], "x: .* rtn; .* bits, group_size, symmetric"),
        (["--method", "illm:x=1"], "x: .* illm; .* bits"),
        (["--method", "rtn", "--bits", "1"], "bits: 1 .* 2 to 8"),
        (["--method", "rtn", "--bits", "3", "--bits", "4", "--out", "x"], "out: .* 2 "),
        (["--method", "rtn", "--out", "."], "out: . is not empty"),
    ],
)
def test_bad_command_lines(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, error = run(capsys, *arguments)
    assert (status, out) == (2, "")
    assert re.fullmatch(f"anda: error: {message}.*\n", error), error


@pytest.mark.model
def test_command_on_the_real_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "model"
    small = ["--blocks", "1", "--tokens", "32", "--json", "-", "--out", str(folder)]
    status, out, _ = run(capsys, "--method", "rtn", "--bits", "4", *small)
    assert status == 0
    (result,) = json.loads(out)
    # Groups of 128 in 576 channels: five, the last of 64; 1536 channels: twelve.
    shapes = [(576, 576 + 2 * 192 + 576 + 2 * 1536, 5), (1536, 576, 12)]
    weights = sum(channels * outputs for channels, outputs, _ in shapes)
    expected = 4 + 20 * sum(outputs * groups for _, outputs, groups in shapes) / weights
    assert result["bits_by_formula"] == pytest.approx(expected)
    assert 0 < result["loss"]["loss"] < 1
    assert len(list(folder.glob("*.safetensors"))) == 210


@pytest.mark.parametrize("field", ["calibration_blocks", "fisher_blocks", "blocks"])
def test_too_few_blocks(field: str) -> None:
    counts = [0 if name == field else 1 for name in ("calibration_blocks", "fisher_blocks", "blocks")]
    with pytest.raises(InputError, match=f"^{field}: 0 .* 1"):
        StudyTexts.load(synthetic_decoder(), *counts, tokens=512)


@pytest.mark.hf
def test_learned_factors_lower_the_loss_and_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ANDA_CACHE", str(tmp_path))
    static, learned = (Study().run(IntegerOnly(bits=4, epochs=epochs)) for epochs in (0, 3))
    assert learned.loss.loss < static.loss.loss
    assert learned.parameters == {"bits": 4, "epochs": 3}
    assert len(list((tmp_path / "factors").glob("fsbr-*/block-*.factors"))) == 2
