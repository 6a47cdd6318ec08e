"""Makes the helper modules of this folder and the tiny checkpoints importable, and runs the command `anda` in this process."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "workloads")]


class Answer(NamedTuple):
    status: int
    out: str
    err: str


@pytest.fixture
def anda(capsys: pytest.CaptureFixture[str]) -> Callable[..., Answer]:
    """Run one command line."""
    from anda_codesign.experiments.cli import main

    def run(*arguments: object) -> Answer:
        capsys.readouterr()
        status = main([str(argument) for argument in arguments])
        return Answer(status, *capsys.readouterr())

    return run


@pytest.fixture
def refused(anda: Callable[..., Answer]) -> Callable[..., str]:
    """Run a wrong command line: exit status 2, nothing on stdout, one line on stderr, returned without ``anda: error: ``."""

    def run(*arguments: object) -> str:
        answer = anda(*arguments)
        assert answer.out == ""
        head, _, message = answer.err.partition("anda: error: ")
        assert head == "", answer.err
        assert message.count("\n") == 1
        assert message.endswith("\n")
        assert answer.status == 2
        return message.removesuffix("\n")

    return run
