"""Executors of batches of points: this process, several processes, or a Dask cluster."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import CancelledError, as_completed
from dataclasses import dataclass
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, NoReturn, Protocol, Self, TypeVar

from ...formats import InputError
from ...formats.documents.border import reason
from ...formats.plugins import Plugin, load_plugins, loaded_plugins
from ..workers import workers

Batch = TypeVar("Batch")
Answer = TypeVar("Answer")

_ADDRESS = re.compile(r"(tcp|tls|ws|wss)://[^/\s]+:\d+")


class Executor(Protocol):
    """Works on batches while its context lasts; the batch of a worker that died is done again or reported."""

    def __enter__(self) -> Self:
        """Start, or refuse before any work."""
        ...

    def __exit__(self, *exception: object) -> None:
        """Release the workers."""
        ...

    def run(self, work: Callable[[Batch], Answer], batches: Sequence[Batch]) -> Generator[Answer]:
        """Answers of a function for each batch, as they finish."""
        ...


@dataclass(frozen=True)
class LocalExecutor:
    """Processes of this machine; one means the process that calls."""

    workers: int = 1

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise InputError(f"workers: {self.workers} is too few; use 1 or more")

    def __enter__(self) -> Self:
        """Return the executor; its processes start with the first batch."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Do nothing: the processes end with the last batch."""

    def run(self, work: Callable[[Batch], Answer], batches: Sequence[Batch]) -> Generator[Answer]:
        """Answers of a function for each batch, as they finish.

        Raises
        ------
        InputError
            A process was killed.
        """
        if self.workers == 1 or len(batches) < 2:
            yield from map(work, batches)
            return
        call = partial(_work, loaded_plugins(), work)
        with workers(min(self.workers, len(batches))) as processes:
            for done in as_completed(processes.submit(call, batches)):
                yield done.result()


class DaskExecutor:
    """A Dask scheduler and its workers; batches of a worker that dies go to another.

    Parameters
    ----------
    address
        The scheduler's.
    version
        Hash of the program that the work depends on; that of each worker must be equal.
    timeout_seconds
        Longest time to wait for an answer of the scheduler.
    patience_seconds
        Longest time to wait for a worker when there is none.
    """

    def __init__(
        self, address: str, version: Callable[[], object], timeout_seconds: float = 5.0, patience_seconds: float = 60.0
    ) -> None:
        self._address, self._version = address, version
        self._timeout_seconds = timeout_seconds
        self._patience_seconds = patience_seconds
        self._client: Any = None

    def __enter__(self) -> Self:
        """Connect.

        Raises
        ------
        InputError
            The package or the scheduler is not there, or its workers run another version of this program.
        """
        try:
            from distributed import Client
        except ImportError:
            raise InputError("dask: the package is not installed; pip install 'anda-codesign[cluster]'") from None
        unreachable = f"dask: no scheduler answers at {self._address!r}; give its address, such as tcp://127.0.0.1:8786"
        if not _ADDRESS.fullmatch(self._address):
            raise InputError(unreachable)
        try:
            self._client = Client(self._address, timeout=self._timeout_seconds)
        except Exception:  # what answers may be anything, and its bytes fail to parse in any way
            raise InputError(unreachable) from None
        _quiet_dask()
        try:
            _require_same_version(self._client, self._version)
        except Exception as error:
            self._client.close()
            if isinstance(error, InputError):
                raise
            raise InputError(
                f"dask: the workers cannot run this program ({reason(error)}); install the same versions of Python and of "
                "this program there"
            ) from None
        return self

    def __exit__(self, *exception: object) -> None:
        """Disconnect; the scheduler drops batches that have not begun."""
        self._client.close()

    def require(self, check: Callable[[], object]) -> None:
        """Call a function once in each worker, and refuse workers in which it fails."""
        from distributed import wait

        workers: list[str] = list(self._client.scheduler_info(n_workers=-1)["workers"])
        call = partial(_work, loaded_plugins(), _call)
        found = {
            worker: self._client.submit(call, check, workers=[worker], allow_other_workers=True, pure=False)
            for worker in workers
        }
        wait(list(found.values()))
        for worker, future in found.items():
            if (error := future.exception()) is not None:
                raise InputError(f"dask: {worker} cannot do this work ({reason(error)})")

    def run(self, work: Callable[[Batch], Answer], batches: Sequence[Batch]) -> Generator[Answer]:
        """Answers of a function for each batch, as they finish.

        Raises
        ------
        InputError
            A batch lost several workers.
        """
        from distributed import KilledWorker
        from distributed.comm.core import CommClosedError

        futures = self._client.map(partial(_work, loaded_plugins(), work), batches, pure=False)
        done: SimpleQueue[Any] = SimpleQueue()
        for future in futures:
            future.add_done_callback(done.put)
        left, last_seen = len(futures), time.monotonic()
        while left:
            try:
                future = done.get(timeout=1)
            except Empty:
                last_seen = self._last_seen(last_seen)
                continue
            if self._client.status != "running" or future.status == "cancelled":
                self._refuse_without_scheduler()
            try:
                answer = future.result(timeout=self._timeout_seconds)
            except KilledWorker:
                raise InputError(
                    "dask: a batch lost several workers; see their logs, then run the same command again"
                ) from None
            except (CommClosedError, CancelledError):
                self._refuse_without_scheduler()
            except TimeoutError:  # the worker that had the rows died; another computes them again
                future.add_done_callback(done.put)
                continue
            left, last_seen = left - 1, time.monotonic()
            yield answer
            future.release()

    def _last_seen(self, before: float) -> float:
        """Time at which there was a worker; refuses to wait for a scheduler or for workers that are gone."""
        if self._client.status not in ("running", "connecting"):
            self._refuse_without_scheduler()
        try:
            workers = self._client.scheduler_info().get("workers")
        except OSError:  # the connection has just closed; the next call knows
            return before
        if workers:
            return time.monotonic()
        if self._client.status == "running" and time.monotonic() - before > self._patience_seconds:
            raise InputError(
                f"dask: the scheduler has had no workers for {self._patience_seconds:g} s; start some with `dask worker "
                f"{self._address}` and the same command again, what is finished is kept"
            )
        return before

    def _refuse_without_scheduler(self) -> NoReturn:
        raise InputError(
            f"dask: the scheduler at {self._address} is gone; start it and the same command again, what is finished is kept"
        )


def make_executor(workers: int, dask: str | None, version: Callable[[], object]) -> Executor:
    """The executor that a command line asks for.

    Raises
    ------
    InputError
        It asks for both, or for no worker.
    """
    if dask is None:
        return LocalExecutor(workers)
    if workers != 1:
        raise InputError("workers: a Dask cluster has its own; leave out workers or dask")
    return DaskExecutor(dask, version)


def _quiet_dask() -> None:
    """Keep Dask from logging lost connections at length: `DaskExecutor.run` tells them in one line."""
    for name in list(logging.root.manager.loggerDict):
        if name.partition(".")[0] in ("distributed", "tornado"):
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)


def _require_same_version(client: Any, version: Callable[[], object]) -> None:
    versions: dict[str, object] = client.run(version)
    if not versions:
        raise InputError("dask: the scheduler has no workers; start some with `dask worker`")
    own = version()
    for worker, found in versions.items():
        if found != own:
            raise InputError(f"dask: {worker} runs another version of this program; install the same one there")


def _work(plugins: Sequence[Plugin], work: Callable[[Batch], Answer], batch: Batch) -> Answer:
    """Work on a batch in a worker, which has the same plugins as the process that asks."""
    load_plugins(plugins)
    return work(batch)


def _call(check: Callable[[], object]) -> None:
    check()
