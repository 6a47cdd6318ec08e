"""Standard streams that are closed or full: one line at most, no traceback, exit status 2."""

import os
import subprocess
from pathlib import Path

import pytest
from processes import ANDA

COMMANDS = ["models", "models --json -", "simulate --model OPT-125M --arch fp-fp --json -", "--version", "formats"]


def shell(command: str, redirections: str) -> "subprocess.CompletedProcess[str]":
    program = ["sh", "-c", f'exec "$0" "$@" {redirections}', *ANDA, *command.split()]
    return subprocess.run(program, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    ("redirection", "reason"), [(">&-", "Bad file descriptor"), (">/dev/full", "No space left on device")]
)
def test_an_output_that_takes_nothing(command: str, redirection: str, reason: str):
    run = shell(command, redirection)
    assert run.stderr == f"anda: error: output: {reason}; fix that and run the command again\n"
    assert run.returncode == 2


def test_closed_errors_and_input():
    assert shell("simulate --model foo", "2>&-").returncode == 2
    assert shell("simulate --model foo", "2>&-").stdout == ""
    whole = shell("models", "<&- 2>&-")
    assert (whole.returncode, whole.stdout[:6]) == (0, "Models")
    assert shell("models", "<&- >&- 2>&-").returncode == 2


def test_a_file_does_not_take_the_number_of_a_closed_stream(tmp_path: Path):
    """What is printed must not land in a file that the command writes."""
    file = tmp_path / "gemm.json"
    run = shell(f"simulate --gemm 16x64x64 --m 7 --json {file}", ">&- 2>&-")
    assert run.returncode == 0
    assert file.read_text().startswith("{")


@pytest.mark.parametrize("command", COMMANDS)
def test_a_reader_that_is_gone(command: str):
    """As with ``anda models | head -1``: nothing is said."""
    reader, writer = os.pipe()
    os.close(reader)
    run = subprocess.run([*ANDA, *command.split()], stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert (run.stderr, run.returncode) == ("", 141)
