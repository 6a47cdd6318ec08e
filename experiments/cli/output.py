"""Output of commands: a JSON document for programs, a table for people."""

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..files import require_new_file, require_new_picture, write_new_file

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..options.result import Result


def _check_json(destination: str | None) -> str | None:
    if destination != "-":
        require_new_file("json", destination)
    return destination


JsonOption = Annotated[
    str | None,
    typer.Option("--json", metavar="-|FILE", help="Write JSON to stdout (-) or to a new file.", callback=_check_json),
]


def _check_picture(path: Path | None) -> Path | None:
    require_new_picture("plot", path)
    return path


def plot_option(content: str) -> Any:
    """The option ``--plot`` of a command that draws some content."""
    return typer.Option("--plot", metavar="FILE", help=f"Draw {content} (.png, .svg, .pdf).", callback=_check_picture)


def write_json(result: "Result", destination: str | None) -> bool:
    """Write an answer to stdout (`-`) or to a file that does not exist yet; False if no JSON is asked for."""
    if destination is None:
        return False
    text = json.dumps(result.to_dict(), indent=2, allow_nan=False)
    if destination == "-":
        print(text)
    else:
        write_new_file("json", destination, text)
    return True


def write_figure(figure: "Callable[[], Figure]", path: Path | None, dpi: int | None = None) -> None:
    """Draw a figure into a file, if one is asked for."""
    if path is not None:
        figure().savefig(path, dpi=dpi or "figure")
        note(f"wrote {path}")


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
