"""Files that appear under their name when they are complete, and cached files that carry a checksum."""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

from ..formats.errors import InputError

DIGEST_BYTES = hashlib.sha256().digest_size
PART = ".part"
"""End of the names of unfinished files."""
LOCK = ".lock"
"""File of an output folder that its run locks."""


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


@contextmanager
def locked(folder: Path, name: str = LOCK) -> Generator[None]:
    """Keep other runs out of an output folder, for as long as the context lasts; a killed run leaves no lock.

    Parameters
    ----------
    folder
        The folder.
    name
        File in it that is locked, and that stays.

    Raises
    ------
    InputError
        Another run is at work in it.
    """
    with (folder / name).open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(f"out: another run is at work in {folder}; wait for it or name another") from None
        yield


def file_sha256(path: Path) -> str:
    """Return the hexadecimal sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_checked(path: Path, content: bytes) -> None:
    """Write a cached file whose last bytes are the sha256 of the others; `read_checked` reads it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as part:
        part.write_bytes(content + hashlib.sha256(content).digest())


def read_checked(path: Path) -> bytes | None:
    """Content of a file of `write_checked`; None if there is none, or a bit of it has changed."""
    try:
        found = path.read_bytes()
    except OSError:
        return None
    content, digest = found[:-DIGEST_BYTES], found[-DIGEST_BYTES:]
    return content if hashlib.sha256(content).digest() == digest else None


def cached(path: Path, make: Callable[[], bytes]) -> bytes:
    """Content of a cached file, made again if there is none or it is damaged.

    Parameters
    ----------
    path
        The file, of `write_checked`.
    make
        Makes its content.
    """
    content = read_checked(path)
    if content is None:
        content = make()
        write_checked(path, content)
    return content
