"""Output folders; one that holds other files is refused, but not what a killed run has left."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from ..formats import InputError
from ..workloads.files import locked

UNFINISHED = ".unfinished"
"""File in a folder whose run has not ended: it is locked by a run at work, and stays behind when that is killed."""


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
    """True if the path does not exist, or is a folder that is empty or that a killed run has left unfinished."""
    if not folder.exists():
        return True
    return folder.is_dir() and ((folder / UNFINISHED).is_file() or not any(folder.iterdir()))


def require_free(folder: Path) -> None:
    """Refuse a path that holds other files.

    Raises
    ------
    InputError
        It is a file, or a folder that is not free.
    """
    if not is_free(folder):
        raise InputError(f"out: {folder} is not empty; name another folder")


@contextmanager
def filling(folder: Path) -> Generator[None]:
    """Fill a free folder. A run that is killed or fails leaves it unfinished, and the same command fills it again.

    Raises
    ------
    InputError
        It is not free, cannot be made, or another run is at work in it.
    """
    require_free(folder)
    make_folder(folder)
    with locked(folder, UNFINISHED):
        yield
        (folder / UNFINISHED).unlink()


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
