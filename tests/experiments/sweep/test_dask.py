"""A sweep on a real Dask scheduler with two workers on this machine, one of which is killed while it works."""

import importlib.util
import os
import re
import signal
import socketserver
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Generator, Sequence
from pathlib import Path

import pandas as pd
import pytest
from anda_codesign.experiments.sweep import executors
from anda_codesign.experiments.sweep.run import run_sweep
from anda_codesign.formats import InputError
from tools import absent

FILE = """
models: [OPT-125M, OPT-1.3B]
archs: [fp-fp, anda]
mantissa_bits: {from: 4, to: 10}
tokens: {from: 16, to: 18}
"""
POINTS = 2 * 8 * 3

SLOW_WORKER = """
    import sys, time
    from anda_codesign.experiments.sweep import points

    row = points._row

    def slow(point):
        time.sleep(0.1)
        return row(point)

    points._row = slow
    from distributed.cli.dask_worker import main
    main(sys.argv[1:])
"""


@pytest.fixture(autouse=True)
def cluster_extra() -> None:
    if importlib.util.find_spec("distributed") is None:
        absent("the extra 'cluster' (dask[distributed]) is not installed")


class Cluster:
    """A scheduler and two workers, in processes of their own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._log = (folder / "log").open("w+")
        self._processes: list[subprocess.Popen[bytes]] = []
        scheduler = "from distributed.cli.dask_scheduler import main; main()"
        self.scheduler = self._start(scheduler, "--host", "127.0.0.1", "--port", "0", "--no-dashboard")
        self.address = self._wait(r"Scheduler at:\s+(tcp://\S+)")[0]
        worker = ["--host", "127.0.0.1", "--no-dashboard", "--nthreads", "1", "--no-nanny"]
        self.workers = [
            self._start(textwrap.dedent(SLOW_WORKER), self.address, *worker, "--local-directory", str(folder))
            for _ in range(2)
        ]
        self._wait(r"Registered to:", count=2)

    def _start(self, program: str, *arguments: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-c", program, *arguments]
        process = subprocess.Popen(command, cwd=self._folder, stdout=self._log, stderr=self._log)
        self._processes.append(process)
        return process

    def _wait(self, pattern: str, count: int = 1) -> list[str]:
        text = ""

        def seen() -> bool:
            nonlocal text
            text = (self._folder / "log").read_text()
            return len(re.findall(pattern, text)) >= count

        wait_for(seen, lambda: text)
        return re.findall(pattern, text)

    def close(self) -> None:
        for process in reversed(self._processes):
            process.kill()
            process.wait()
        self._log.close()


def wait_for(condition: Callable[[], bool], explain: Callable[[], str] = str) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, explain()
        time.sleep(0.02)


@pytest.fixture
def cluster(tmp_path: Path) -> Generator[Cluster]:
    folder = tmp_path / "cluster"
    folder.mkdir()
    running = Cluster(folder)
    yield running
    running.close()


def anda(*arguments: object) -> subprocess.Popen[str]:
    program = Path(sys.executable).with_name("anda")
    return subprocess.Popen(
        [program, *map(str, arguments)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )


def test_a_worker_is_killed_and_nothing_is_lost_or_doubled(cluster: Cluster, tmp_path: Path):
    file, out = tmp_path / "sweep.yaml", tmp_path / "out"
    file.write_text(FILE)
    sweep = anda("sweep", file, "--out", out, "--dask", cluster.address)
    wait_for(lambda: len(list(out.glob("part-*.parquet"))) >= 4 or sweep.poll() is not None)
    assert sweep.poll() is None, sweep.communicate()[1]
    os.kill(cluster.workers[0].pid, signal.SIGKILL)
    assert len(list(out.glob("part-*.parquet"))) < POINTS
    errors = sweep.communicate(timeout=60)[1]
    assert sweep.returncode == 0, errors
    kept = pd.concat([pd.read_parquet(path) for path in out.glob("part-*.parquet")])
    assert len(kept) == POINTS
    assert kept["key"].is_unique
    pd.testing.assert_frame_equal(pd.read_parquet(out / "results.parquet"), run_sweep(file, tmp_path / "local"))


def test_a_port_where_something_else_answers(tmp_path: Path):
    file = tmp_path / "sweep.yaml"
    file.write_text(FILE)
    with socketserver.TCPServer(("127.0.0.1", 0), WebServer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"tcp://127.0.0.1:{server.server_address[1]}"
        sweep = anda("sweep", file, "--out", tmp_path / "out", "--dask", address)
        errors = sweep.communicate(timeout=60)[1]
        server.shutdown()
    assert errors.splitlines()[-1].startswith(f"anda: error: dask: no scheduler answers at {address!r}")
    assert sweep.returncode == 2


class WebServer(socketserver.BaseRequestHandler):
    """Server that answers every request with an error: not a scheduler."""

    def handle(self) -> None:
        self.request.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:1", "localhost", "http://127.0.0.1:1"])
def test_a_scheduler_that_does_not_answer(tmp_path: Path, address: str):
    file, out = tmp_path / "sweep.yaml", tmp_path / "out"
    file.write_text(FILE)
    sweep = anda("sweep", file, "--out", out, "--dask", address)
    assert sweep.communicate(timeout=60)[1].startswith(f"anda: error: dask: no scheduler answers at {address!r}")
    assert sweep.returncode == 2
    assert not out.exists()


def test_a_scheduler_that_is_killed(cluster: Cluster, tmp_path: Path):
    """One line; the same command with another scheduler finishes."""
    file, out = tmp_path / "sweep.yaml", tmp_path / "out"
    file.write_text(FILE)
    sweep = anda("sweep", file, "--out", out, "--dask", cluster.address)
    wait_for(lambda: len(list(out.glob("part-*.parquet"))) >= 4 or sweep.poll() is not None)
    cluster.scheduler.kill()
    errors = sweep.communicate(timeout=60)[1]
    message = f"anda: error: dask: the scheduler at {cluster.address} is gone; start it and the same sweep again"
    assert errors.splitlines()[-1].startswith(message)
    assert len(errors.splitlines()) == 2, errors  # the other is the progress
    assert sweep.returncode == 2
    kept = len(list(out.glob("part-*.parquet")))
    frame = run_sweep(file, out)
    assert 4 <= kept < POINTS == len(frame)
    assert frame["key"].is_unique


def test_all_workers_are_killed(cluster: Cluster, tmp_path: Path):
    file, out = tmp_path / "sweep.yaml", tmp_path / "out"
    file.write_text(FILE)
    executor = executors.DaskExecutor(cluster.address, patience_seconds=2)
    killing = threading.Thread(target=kill_after_parts, args=(cluster.workers, out))
    killing.start()
    with pytest.raises(
        InputError, match=r"^dask: the scheduler has had no workers for 2 s; start some with `dask worker"
    ):
        run_sweep(file, out, executor)
    killing.join()
    assert 2 <= len(list(out.glob("part-*.parquet"))) < POINTS
    assert len(run_sweep(file, out)) == POINTS


def kill_after_parts(workers: Sequence["subprocess.Popen[bytes]"], out: Path) -> None:
    wait_for(lambda: len(list(out.glob("part-*.parquet"))) >= 2)
    for worker in workers:
        worker.kill()


def test_ctrl_c_is_one_line(cluster: Cluster, tmp_path: Path):
    file, out = tmp_path / "sweep.yaml", tmp_path / "out"
    file.write_text(FILE)
    sweep = anda("sweep", file, "--out", out, "--dask", cluster.address)
    wait_for(lambda: len(list(out.glob("part-*.parquet"))) >= 2 or sweep.poll() is not None)
    sweep.send_signal(signal.SIGINT)
    errors = sweep.communicate(timeout=60)[1]
    assert sweep.returncode == 130
    assert [line for line in errors.splitlines() if "simulating" not in line] == ["anda: error: interrupted"]


def test_workers_of_another_version(cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(executors, "model_version", lambda: str(os.getpid()))  # differs there
    with pytest.raises(InputError, match=r"^dask: tcp://\S+ runs another version of this program"):
        executors.DaskExecutor(cluster.address).__enter__()
    monkeypatch.setattr(executors, "model_version", lambda: 1 / 0)
    with pytest.raises(InputError, match=r"^dask: the workers cannot run this program \(division by zero\); install"):
        executors.DaskExecutor(cluster.address).__enter__()
