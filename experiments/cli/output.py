"""Output of commands: a JSON document for programs, a table for people."""

import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from shutil import get_terminal_size
from textwrap import fill
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
    """Print a table on stdout, no wider than the screen and without a broken word; columns of numbers are right-aligned.

    A table with too many columns is printed in parts, each of which begins with the first column.
    """
    from rich import box
    from rich.console import Console
    from rich.padding import Padding
    from rich.table import Table

    width = screen_width() - INDENT
    cells = [[str(cell) for cell in row] for row in rows]
    least = [max(map(_longest_word, column)) for column in zip(columns, *cells, strict=True)]
    whole = [max(least[i], *(len(row[i]) for row in cells), 0) for i in range(len(columns))]
    console = Console(width=INDENT + max(width, *least), highlight=False, markup=False, emoji=False)
    if title:
        print_lines(title)
    for part in _parts(least, width):
        table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False, pad_edge=False)
        for index, wide in zip(part, _widths(columns, whole, least, part, width), strict=True):
            numbers = all(_is_number(row[index]) for row in cells)
            table.add_column(columns[index], justify="right" if numbers else "left", overflow="fold", width=wide)
        for row in cells:
            table.add_row(*(row[index] for index in part))
        console.print(Padding(table, (0, 0, 0, INDENT), expand=False))
        print()


PIPE_WIDTH, LEAST_WIDTH = 160, 40
"""Characters of a line in a pipe, and the fewest that a table is fitted to."""
GAP, INDENT = 2, 1
"""Characters between two columns of a table, and before the first."""


def screen_width() -> int:
    """Characters of a line: those of the terminal, or of the environment variable ``COLUMNS``; in a pipe `PIPE_WIDTH`."""
    return max(get_terminal_size().columns, LEAST_WIDTH) if _is_screen() else PIPE_WIDTH


def _is_screen() -> bool:
    return sys.stdout.isatty() or os.environ.get("COLUMNS", "").isdecimal()


def print_lines(*paragraphs: str) -> None:
    """Print paragraphs on stdout, wrapped between words on a screen."""
    for text in paragraphs:
        print(
            text
            if not _is_screen()
            else fill(text, screen_width(), subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)
        )


def _longest_word(text: str) -> int:
    return max(map(len, text.split()), default=0)


def _parts(least: Sequence[int], width: int) -> Iterator[list[int]]:
    """Columns of each part of a table: as many as fit if every column is as narrow as its longest word."""
    part, taken = [0], least[0]
    for index in range(1, len(least)):
        if taken + GAP + least[index] > width and len(part) > 1:
            yield part
            part, taken = [0], least[0]
        part.append(index)
        taken += GAP + least[index]
    yield part


def _widths(
    titles: Sequence[str], whole: Sequence[int], least: Sequence[int], part: Sequence[int], width: int
) -> list[int]:
    """Widths of the columns of a part. Until it fits, titles are wrapped, and then cells, the widest first."""
    found = [max(whole[index], len(titles[index])) for index in part]
    for limits in (whole, least):
        while sum(found) + GAP * (len(found) - 1) > width:
            loose = [place for place, index in enumerate(part) if found[place] > limits[index]]
            if not loose:
                break
            found[max(loose, key=found.__getitem__)] -= 1
    return found


def _is_number(cell: object) -> bool:
    """True if a cell is empty or starts with a number, signs aside."""
    text = str(cell).lstrip("+-")
    return not text or text[0].isdigit()


def note(message: str) -> None:
    """Tell the person at the terminal something that is not part of the answer."""
    print(f"anda: note: {message}", file=sys.stderr)
