"""Reader of Liberty files: parses each cell into a tree of groups when it is first used.

A library of 20 MB has some hundred cells, and a netlist uses a few dozen of them. One regular expression finds the start
of each cell. A second one parses the statements of the cells that are used.
"""

import gzip
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ....formats import InputError
from ....formats.documents.border import border, open_file, read_up_to

MOST_BYTES = 256 << 20
"""Largest text of a file, after decompression."""
LARGEST_NUMBER = 1e30

_LIBRARY = re.compile(r"\s*library\s*\(\s*\"?([\w.+-]+)\"?\s*\)\s*\{")
_CELL = re.compile(r"\bcell\s*\(\s*\"?([^\s\")]+)\"?\s*\)\s*\{")
_BRACE = re.compile(r"[{}]")
# a closing brace; `name : value`, where some libraries leave out the semicolon; `name (arguments)`, a group if { follows
_STATEMENT = re.compile(
    r'\s*(?:(\})|(\w+)\s*(?::\s*("[^"]*"\s*(?:;|$|(?=\}))|[^;\n{}]*(?:;|$|(?=\})))|\(((?:"[^"]*"|[^")])*)\)\s*([{;]?)))\s*;?',
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
    text = _without_comments(_read(path)).replace("\\\n", "\n")
    start = _LIBRARY.match(text)
    if start is None:
        raise InputError(f"liberty: {path} does not begin with a library group; give a Liberty file")
    missing = text.count("{") - text.count("}")
    if missing:
        raise InputError(f"liberty: {path} is damaged ({missing:+d} open braces at its end); give the whole file")
    cells: dict[str, int] = {}
    parts: list[str] = []
    position = start.end()
    while match := _CELL.search(text, position):
        if match[1] in cells:
            raise InputError(f"liberty: {path} has two cells {match[1]}; remove one")
        cells[match[1]] = match.end()
        end = _end_of_group(text, match.end())
        parts += [text[position : match.start()], "\n" * text.count("\n", match.start(), end)]
        position = end
    outside = "".join([text[: start.end()], *parts, text[position:]])
    header, _ = _parse(outside, start.end(), "library", start[1], path)
    return LibertyFile(path, header, text, cells)


def _end_of_group(text: str, position: int) -> int:
    """End of the group with its opening brace just before `position`."""
    depth = 1
    for brace in _BRACE.finditer(text, position):
        depth += 1 if brace[0] == "{" else -1
        if not depth:
            return brace.end()
    return len(text)


def _without_comments(text: str) -> str:
    """Text with a space and the line ends of each comment in its place."""
    parts: list[str] = []
    position = 0
    while (start := text.find("/*", position)) >= 0 and (end := text.find("*/", start + 2)) >= 0:
        parts += [text[position:start], " ", "\n" * text.count("\n", start, end)]
        position = end + 2
    return "".join([*parts, text[position:]])


def _read(path: Path) -> str:
    with border(f"liberty: {path} cannot be read", "give a readable Liberty file"), open_file(path) as file:
        packed = file.read(2) == b"\x1f\x8b"
    with border(f"liberty: {path} is damaged", "give the whole file"):
        with gzip.open(path) if packed else path.open("rb") as file:
            data = read_up_to(file.read, MOST_BYTES)
        if len(data) > MOST_BYTES:
            raise InputError(f"liberty: {path} has more than {MOST_BYTES >> 20} MiB of text; give it in several files")
        return data.decode("utf-8", "replace").replace("\r\n", "\n")


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
            stack[-1].attributes[key] = value.strip().removesuffix(";").strip().strip('"')
        elif brace == "{":
            group = Group(key, " ".join(arguments.split()).strip('"'))
            stack[-1].groups.append(group)
            stack.append(group)
        else:
            stack[-1].attributes[key] = arguments.replace('"', "")
    return top, position


def number(text: str) -> float:
    """A finite number; `ValueError` for other texts."""
    value = float(text)
    if not abs(value) < LARGEST_NUMBER or "_" in text or not text.isascii():
        raise ValueError(f"{text.strip()} is no finite number")
    return value


def numbers(text: str) -> tuple[float, ...]:
    """Numbers of a complex attribute such as ``index_1`` or ``values``."""
    return tuple(map(number, text.replace(",", " ").split()))


def names(text: str) -> Sequence[str]:
    """Names of a group such as ``ff (IQ, IQN)`` or ``pin (A, B)``."""
    return [part.strip().strip('"') for part in text.split(",")]
