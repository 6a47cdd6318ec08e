"""A Dask cluster on this machine, whose processes tests kill."""

import re
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from tools import absent

START_WORKER = """
import sys
from distributed.cli.dask_worker import main
main(sys.argv[1:])
"""


class Cluster:
    """A scheduler and two workers, in processes of their own; the workers run a program first, which can slow them."""

    def __init__(self, folder: Path, before_work: str) -> None:
        self._folder = folder
        self._log = (folder / "log").open("w+")
        self._processes: list[subprocess.Popen[bytes]] = []
        scheduler = "from distributed.cli.dask_scheduler import main; main()"
        self.scheduler = self._start(scheduler, "--host", "127.0.0.1", "--port", "0", "--no-dashboard")
        self.address = self._wait(r"Scheduler at:\s+(tcp://\S+)")[0]
        worker = ["--host", "127.0.0.1", "--no-dashboard", "--nthreads", "1", "--no-nanny"]
        self.workers = [
            self._start(
                textwrap.dedent(before_work) + START_WORKER, self.address, *worker, "--local-directory", str(folder)
            )
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


@contextmanager
def running_cluster(folder: Path, before_work: str) -> Generator[Cluster]:
    """A cluster in a new folder; skips the test without the package."""
    if find_spec("distributed") is None:
        absent("the extra 'cluster' (dask[distributed]) is not installed")
    folder.mkdir()
    running = Cluster(folder, before_work)
    yield running
    running.close()
