import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from anda_codesign.formats import InputError
from anda_codesign.workloads import load_blocks, load_checkpoint
from anda_codesign.workloads.loading.opt_training import HELDOUT_BLOCKS, OptTraining, train_opt

TINY = OptTraining(hidden=64, ffn=128, layers=1, heads=2, vocabulary=300, tokens=32, batch=2, steps=4, texts=("wiki",))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("opt") / "model"
    train_opt(folder, TINY)
    return folder


@pytest.mark.hf
@pytest.mark.model
def test_the_stated_perplexity_is_the_decoders(trained: Path):
    record = json.loads((trained / "training.json").read_text())
    decoder = load_checkpoint(trained, group_size=None)
    assert (decoder.shape.family, decoder.shape.layers, decoder.shape.max_length) == ("opt", 1, 32)
    blocks = load_blocks(decoder.tokenizer, "wiki", "heldout", tokens=32, blocks=HELDOUT_BLOCKS)
    perplexity = np.exp(decoder.nll(blocks.tokens).mean())
    assert record["heldout_perplexity"]["wiki"] == pytest.approx(perplexity, rel=1e-4)
    assert perplexity < 300  # better than guessing
    assert record["parameters"] == sum(np.prod(shape) for shape in tensor_shapes(trained))


def tensor_shapes(folder: Path) -> list[tuple[int, ...]]:
    from safetensors import safe_open

    with safe_open(folder / "model.safetensors", framework="numpy") as file:
        return [tuple(file.get_slice(name).get_shape()) for name in file.keys()]  # noqa: SIM118


@pytest.mark.hf
@pytest.mark.model
def test_the_seed_decides(trained: Path, tmp_path: Path):
    train_opt(tmp_path / "again", TINY)
    for name in ("model.safetensors", "tokenizer.json", "training.json"):
        assert (tmp_path / "again" / name).read_bytes() == (trained / name).read_bytes()


def test_its_limits_are_named_where_it_is_used(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    from anda_codesign.experiments.cli.train import note_limits

    note_limits(str(tmp_path))
    assert capsys.readouterr().err == ""
    (tmp_path / "training.json").write_text('{"heldout_perplexity": {"wiki": 304.4, "brown": 277.0}}')
    note_limits(str(tmp_path))
    head = f"anda: note: {tmp_path} is a small model of the OPT architecture, trained by anda train-opt "
    limits = "(perplexity 304 on wiki, 277 on brown); it says nothing about the published OPT models"
    assert capsys.readouterr().err == f"{head}{limits}\n"


def rejects(message: str, out: Path, **changes: int) -> None:
    with pytest.raises(InputError, match=f"^{message}"):
        train_opt(out, OptTraining(**changes))  # type: ignore[arg-type]


def test_bad_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    rejects("steps: 0 ", tmp_path, steps=0)
    rejects("seed: -1 ", tmp_path, seed=-1)
    rejects("heads: 3 do not divide 256 channels", tmp_path, heads=3)
    rejects("vocabulary: 100 .* use 300 or more", tmp_path, vocabulary=100)
    monkeypatch.setitem(sys.modules, "torch", None)
    rejects("torch: is not installed", tmp_path)


def test_what_exists_is_kept(tmp_path: Path):
    mine = tmp_path / "mine"
    mine.write_text("mine")
    for out in (tmp_path, mine):
        rejects(f"out: {re.escape(str(out))} is not an empty folder", out)
    assert mine.read_text() == "mine"
