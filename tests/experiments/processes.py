"""Processes of commands under test: their descendants, whether they are alive, and functions for workers to call."""

import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from anda_codesign.formats.named_format import NamedFormat
from anda_codesign.formats.plugins import load_plugins

ANDA = [sys.executable, "-c", "import sys; from anda_codesign.experiments.cli import main; sys.exit(main())"]
"""The command ``anda`` as a process of its own."""


def descendants(pid: int) -> list[int]:
    """All processes below one, from Linux's list."""
    try:
        children = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []
    return [found for child in children for found in (child, *descendants(child))]


def is_alive(pid: int) -> bool:
    """True unless a process has ended; one that nobody has waited for yet has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_for(condition: Callable[[], object], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def warn(text: str) -> str:
    warnings.warn(text, stacklevel=1)
    return text


def hash_in_a_worker(plugins: Any, text: str) -> str | None:
    load_plugins(plugins)
    return NamedFormat.parse(text).source_sha256
