"""Files that appear under their name when they are complete, and cached files that carry a checksum."""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

Value = TypeVar("Value")

PART = ".part"
"""End of the names of unfinished files."""


@contextmanager
def whole_file(path: Path) -> Generator[Path]:
    """Write a file in one step: its content goes to a file beside it, which then takes its name.

    A run that is killed leaves at most a hidden file, see `unfinished`; what stood under the name before stays until then.

    Yields
    ------
    Path
        The file to write. It is removed if the body fails.
    """
    part = path.with_name(f".{path.name[:200]}.{os.getpid()}-{secrets.token_hex(4)}{PART}")
    try:
        yield part
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def unfinished(folder: Path) -> list[Path]:
    """Files of a folder that runs which were killed left unfinished."""
    return sorted(folder.glob(f".*{PART}"))


def file_sha256(path: Path) -> str:
    """Return the hexadecimal sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
