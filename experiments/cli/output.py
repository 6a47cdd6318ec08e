"""Output of commands: a JSON document for programs, a table for people."""

import json
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer


def _check_json(destination: str | None) -> str | None:
    if destination is not None and destination != "-":
        from ..files import require_new_file

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
        from ..files import write_new_file

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
    """True if a cell is empty or starts with a number, signs aside."""
    text = str(cell).lstrip("+-")
    return not text or text[0].isdigit()


def note(message: str) -> None:
    """Tell the person at the terminal something that is not part of the answer."""
    print(f"anda: note: {message}", file=sys.stderr)
