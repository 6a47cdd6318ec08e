"""How commands answer: a JSON document for programs, a table for people."""

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

PICTURES = (".png", ".svg", ".pdf")


def require_new_file(field: str, path: Path | str | None) -> None:
    """Refuse, before any work, a file that exists or that its folder cannot take.

    Raises:
        InputError: it is such a file.
    """
    if path is None:
        return
    from ...formats import InputError

    file, folder = Path(path), Path(path).parent
    if not file.name:
        raise InputError(f"{field}: {str(path)!r} names no file; give a new one")
    if file.exists():
        raise InputError(f"{field}: {path} exists and is not overwritten; name another file")
    if not folder.is_dir():
        raise InputError(f"{field}: there is no folder {folder}; make it or name another file")
    if not os.access(folder, os.W_OK):
        raise InputError(f"{field}: the folder {folder} may not be written; name another file")


def require_new_picture(field: str, path: Path | str | None) -> None:
    """Refuse, before any work, a picture that exists, that its folder cannot take, or of another kind than `PICTURES`.

    Raises:
        InputError: it is such a file.
    """
    require_new_file(field, path)
    if path is None or Path(path).suffix.lower() in PICTURES:
        return
    from ...formats import InputError

    raise InputError(f"{field}: {path} is no picture; end it in {', '.join(PICTURES)}")


def write_new_file(field: str, path: Path | str, text: str) -> None:
    """Write a file that does not exist yet.

    Raises:
        InputError: it exists, or cannot be written.
    """
    from ...formats import InputError

    require_new_file(field, path)
    try:
        with Path(path).open("x", encoding="utf-8") as file:
            file.write(text + "\n")
    except OSError as error:
        raise InputError(f"{field}: {path} cannot be written ({error.strerror}); name another file") from None


def _check_json(destination: str | None) -> str | None:
    if destination != "-":
        require_new_file("json", destination)
    return destination


JsonOption = Annotated[
    str | None,
    typer.Option("--json", metavar="-|FILE", help="Write JSON to stdout (-) or to a new file.", callback=_check_json),
]


def write_json(document: Any, destination: str) -> None:
    """Write `document` to stdout (`-`) or to a file that does not exist yet."""
    text = json.dumps(document, indent=2, allow_nan=False)
    if destination == "-":
        print(text)
    else:
        write_new_file("json", destination, text)


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table on stdout; columns of numbers are right-aligned."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD)
    for index, column in enumerate(columns):
        numbers = all(_is_number(row[index]) for row in rows)
        table.add_column(column, justify="right" if numbers else "left", overflow="fold")
    for row in rows:
        table.add_row(*(str(cell) for cell in row))
    console = Console(width=None if sys.stdout.isatty() else 160, highlight=False, markup=False, emoji=False)
    console.print(title, table, sep="\n")


def _is_number(cell: object) -> bool:
    """Whether a cell is empty or starts like a number, signs and units aside."""
    text = str(cell).lstrip("+-")
    return not text or text[0].isdigit()


def note(message: str) -> None:
    """Tell the person at the terminal something that is not part of the answer."""
    print(f"anda: note: {message}", file=sys.stderr)
