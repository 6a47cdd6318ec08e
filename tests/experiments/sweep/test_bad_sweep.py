"""Bad input of `anda sweep`, `anda results` and `anda report`: one line, and what is there is kept."""

import re
import resource
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from anda_codesign.experiments.sweep.run import run_sweep
from anda_codesign.experiments.sweep.spec import question_names
from anda_codesign.experiments.sweep_results.results import load_results
from messages import Refused

SWEEP = "models: [OPT-125M]\narchs: [fp-fp]\n"


def test_output_folders_that_are_not_empty_are_kept(refused: Refused, tmp_path: Path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("precious")
    sweep = tmp_path / "sweep.yaml"
    sweep.write_text(SWEEP)
    for out in (tmp_path / "out", sweep):
        message = f"out: {out} is not empty"
        assert refused("report", "--out", out).startswith(message)
        message = f"out: {out} is not empty and holds no sweep"
        assert refused("sweep", sweep, "--out", out).startswith(message)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["thesis.txt"]
    assert (tmp_path / "out" / "thesis.txt").read_text() == "precious"
    assert sweep.read_text() == SWEEP


def test_an_output_folder_that_cannot_be_made(refused: Refused, tmp_path: Path):
    sweep = tmp_path / "sweep.yaml"
    sweep.write_text(SWEEP)
    below = sweep / "out"
    message = f"out: {below} cannot be created (Not a directory)"
    assert refused("sweep", sweep, "--out", below).startswith(message)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (SWEEP + "coffee: [black]\n", r"coffee: is not a key here"),
        ("models: [OPT-125M]\n", "archs: is missing"),
        ("models: [OPT-125M]\narchs: []\n", "archs: there is no value"),
        ("", "holds no keys; give activations, allow_overflow, architecture, archs, "),
        ("models: [", "is not YAML ("),
    ],
)
def test_sweep_files_that_are_wrong(refused: Refused, tmp_path: Path, text: str, message: str):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    out = tmp_path / "out"
    assert refused("sweep", path, "--out", out).startswith(f"sweep mine.yaml: {message}")
    assert not out.exists()


def test_a_sweep_file_that_is_missing(refused: Refused, tmp_path: Path):
    path = tmp_path / "none.yaml"
    names = ", ".join(question_names())
    assert names.startswith("ablation, architectures, ")
    message = f"sweep: there is no file '{path}'"
    assert refused("sweep", path, "--out", tmp_path / "out").startswith(message)
    message = "sweep: 'weather'"
    assert refused("sweep", "weather", "--out", tmp_path / "out").startswith(message)


def test_a_folder_without_results(refused: Refused, tmp_path: Path):
    message = f"results: {tmp_path} holds no results.parquet"
    assert refused("results", tmp_path).startswith(message)
    (tmp_path / "results.parquet").write_bytes(b"PAR1")
    message = f"results: {tmp_path / 'results.parquet'} is damaged"
    assert refused("results", tmp_path).startswith(message)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tokens: []", "sweep mine.yaml: tokens: there is no value"),
        ("precisions:\n - []", "sweep mine.yaml: precisions.0: is []"),
        (
            "mantissa_bits: []",
            "sweep mine.yaml: mantissa_bits: there is no value",
        ),
        ("tokens: {from: 9, to: 3}", "sweep mine.yaml: tokens: the range from 9 to 3 is empty"),
        ("constraints: [tokens < 9, tokens > 9]", "constraints: no point meets them all"),
        ("constraints: [watts < 9]", "constraints: 'watts'"),
        ("derived: {edp: watts * seconds}", "derived.edp: 'watts'"),
        ("evaluation: {block: 4}", "sweep mine.yaml: evaluation.block: is 4"),
        (
            "sampling: {method: search, points: 4, minimise: [watts]}",
            "sampling.minimise: 'watts'",
        ),
        ("formats: nonsense", "formats: nonsense is measured on a model"),
    ],
)
def test_impossible_sweeps(refused: Refused, tmp_path: Path, text: str, message: str):
    path = tmp_path / "mine.yaml"
    path.write_text(SWEEP + text)
    assert refused("sweep", path, "--out", tmp_path / "out").startswith(message)
    assert not list(tmp_path.glob("out/part-*"))


@pytest.fixture
def finished(tmp_path: Path) -> Path:
    """The folder of a finished sweep, beside its file."""
    (tmp_path / "mine.yaml").write_text(SWEEP + "tokens: [16, 17, 18]\n")
    run_sweep(tmp_path / "mine.yaml", tmp_path / "out")
    return tmp_path / "out"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--pareto watts", "pareto: 'watts'"),
        ("--wins fp-fp", "wins: 'fp-fp'"),
        ("--wins fp-fp:cycles", "wins: fp-fp is the only architecture of this sweep"),
        ("--wins tpu:cycles", "wins: 'tpu'"),
        ("--circuits asap7", "circuits: results are of arch fp-fp"),
        ("--report new --sql select", "sql: cannot be combined with report"),
    ],
)
def test_impossible_questions(refused: Refused, finished: Path, options: str, message: str):
    assert refused("results", finished, *options.split()).startswith(message)


def test_a_changed_value_in_the_results(refused: Refused, finished: Path):
    file = finished / "results.parquet"
    content = bytearray(file.read_bytes())
    content[len(content) // 4] ^= 1
    file.write_bytes(content)
    assert refused("results", finished).startswith(f"results: {file} is damaged")


def test_a_file_system_that_takes_no_more(finished: Path):
    """A real limit of the operating system, in a process of its own."""
    before = load_results(finished)
    kept = sorted(finished.glob("part-*.parquet"))[1:]
    sorted(finished.glob("part-*.parquet"))[0].unlink()

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))

    program = Path(sys.executable).with_name("anda")
    command = [program, "sweep", finished.parent / "mine.yaml", "--out", finished]
    run = subprocess.run(command, capture_output=True, text=True, check=False, preexec_fn=limit)
    error = run.stderr.splitlines()[-1]
    assert re.fullmatch(
        rf"anda: error: out: {finished}/part-[\w-]+\.parquet cannot be written \(File too large\); .*",
        error,
    )
    assert run.returncode == 2
    assert sorted(finished.glob("part-*.parquet")) == kept
    pd.testing.assert_frame_equal(load_results(finished), before)


def test_an_option_without_a_point_that_it_concerns(refused: Refused, tmp_path: Path):
    sweep = tmp_path / "sweep.yaml"
    sweep.write_text(SWEEP + "allow_overflow: true\n")
    assert refused("sweep", sweep, "--out", tmp_path / "out").startswith("allow_overflow: applies to whole models only")
