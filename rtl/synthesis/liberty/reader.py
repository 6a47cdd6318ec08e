"""Reads Liberty files: the text of cells as trees of groups, each cell only when it is asked for.

A library of 20 MB holds some hundred cells of which a netlist uses a few dozen. The reader finds where each cell begins
with one regular expression and takes apart only the cells that are used, statement by statement with a second one.
"""

import gzip
import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ....formats import InputError

_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
_LIBRARY = re.compile(r"\s*library\s*\(\s*\"?([\w.+-]+)\"?\s*\)\s*\{")
_CELL = re.compile(r"^[ \t]*cell[ \t]*\([ \t]*\"?([^\s\")]+)\"?[ \t]*\)[ \t\n]*\{", re.MULTILINE)
# a closing brace; `name : value`, whose semicolon some libraries leave out; `name (arguments)`, a group if { follows
_STATEMENT = re.compile(
    r'\s*(?:(\})|(\w+)\s*(?::\s*("[^"]*"|[^;\n{}]*?)\s*(?:;|$|(?=\}))|\(((?:"[^"]*"|[^")])*)\)\s*([{;]?)))\s*;?',
    re.MULTILINE,
)


@dataclass(slots=True)
class Group:
    """A group of statements.

    Attributes
    ----------
    kind : `str`
        Such as ``cell``, ``pin`` or ``timing``.
    name : `str`
        What stands in its parentheses, without quotes.
    attributes : `dict` of `str`
        Simple and complex attributes, without quotes; of one that is repeated the last.
    groups : `list`
        The groups in it, in order.
    """

    kind: str
    name: str
    attributes: dict[str, str] = field(default_factory=dict[str, str])
    groups: list["Group"] = field(default_factory=list["Group"])

    def of_kind(self, *kinds: str) -> Iterator["Group"]:
        """The groups in it that are of these kinds."""
        return (group for group in self.groups if group.kind in kinds)


@dataclass(frozen=True)
class LibertyFile:
    """One file: the statements before its first cell, and where each cell is.

    Attributes
    ----------
    header : `Group`
        The library's own attributes and templates.
    """

    path: Path
    header: Group
    _text: str = field(repr=False)
    _cells: dict[str, int] = field(repr=False)

    @property
    def cell_names(self) -> list[str]:
        """The cells of the file."""
        return list(self._cells)

    def cell(self, name: str) -> Group:
        """The statements of a cell.

        Raises
        ------
        InputError
            The cell's text is damaged.
        """
        group, _ = _parse(self._text, self._cells[name], "cell", name, self.path)
        return group


def read_liberty(path: Path) -> LibertyFile:
    """Open a Liberty file, plain or gzip.

    Raises
    ------
    InputError
        The file is missing, unreadable, truncated, or no Liberty library.
    """
    text = _COMMENT.sub(" ", _read(path)).replace("\\\n", "\n")
    start = _LIBRARY.match(text)
    if start is None:
        raise InputError(f"liberty: {path} does not begin with a library group; give a Liberty file")
    missing = text.count("{") - text.count("}")
    if missing:
        raise InputError(f"liberty: {path} is damaged ({missing:+d} open braces at its end); give the whole file")
    cells = {match[1]: match.end() for match in _CELL.finditer(text)}
    end = next((match.start() for match in _CELL.finditer(text)), len(text))
    header, _ = _parse(text[:end] + "}" * bool(cells), start.end(), "library", start[1], path)
    return LibertyFile(path, header, text, cells)


def _read(path: Path) -> str:
    try:
        data = path.read_bytes()
        return (gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data).decode("utf-8", "replace")
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(f"liberty: {path} is damaged ({error}); give the whole file") from None
    except OSError as error:
        raise InputError(f"liberty: {path} cannot be read ({error.strerror}); give a readable Liberty file") from None


def _parse(text: str, position: int, kind: str, name: str, path: Path) -> tuple[Group, int]:
    """The group whose opening brace ends at `position`, and where it ends."""
    top = Group(kind, name)
    stack = [top]
    scan = _STATEMENT.match
    while stack:
        match = scan(text, position)
        if match is None:
            line = text.count("\n", 0, position) + 1
            raise InputError(f"liberty: {path} is damaged in {kind} {name} near line {line}; give the whole file")
        position = match.end()
        close, key, value, arguments, brace = match.groups()
        if close:
            stack.pop()
        elif value is not None:
            stack[-1].attributes[key] = value.strip('"')
        elif brace == "{":
            group = Group(key, arguments.strip().strip('"'))
            stack[-1].groups.append(group)
            stack.append(group)
        else:
            stack[-1].attributes[key] = arguments.replace('"', "")
    return top, position


def numbers(text: str) -> tuple[float, ...]:
    """The numbers of a complex attribute such as ``index_1`` or ``values``."""
    return tuple(map(float, text.replace(",", " ").split()))


def names(text: str) -> Sequence[str]:
    """The names of a group such as ``ff (IQ, IQN)``."""
    return [part.strip().strip('"') for part in text.split(",")]
