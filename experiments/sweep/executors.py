"""Executors of batches of points: this process, several processes, or a Dask cluster."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, Self, TypeAlias

from ...formats import InputError
from ...formats.plugins import Plugin, load_plugins, loaded_plugins
from .points import Point, model_version, simulate_points

Rows: TypeAlias = list[dict[str, Any]]
Batch: TypeAlias = Sequence[Point]

_ADDRESS = re.compile(r"(tcp|tls|ws|wss)://[^/\s]+:\d+")


class Executor(Protocol):
    """Simulates batches while its context lasts; the batch of a worker that died is simulated again or reported."""

    def __enter__(self) -> Self:
        """Start, or refuse before any work."""
        ...

    def __exit__(self, *exception: object) -> None:
        """Release the workers."""
        ...

    def run(self, batches: Sequence[Batch]) -> Iterator[Rows]:
        """Rows of each batch, as they finish."""
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

    def run(self, batches: Sequence[Batch]) -> Iterator[Rows]:
        """Rows of each batch, as they finish.

        Raises
        ------
        InputError
            A point cannot be simulated, or a process was killed.
        """
        if self.workers == 1 or len(batches) < 2:
            yield from map(simulate_points, batches)
            return
        import multiprocessing
        from concurrent.futures import ProcessPoolExecutor, as_completed
        from concurrent.futures.process import BrokenProcessPool

        simulate = partial(_simulate, loaded_plugins())
        context = multiprocessing.get_context("spawn")  # a fork would copy the threads of numeric libraries
        pool = ProcessPoolExecutor(
            min(self.workers, len(batches)), context, initializer=same_warnings, initargs=(error_on_warnings(),)
        )
        try:
            for done in as_completed([pool.submit(simulate, batch) for batch in batches]):
                yield done.result()
        except BrokenProcessPool:
            raise InputError("workers: a process was killed; run the sweep again, finished points are kept") from None
        finally:
            pool.shutdown(cancel_futures=True)


class DaskExecutor:
    """A Dask scheduler and its workers; batches of a worker that dies go to another."""

    def __init__(self, address: str, timeout_seconds: float = 5.0) -> None:
        self._address = address
        self._timeout_seconds = timeout_seconds
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
        try:
            _require_same_version(self._client)
        except InputError:
            self._client.close()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        """Disconnect; the scheduler drops batches that have not begun."""
        self._client.close()

    def run(self, batches: Sequence[Batch]) -> Iterator[Rows]:
        """Rows of each batch, as they finish.

        Raises
        ------
        InputError
            A point cannot be simulated, or a batch lost several workers.
        """
        from distributed import KilledWorker, as_completed

        simulate = partial(_simulate, loaded_plugins())
        for future in as_completed(self._client.map(simulate, batches, pure=False)):
            try:
                rows = future.result()
            except KilledWorker:
                raise InputError(
                    "dask: a batch lost several workers; see their logs, then run the sweep again"
                ) from None
            yield rows
            future.release()


def make_executor(workers: int, dask: str | None) -> Executor:
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
    return DaskExecutor(dask)


def _require_same_version(client: Any) -> None:
    versions: dict[str, str] = client.run(model_version)
    if not versions:
        raise InputError("dask: the scheduler has no workers; start some with `dask worker`")
    for worker, version in versions.items():
        if version != model_version():
            raise InputError(f"dask: {worker} runs another version of this program; install the same one there")


def _simulate(plugins: Sequence[Plugin], batch: Batch) -> Rows:
    """Simulate a batch in a worker, which has the same plugins as the process that asks."""
    load_plugins(plugins)
    return simulate_points(batch)


def error_on_warnings() -> bool:
    """True if warnings are errors in this process."""
    return bool(warnings.filters) and warnings.filters[0][0] == "error"


def same_warnings(strict: bool) -> None:
    """Warnings are errors in a worker if they are in the process that started it."""
    if strict:
        warnings.simplefilter("error")
