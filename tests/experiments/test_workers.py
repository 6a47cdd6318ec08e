"""Worker processes: none outlives the command that started it, and Ctrl-C is one line."""

import os
import signal
import subprocess
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from anda_codesign.experiments.workers import workers
from anda_codesign.formats import InputError
from processes import ANDA, descendants, is_alive, wait_for, warn

SWEEP = """
models: [OPT-125M, OPT-1.3B]
archs: anda
mantissa_bits: {from: 4, to: 16}
tokens: {from: 16, to: 215}
levels: events
"""


@pytest.mark.parametrize("strict", [True, False])
def test_warnings_are_errors_in_workers_where_they_are_here(strict: bool):
    with warnings.catch_warnings():
        warnings.simplefilter("error" if strict else "ignore")
        with workers(1) as processes:
            (answer,) = processes.submit(warn, ["careful"])
            assert isinstance(answer.exception(), UserWarning) == strict


def test_a_killed_worker():
    message = r"^workers: a process was killed; run the same command again"
    with pytest.raises(InputError, match=message), workers(1) as processes:
        processes.submit(os._exit, [9])[0].result()


@pytest.fixture
def sweep(tmp_path: Path) -> "Iterator[subprocess.Popen[str]]":
    """A sweep with two workers, at work."""
    (tmp_path / "sweep.yaml").write_text(SWEEP)
    command = [*ANDA, "sweep", "sweep.yaml", "--out", "out", "--workers", "2"]
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        wait_for(lambda: len(list(tmp_path.glob("out/part-*"))) >= 2 or process.poll() is not None)
        assert process.poll() is None
        yield process
        process.kill()


@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGTERM])
def test_no_process_outlives_a_killed_sweep(sweep: "subprocess.Popen[str]", sign: signal.Signals):
    below = descendants(sweep.pid)
    assert len(below) >= 2
    os.kill(sweep.pid, sign)
    sweep.wait()
    wait_for(lambda: not any(map(is_alive, below)), 20)


@pytest.mark.parametrize("send", [os.kill, os.killpg])
def test_ctrl_c_is_one_line(sweep: "subprocess.Popen[str]", send: Callable[[int, int], None]):
    """To the command alone, and to all of its processes, as a terminal does."""
    below = descendants(sweep.pid)
    send(sweep.pid, signal.SIGINT)
    errors = sweep.communicate(timeout=60)[1]
    assert sweep.returncode == 130
    assert errors.splitlines()[-1] == "anda: error: interrupted"
    assert "Traceback" not in errors
    wait_for(lambda: not any(map(is_alive, below)), 20)
