"""Output folders; one that holds other files is refused."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from ..formats import InputError


def make_folder(folder: Path) -> None:
    """Make a folder and its parents, unless it exists.

    Raises
    ------
    InputError
        It cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"out: {folder} cannot be created ({error.strerror}); name another folder") from None


def is_free(folder: Path) -> bool:
    """True if the path does not exist or is an empty folder."""
    return not folder.exists() or (folder.is_dir() and not any(folder.iterdir()))


@contextmanager
def writing(folder: Path) -> Generator[None]:
    """Turn an error of the disk, such as a full one, into one line; files written before stay.

    Raises
    ------
    InputError
        A file in the folder cannot be written.
    """
    try:
        yield
    except OSError as error:
        message = f"out: {folder} cannot be written ({error.strerror}); free space or name another folder"
        raise InputError(message) from None
