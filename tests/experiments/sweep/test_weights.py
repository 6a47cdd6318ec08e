"""Weight formats of a user's own as a dimension of a sweep: numbers of `simulate`, losses of the quantised model, keys."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from anda_codesign.experiments.simulation import simulate
from anda_codesign.experiments.sweep import evaluation
from anda_codesign.experiments.sweep.evaluation import LOSS_COLUMNS, Evaluation
from anda_codesign.experiments.sweep.run import run_sweep
from anda_codesign.experiments.sweep.spec import SweepSpec
from anda_codesign.formats.plugins import load_plugin, load_plugins
from anda_codesign.formats.weight_registry import weight_quantizer
from anda_codesign.workloads import Fp16Activations, TextBlocks, evaluate, paired_loss, synthetic_decoder
from anda_codesign.workloads.loading.requantize import quantize_linears, with_linears
from cases import each
from own_weights import FILE

FIELDS: dict[str, Any] = {"models": "SmolLM2-135M", "tokens": 16, "mantissa_bits": 8}
MINE = "my-weights bits=6"


@pytest.fixture(autouse=True)
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The plugin, and a small random model in place of the built-in one."""
    monkeypatch.setenv("ANDA_CACHE", str(tmp_path / "cache"))
    decoder = synthetic_decoder(seed=1)
    tokens = np.random.default_rng(1).integers(0, decoder.shape.vocabulary, (3, 24), dtype=np.int32)
    monkeypatch.setattr(evaluation, "_subject", lambda _: (decoder, TextBlocks(tokens)))
    load(tmp_path, FILE)
    yield decoder, TextBlocks(tokens)
    load_plugins(())


def load(folder: Path, text: str) -> None:
    (folder / "my_weights.py").write_text(text)
    load_plugin(folder / "my_weights.py")


def test_rows_are_those_of_simulate(tmp_path: Path):
    frame = run_sweep(SweepSpec(**FIELDS, archs=("anda", "fp-fp"), weights=("own", MINE)), tmp_path / "out")
    assert frame["energy_total_pj"].nunique() == frame["dram_bytes"].nunique() == 4
    for row in frame.to_dict("records"):
        weights = None if row["weights"] == "own" else row["weights"]
        precision = None if row["arch"] == "fp-fp" else 8
        found = simulate(
            model=row["model"], arch=row["arch"], precision=precision, tokens=16, weights=weights
        ).to_dict()
        assert (row["cycles"], row["dram_bytes"], row["energy_total_pj"]) == (
            found["cycles"], found["dram_bytes"], found["energy_pj"]["total"],
        )  # fmt: skip


def test_the_loss_is_that_of_the_quantised_model(small: Any, tmp_path: Path):
    (tmp_path / "mine.yaml").write_text(f"base: fp-fp\nweights: {MINE}\n")
    archs = ("fp-fp", str(tmp_path / "mine.yaml"))
    frame = run_sweep(
        SweepSpec(**FIELDS, archs=archs, weights=("own", MINE), evaluation=Evaluation(blocks=3)), tmp_path / "out"
    )
    decoder, blocks = small
    packed = quantize_linears(decoder, weight_quantizer("my-weights", bits=6))
    nll = evaluate(with_linears(decoder, packed), blocks, Fp16Activations())
    loss = paired_loss(nll, evaluate(decoder, blocks, Fp16Activations()))
    assert list(frame["loss_percent"]) == pytest.approx([0, *3 * [100 * loss.loss]])
    assert (frame["kl_nats"][1:] > 1e-6).all()
    assert frame["perplexity"][1] == pytest.approx(loss.perplexity)


@each(
    "fields",
    [
        {"archs": "fp-fp", "weights": "gptq bits=3"},
        {"archs": "fp-fp", "architecture": {"weights": (MINE,), "weights.bits": (4,)}},
        {"archs": "fp-fp", "scopes": ("model",), "head": MINE},
        {"archs": "fp-int", "weights": MINE, "architecture": {"processing_element.arithmetic.partial": ("fp32",)}},
    ],
)
def test_a_loss_that_is_not_measured_is_blank(tmp_path: Path, fields: dict[str, Any]):
    names = {**FIELDS, **fields}
    frame = run_sweep(SweepSpec(**names, evaluation=Evaluation(blocks=3)), tmp_path / f"{fields}"[:40].replace("/", ""))
    assert frame[list(LOSS_COLUMNS)].isna().all(axis=None)


def test_the_key_follows_the_source_of_the_method(tmp_path: Path):
    def key() -> str:
        (point,) = SweepSpec(**FIELDS, archs=("anda",), weights=(MINE,)).points()
        return point.key

    before = key()
    assert key() == before
    load(tmp_path, FILE + "# changed")
    assert key() != before
