"""Markdown tables, and the marked parts of docs pages that programs write."""

import argparse
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from ..formats import InputError

_PART = re.compile(r"<!-- table: (\S+) -->\n.*?<!-- end -->", re.DOTALL)


def markdown_table(columns: Sequence[str], rows: Iterable[Iterable[object]], text_columns: int = 1) -> str:
    r"""Markdown table, without a line break at the end.

    Parameters
    ----------
    columns : sequence of `str`
        Titles of the columns.
    rows : iterable of rows
        Cells, shown as `str` shows them; a vertical bar in a cell is escaped.
    text_columns : `int`
        Number of columns, from the left, that are aligned left. The others hold numbers and are aligned right.

    Examples
    --------
    >>> print(markdown_table(["part", "area, mm2"], [["array", 0.38]]))
    | part | area, mm2 |
    | --- | ---: |
    | array | 0.38 |
    """
    rule = ["---" if column < text_columns else "---:" for column in range(len(columns))]
    body = ([str(cell).replace("|", r"\|") for cell in row] for row in rows)
    return "\n".join(f"| {' | '.join(line)} |" for line in (columns, rule, *body))


def renew_parts(page: str, parts: Mapping[str, Callable[[], str]]) -> str:
    """Page with its marked parts written anew.

    A part stands between the lines ``<!-- table: NAME -->`` and ``<!-- end -->``.

    Parameters
    ----------
    page : `str`
        Text of the page.
    parts : mapping of name to function
        Functions that write the text of a part. Only those of parts that the page has are called; parts of the page
        that are not named here stay as they are.

    Raises
    ------
    InputError
        The page has none of the parts.
    """
    marked = _PART.findall(page)
    if parts.keys().isdisjoint(marked):
        first = next(iter(parts))
        raise InputError(f"page: has no table {first}; add the lines <!-- table: {first} --> and <!-- end --> to it")

    def renew(match: re.Match[str]) -> str:
        name = match[1]
        return f"<!-- table: {name} -->\n{parts[name]()}\n<!-- end -->" if name in parts else match[0]

    return _PART.sub(renew, page)


def renew_page(page: Path, parts: Mapping[str, Callable[[], str]]) -> None:
    """Write the marked parts of a file anew; see `renew_parts`."""
    page.write_text(renew_parts(page.read_text("utf-8"), parts), "utf-8")


def tables_command(
    description: str | None, tables: Mapping[str, Callable[[], str]], arguments: Sequence[str] | None = None
) -> None:
    """Command line of a program that writes tables: print them, or with ``--update PAGE`` renew them in a page.

    Parameters
    ----------
    description : `str`, optional
        Text of its help.
    tables : mapping of name to function
        See `renew_parts`.
    arguments : sequence of `str`, optional
        Arguments; those of the process by default.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--update", type=Path, metavar="PAGE", help="write the tables into this page")
    page = parser.parse_args(arguments).update
    if page is None:
        print("\n\n".join(f"{name}\n\n{table()}" for name, table in tables.items()))
    else:
        renew_page(page, tables)
