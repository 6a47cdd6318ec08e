"""Progress of long work: a bar in a terminal; elsewhere a line for each stage, and one every ten seconds with rate and time left."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager

from . import amounts

Advance = Callable[[int], None]
"""Called with the units of work just finished."""

LONG_SECONDS = 2
"""Least time of a stage that says at its end how long it took."""
LINE_SECONDS = 10
"""Least time between two lines of a stage."""


@contextmanager
def stage(title: str, total: int) -> Generator[Advance]:
    """A stage of `total` units, shown on stderr."""
    if not sys.stderr.isatty():
        started = time.monotonic()
        print(f"anda: {title}", file=sys.stderr, flush=True)
        yield _lines(total)
        _say_if_long(title, started)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    rate = TextColumn("{task.fields[rate]}")
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), rate, TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(title, total=total, rate="")
        started, done = time.monotonic(), 0

        def advance(units: int) -> None:
            nonlocal done
            done += units
            progress.update(task, advance=units, rate=f"{done / (time.monotonic() - started):,.3g}/s")

        yield advance


@contextmanager
def timed(title: str) -> Generator[None]:
    """Work without a line at its beginning: it says how long it took, on stderr, if that was `LONG_SECONDS`."""
    started = time.monotonic()
    yield
    _say_if_long(title, started)


def _say_if_long(title: str, started: float) -> None:
    if (took := time.monotonic() - started) >= LONG_SECONDS:
        print(f"anda: {title}: {amounts.seconds(took)}", file=sys.stderr, flush=True)


def _lines(total: int) -> Advance:
    """Prints a line at most every `LINE_SECONDS`: units done, rate and time left."""
    started = shown = time.monotonic()
    done = 0

    def advance(units: int) -> None:
        nonlocal shown, done
        done += units
        now = time.monotonic()
        if now - shown < LINE_SECONDS or done >= total:
            return
        shown, rate = now, done / (now - started)
        left = (total - done) / rate
        print(f"anda: {done:,} of {total:,}, {rate:,.3g}/s, {left:,.0f} s left", file=sys.stderr, flush=True)

    return advance
