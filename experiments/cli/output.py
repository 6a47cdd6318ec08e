"""How commands answer: a JSON document for programs, a table for people."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

JsonOption = Annotated[
    str | None, typer.Option("--json", metavar="-|FILE", help="Write JSON to stdout (-) or to a new file.")
]


def write_json(document: Any, destination: str) -> None:
    """Write `document` to stdout (`-`) or to a file that does not exist yet."""
    text = json.dumps(document, indent=2, allow_nan=False)
    if destination == "-":
        print(text)
        return
    from ...formats import InputError

    try:
        with Path(destination).open("x", encoding="utf-8") as file:
            file.write(text + "\n")
    except FileExistsError:
        raise InputError(f"--json: {destination} exists; remove it or name another file") from None
    except OSError as error:
        raise InputError(f"--json: cannot write {destination} ({error.strerror}); name a writable file") from error


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table on stdout; columns of numbers are right-aligned."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    for index, column in enumerate(columns):
        numbers = all(_is_number(row[index]) for row in rows)
        table.add_column(column, justify="right" if numbers else "left", overflow="fold")
    for row in rows:
        table.add_row(*(str(cell) for cell in row))
    Console(width=None if sys.stdout.isatty() else 160, highlight=False).print(table)


def _is_number(cell: object) -> bool:
    """Whether a cell is empty or starts like a number, signs and units aside."""
    text = str(cell).lstrip("+-")
    return not text or text[0].isdigit()


def note(message: str) -> None:
    """Tell the person at the terminal something that is not part of the answer."""
    print(f"anda: note: {message}", file=sys.stderr)
