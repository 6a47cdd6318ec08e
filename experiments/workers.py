"""Worker processes of this machine: they end with the process that started them, and leave Ctrl-C to it."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import warnings
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import connection
from typing import Any, TypeVar

from ..formats import InputError

Item = TypeVar("Item")
Answer = TypeVar("Answer")


class Workers:
    """Processes that compute functions of items.

    Parameters
    ----------
    pool
        The processes.
    """

    def __init__(self, pool: ProcessPoolExecutor) -> None:
        self._pool = pool

    def submit(self, function: Callable[[Item], Answer], items: Iterable[Item]) -> list[Future[Answer]]:
        """Answers to come, one for each item; the processes start here."""
        with _interrupts_held():
            return [self._pool.submit(function, item) for item in items]


@contextmanager
def workers(count: int, start: Callable[..., object] | None = None, *arguments: object) -> Generator[Workers]:
    """Start processes for as long as the context lasts; an error or Ctrl-C in it ends them at once.

    Parameters
    ----------
    count
        Number of processes.
    start
        Function that each process calls first, if there is one.
    arguments
        Its arguments.

    Raises
    ------
    InputError
        A process was killed.
    """
    context = multiprocessing.get_context("spawn")  # a fork would copy the threads of numeric libraries
    others = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(count, context, initializer=_begin, initargs=(error_on_warnings(), start, arguments))
    try:
        yield Workers(pool)
    except BaseException as error:
        pool.shutdown(wait=False, cancel_futures=True)
        for process in set(multiprocessing.active_children()) - others:
            process.terminate()
        if isinstance(error, BrokenProcessPool):
            message = "workers: a process was killed; run the same command again, what is finished is kept"
            raise InputError(message) from None
        raise
    pool.shutdown()


def error_on_warnings() -> bool:
    """True if warnings of any kind are errors in this process."""
    actions = (action for action, message, category, *_ in warnings.filters if message is None and category is Warning)
    return next(actions, None) == "error"


def _begin(strict: bool, start: Callable[..., object] | None, arguments: tuple[object, ...]) -> None:
    """Prepare a worker process: warnings are errors if they are in the process that started it."""
    if strict:
        warnings.simplefilter("error")
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if start is not None:
        start(*arguments)


def _end_with_parent() -> None:
    """Wait until the parent has died, however it did, and end this process: nobody would take its answers."""
    parent: Any = multiprocessing.parent_process()
    connection.wait([parent.sentinel])
    os._exit(1)


@contextmanager
def _interrupts_held() -> Generator[None]:
    """Hold Ctrl-C back; processes that start meanwhile never see it, so that their parent alone answers it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
