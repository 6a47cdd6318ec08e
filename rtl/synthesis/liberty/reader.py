"""Reader of Liberty files: parses each cell into a tree of groups when it is first used.

A library of 20 MB has some hundred cells, and a netlist uses a few dozen of them. One regular expression finds the start
of each cell. A second one parses the statements of the cells that are used.
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
# a closing brace; `name : value`, where some libraries leave out the semicolon; `name (arguments)`, a group if { follows
_STATEMENT = re.compile(
    r'\s*(?:(\})|(\w+)\s*(?::\s*("[^"]*"|[^;\n{}]*?)\s*(?:;|$|(?=\}))|\(((?:"[^"]*"|[^")])*)\)\s*([{;]?)))\s*;?',
    re.MULTILINE,
)


@dataclass(slots=True)
class Group:
    """Group of statements.

    Attributes
    ----------
    kind : `str`
        Kind of the group, such as ``cell``, ``pin`` or ``timing``.
    name : `str`
        Text in the parentheses of the group, without quotes.
    attributes : `dict` of `str`
        Simple and complex attributes, without quotes. The last value of a repeated attribute counts.
    groups : `list`
        Groups inside this group, in order.
    """

    kind: str
    name: str
    attributes: dict[str, str] = field(default_factory=dict[str, str])
    groups: list["Group"] = field(default_factory=list["Group"])

    def of_kind(self, *kinds: str) -> Iterator["Group"]:
        """Iterate over the groups of these kinds inside this group."""
        return (group for group in self.groups if group.kind in kinds)


@dataclass(frozen=True)
class LibertyFile:
    """Liberty file with its header parsed and the position of each cell known.

    Attributes
    ----------
    path : `Path`
        Path of the file.
    header : `Group`
        Attributes and templates of the library.
    """

    path: Path
    header: Group
    _text: str = field(repr=False)
    _cells: dict[str, int] = field(repr=False)

    @property
    def cell_names(self) -> list[str]:
        """Names of the cells in the file."""
        return list(self._cells)

    def cell(self, name: str) -> Group:
        """Parse a cell.

        Raises
        ------
        InputError
            The text of the cell is damaged.
        """
        group, _ = _parse(self._text, self._cells[name], "cell", name, self.path)
        return group


def read_liberty(path: Path) -> LibertyFile:
    """Open a Liberty file, plain or gzip.

    Raises
    ------
    InputError
        The file is missing, unreadable, truncated, or not a Liberty library.
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
    """Parse the group with its opening brace just before `position`; return it and its end."""
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
    """Numbers of a complex attribute such as ``index_1`` or ``values``."""
    return tuple(map(float, text.replace(",", " ").split()))


def names(text: str) -> Sequence[str]:
    """Names of a group such as ``ff (IQ, IQN)``."""
    return [part.strip().strip('"') for part in text.split(",")]
