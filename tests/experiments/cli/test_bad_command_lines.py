"""Command lines and files of all commands that are wrong: one line on stderr, exit status 2, nothing overwritten."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from messages import Refused


def test_long_quotes_are_cut(refused: Refused):
    message = refused("simulate", "--model", "x" * 100_000)
    assert message.startswith("model: 'xxx")
    assert len(message) < 1000


@pytest.mark.parametrize("option", ["--arch", "--model", "--precision", "--technology"])
def test_pipes_without_a_writer_are_refused(refused: Refused, tmp_path: Path, option: str):
    pipe = tmp_path / "pipe.yaml"
    os.mkfifo(pipe)
    assert "pipe" in refused("simulate", "--model", "OPT-125M", option, pipe)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("", "Missing command; see 'anda --help'"),
        ("simulat", "No such command 'simulat'. Did you mean 'simulate'?; see 'anda --help'"),
        ("rtl", "Missing command; see 'anda rtl --help'"),
        ("trace info", "Missing argument 'FILE'; see 'anda trace info --help'"),
        (
            "simulate --modell OPT-125M",
            "No such option: --modell (Possible options: --model)",
        ),
        ("simulate --model", "Option '--model' requires an argument; see 'anda --help'"),
        (
            "simulate --model OPT-125M --tokens many",
            "Invalid value for '--tokens': Input should be a valid integer, unable to parse string as an integer",
        ),
        ("report", "Missing option '--out'; see 'anda report --help'"),
        (
            "search --model none.gguf --iterations 0",
            "iterations: 0 is not valid",
        ),  # before anything is loaded or measured
        ("search --model none.gguf --tolerance inf", "tolerance: inf is not valid"),
        ("formats compare --trace none --arch fp-fp", "arch: applies with --machine only"),
        ("formats compare --machine --plot x.png", "plot: shows the signal-to-noise ratio on a trace"),
        ("sweep", "file: is missing"),
        ("sweep phases", "out: is missing"),
        ("sweep phases --out x --workers 0", "workers: 0"),
        (
            "sweep phases --out x --workers 2 --dask tcp://127.0.0.1:1",
            "workers: a Dask cluster has its own",
        ),
    ],
)
def test_command_lines_that_are_incomplete_or_contradictory(refused: Refused, arguments: str, message: str):
    assert refused(*arguments.split()).startswith(message)


@pytest.mark.parametrize(
    "arguments",
    [
        "simulate --model OPT-125M --m 7",
        "simulate --model none",
        "models",
        "archs",
        "formats",
        "trace info none",
        "rtl check --trace none",
    ],
)
def test_a_json_file_that_exists_is_kept(refused: Refused, tmp_path: Path, arguments: str):
    path = tmp_path / "result.json"
    path.write_text("precious")
    message = f"json: {path} exists and is not overwritten"
    assert refused(*arguments.split(), "--json", path).startswith(message)
    assert path.read_text() == "precious"


def test_a_file_without_a_name(refused: Refused):
    assert refused("archs", "--json", "").startswith("json: ''")
    assert refused("rtl", "check", "--trace", "none", "--vcd", "").startswith("vcd: ")


def test_a_folder_that_may_not_be_written(refused: Refused, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr("os.access", lambda path, mode: False)
    message = f"json: the folder {tmp_path} may not be written"
    assert refused("archs", "--json", tmp_path / "archs.json").startswith(message)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (PermissionError(13, "Permission denied", "/data/model"), "/data/model: Permission denied"),
        (OSError(28, "No space left on device"), "output: No space left on device"),
    ],
)
def test_what_the_machine_refuses(refused: Refused, monkeypatch: pytest.MonkeyPatch, error: OSError, message: str):
    def fail() -> None:
        raise error

    monkeypatch.setattr("anda_codesign.experiments.catalog.list_architectures", fail)
    assert refused("archs").startswith(f"{message}; fix that and run the command again")


def test_a_problem_that_is_too_large_for_the_memory(refused: Refused):
    message = refused("rtl", "run", "--tokens", 10**6, "--k", 10**6, "--n", 64)
    assert message.startswith("memory: is not enough (Unable to allocate ")
    assert message.endswith("); take a smaller problem")


def test_a_json_file_in_no_folder(refused: Refused, tmp_path: Path):
    path = tmp_path / "none" / "result.json"
    assert refused("archs", "--json", path).startswith(f"json: there is no folder {path.parent}")
    assert not path.parent.exists()


@pytest.mark.parametrize(
    ("command", "field"),
    [
        ("rtl verilog anda-pe --out {}", "out"),
        ("rtl check --trace none --vcd {}", "vcd"),
        ("trace capture --out {}", "out"),
    ],
)
def test_files_that_exist_are_kept(refused: Refused, tmp_path: Path, command: str, field: str):
    path = tmp_path / "file"
    path.write_text("precious")
    message = f"{field}: {path} exists and is not overwritten"
    assert refused(*command.format(path).split()).startswith(message)
    assert path.read_text() == "precious"
    missing = tmp_path / "none" / "file"
    message = f"{field}: there is no folder {missing.parent}"
    assert refused(*command.format(missing).split()).startswith(message)


def test_circuits_that_do_not_exist(refused: Refused):
    assert refused("rtl", "verilog", "gpu").startswith("design: there is no 'gpu'")
    message = "lanes: 0"
    assert refused("rtl", "verilog", "anda-pe", "--lanes", 0).startswith(message)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("simulate --model GPT-5 --m 7", "model: 'GPT-5'"),
        (
            "simulate --model OPT-125M --tokens 4096",
            "tokens: 0 of context and 4,096 of tokens are 4,096 tokens, beyond",
        ),
        ("nonsense", "No such command 'nonsense'; see 'anda --help'"),
    ],
)
def test_the_installed_program_does_the_same(arguments: str, message: str):
    program = Path(sys.executable).with_name("anda")
    run = subprocess.run([program, *arguments.split()], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout) == (2, "")
    assert run.stderr.startswith(f"anda: error: {message}")
    assert run.stderr.count("\n") == 1
