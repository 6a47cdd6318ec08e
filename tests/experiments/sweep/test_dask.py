"""A sweep on a real Dask scheduler with two workers on this machine, one of which is killed while it works."""

import os
import signal
import socketserver
import subprocess
import sys
import threading
from collections.abc import Generator, Sequence
from functools import partial
from operator import truediv
from pathlib import Path

import pandas as pd
import pytest
from anda_codesign.experiments.parallel import executors
from anda_codesign.experiments.sweep.points import model_version
from anda_codesign.experiments.sweep.run import run_sweep
from anda_codesign.formats import InputError
from dask_cluster import Cluster, running_cluster, wait_for

FILE = """
models: [OPT-125M, OPT-1.3B]
archs: [fp-fp, anda]
mantissa_bits: {from: 4, to: 10}
tokens: {from: 16, to: 18}
"""
POINTS = 2 * 8 * 3

SLOW_ROWS = """
    import time
    from anda_codesign.experiments.sweep import points

    row = points._row

    def slow(point):
        time.sleep(0.1)
        return row(point)

    points._row = slow
"""


@pytest.fixture
def cluster(tmp_path: Path) -> Generator[Cluster]:
    with running_cluster(tmp_path / "cluster", SLOW_ROWS) as running:
        yield running


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
    message = f"anda: error: dask: the scheduler at {cluster.address} is gone; start it and the same command again"
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
    executor = executors.DaskExecutor(cluster.address, model_version, patience_seconds=2)
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


def test_workers_of_another_version(cluster: Cluster):
    with pytest.raises(InputError, match=r"^dask: tcp://\S+ runs another version of this program"):
        executors.DaskExecutor(cluster.address, os.getpid).__enter__()
    with pytest.raises(InputError, match=r"^dask: the workers cannot run this program \(division by zero\); install"):
        executors.DaskExecutor(cluster.address, partial(truediv, 1, 0)).__enter__()
