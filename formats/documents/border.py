"""Border of a reader: every fault of a parser leaves it as an `InputError` of one line."""

import struct
import zlib
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from ..errors import InputError

FAULTS = (
    OSError,
    EOFError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    AssertionError,
    ArithmeticError,
    RecursionError,
    MemoryError,
    struct.error,
    zlib.error,
)
"""Exceptions that parsers raise on damaged bytes. `UnicodeError` is a `ValueError`, `OverflowError` an `ArithmeticError`."""


@contextmanager
def border(where: str, fix: str, *, with_reason: bool = True) -> Generator[None]:
    """Raise each of `FAULTS` as an `InputError`: `where`, the reason in parentheses, `fix`. An `InputError` passes."""
    try:
        yield
    except InputError:
        raise
    except FAULTS as error:
        why = f" ({reason(error)})" if with_reason else ""
        raise InputError(f"{where}{why}; {fix}") from None


def open_file(path: Path) -> BinaryIO:
    """Open a file for reading; an `OSError` for a pipe, which may have no writer, so that a reader would wait for ever."""
    if path.is_fifo():
        raise OSError("it is a pipe")
    return path.open("rb")


def read_up_to(read: Callable[[int], bytes], most_bytes: int) -> bytes:
    """Content that `read` gives, or a little more than `most_bytes` of it. A file takes memory for all of ``read(n)`` at once."""
    chunks: list[bytes] = []
    size = 0
    while size <= most_bytes and (chunk := read(1 << 20)):
        chunks.append(chunk)
        size += len(chunk)
    return b"".join(chunks)


def reason(error: BaseException) -> str:
    """First line of an error's message, at most 200 characters."""
    match error:
        case RecursionError():
            return "it is nested too deeply"
        case MemoryError():
            return "it does not fit into memory"
        case KeyError():
            return f"it lacks the entry {error}"
        case _:
            text = getattr(error, "strerror", None) or str(error) or type(error).__name__
            return str(text).splitlines()[0][:200]
