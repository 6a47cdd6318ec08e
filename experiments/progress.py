"""Progress of long work: a bar in a terminal, one line for each stage elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager

Advance = Callable[[int], None]
"""Called with the units of work just finished."""


@contextmanager
def stage(title: str, total: int) -> Generator[Advance]:
    """A stage of `total` units, shown on stderr."""
    if not sys.stderr.isatty():
        print(f"anda: {title}", file=sys.stderr, flush=True)
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(title, total=total)
        yield lambda units: progress.advance(task, units)
