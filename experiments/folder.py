"""Output folders: never one that holds something else."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from ..formats import InputError


def make_folder(folder: Path) -> None:
    """Make a folder, and those above it, unless it is there.

    Raises:
        InputError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"out: {folder} cannot be created ({error.strerror}); name another folder") from None


def is_free(folder: Path) -> bool:
    """Whether nothing is at this path, or an empty folder."""
    return not folder.exists() or (folder.is_dir() and not any(folder.iterdir()))


@contextmanager
def writing(folder: Path) -> Generator[None]:
    """Turn what the disk refuses, such as a full one, into one line; what is written already stays.

    Raises:
        InputError: a file in the folder cannot be written.
    """
    try:
        yield
    except OSError as error:
        message = f"out: {folder} cannot be written ({error.strerror}); free space or name another folder"
        raise InputError(message) from None
