"""New files that commands and functions write: nothing that exists is overwritten."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    import pandas as pd

PICTURES = (".png", ".svg", ".pdf")
FORMULA_SIGNS = ("=", "+", "-", "@", "\t")
"""First characters of a formula in a spreadsheet."""


LONGEST_NAME = 255
"""Most bytes of a file's name, on all file systems that this program runs on."""


def require_new_file(field: str, path: Path | str | None) -> None:
    """Refuse, before any work, a file that exists or that its folder cannot take.

    Raises
    ------
    InputError
        The file exists, has no name, or its folder is missing or read-only.
    """
    if path is None:
        return
    file, folder = Path(path), Path(path).parent
    if len(os.fsencode(file.name)) > LONGEST_NAME:
        _refuse(f"{field}: {file.name[:50]}... is longer than {LONGEST_NAME} bytes; give a shorter name")
    if not file.name:
        _refuse(f"{field}: {str(path)!r} names no file; give a new one")
    if file.exists():
        _refuse(f"{field}: {path} exists and is not overwritten; name another file")
    if not folder.is_dir():
        _refuse(f"{field}: there is no folder {folder}; make it or name another file")
    if not os.access(folder, os.W_OK):
        _refuse(f"{field}: the folder {folder} may not be written; name another file")


def require_new_picture(field: str, path: Path | str | None) -> None:
    """Refuse, before any work, a picture that exists, that its folder cannot take, or of a kind not in `PICTURES`.

    Raises
    ------
    InputError
        As `require_new_file`, or the name has another ending.
    """
    require_new_file(field, path)
    if path is not None and Path(path).suffix.lower() not in PICTURES:
        _refuse(f"{field}: {path} is not a picture; end it in {', '.join(PICTURES)}")


def write_new_file(field: str, path: Path | str, text: str) -> None:
    """Write a file that does not exist yet, and a line break after the text.

    Raises
    ------
    InputError
        The file exists, or cannot be written.
    """
    from ..workloads.files import whole_file  # commands read this module to show their help

    require_new_file(field, path)
    try:
        with whole_file(Path(path)) as part:
            part.write_text(text + "\n", "utf-8")
    except OSError as error:
        _refuse(f"{field}: {path} cannot be written ({error.strerror}); name another file")


def csv_text(frame: pd.DataFrame) -> str:
    """A frame as CSV, its texts as `spreadsheet_text` gives them."""

    def as_text(cell: object) -> object:
        return spreadsheet_text(cell) if isinstance(cell, str) else cell

    texts = [name for name in frame.columns if frame[name].dtype.kind not in "biuf"]
    return frame.assign(**{name: frame[name].map(as_text) for name in texts}).to_csv(index=False)


def spreadsheet_text(text: str) -> str:
    """A text for a CSV file: one that a spreadsheet would read as a formula gets an apostrophe before it, which keeps it a text."""
    text = text.replace("\r", " ")  # which would end a line
    return f"'{text}" if text.startswith(FORMULA_SIGNS) else text


def _refuse(message: str) -> NoReturn:
    from ..formats import InputError  # commands read this module to show their help

    raise InputError(message) from None
