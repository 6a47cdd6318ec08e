r"""YAML files, the one loader of this project: scalars of YAML 1.2, no types but plain data, limits on size and depth.

>>> parse_yaml("tokens: 0100\nzero_planes: yes\npath: 1:20", "file")
{'tokens': 100, 'zero_planes': 'yes', 'path': '1:20'}
"""

import re
from collections.abc import Hashable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import yaml

from ..errors import InputError
from .border import FAULTS, border, open_file, read_up_to, reason

MOST_BYTES = 1 << 20
MOST_NODES = 200_000
"""Most values and keys, each alias counted as what it stands for."""
MOST_LEVELS = 50
LARGEST_INTEGER = (1 << 63) - 1
MOST_DIGITS = 30
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
"""Control characters, which escapes may write and a terminal would obey; tabs and line ends are texts."""

if TYPE_CHECKING:
    _SafeLoader = yaml.SafeLoader
else:
    _SafeLoader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_CORE = {
    "null": (r"~|null|Null|NULL|", "~nN\0"),
    "bool": (r"true|True|TRUE|false|False|FALSE", "tTfF"),
    "int": (r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", "-+0123456789"),
    "float": (
        r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        "-+.0123456789",
    ),
    "merge": (r"<<", "<"),
}
"""Plain scalars of the core schema of YAML 1.2 (section 10.3.2), and merge keys: pattern and first characters."""


class _Loader(_SafeLoader):
    """Plain data alone; the standard loader has the scalars of YAML 1.1 and keeps the last of duplicate keys."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012
    yaml_constructors: ClassVar[dict[str | None, Any]] = {}

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except FAULTS as error:
            raise yaml.MarkedYAMLError(problem=reason(error), problem_mark=node.start_mark) from None

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        names: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in names:
                    problem = f"the key {key.value!r} is given twice"
                    raise yaml.MarkedYAMLError(problem=problem, problem_mark=key.start_mark)
                names.add(key.value)
        return super().construct_mapping(node, deep)

    def integer(self, node: yaml.ScalarNode) -> int:
        text = node.value
        if len(text) > MOST_DIGITS or abs(number := int(text, {"0o": 8, "0x": 16}.get(text[:2], 10))) > LARGEST_INTEGER:
            raise ValueError(f"the integer {text[:MOST_DIGITS]} is too large")
        return number

    def real(self, node: yaml.ScalarNode) -> float:
        return float(re.sub(r"\.(inf|nan)", r"\1", node.value.lower()))

    def text(self, node: yaml.ScalarNode) -> str:
        text = str(node.value)
        if control := _CONTROL.search(text):
            raise ValueError(f"a text holds the control character {control[0]!r}")
        return text

    def unknown(self, node: yaml.Node) -> Any:
        raise ValueError(f"the tag {node.tag!r} is not plain data")


def _tag(name: str) -> str:
    return f"tag:yaml.org,2002:{name}"


for _name, (_pattern, _first) in _CORE.items():
    _Loader.add_implicit_resolver(
        _tag(_name), re.compile(f"(?:{_pattern})\\Z"), ["" if c == "\0" else c for c in _first]
    )
for _name, _construct in {
    "null": yaml.SafeLoader.construct_yaml_null,
    "bool": yaml.SafeLoader.construct_yaml_bool,
    "int": _Loader.integer,
    "float": _Loader.real,
    "str": _Loader.text,
    "seq": yaml.SafeLoader.construct_yaml_seq,
    "map": yaml.SafeLoader.construct_yaml_map,
}.items():
    _Loader.add_constructor(_tag(_name), _construct)
_Loader.add_constructor(None, _Loader.unknown)


def read_yaml(path: Path, where: str) -> Any:
    """Plain data of a YAML file; errors begin with `where`.

    Raises
    ------
    InputError
        The file cannot be read, is too large, or is not YAML; the message names the line.
    """
    with border(f"{where}: cannot be read", "give a readable YAML file"):
        with open_file(path) as file:
            data = read_up_to(file.read, MOST_BYTES)
        if len(data) > MOST_BYTES:
            raise InputError(f"{where}: has more than {MOST_BYTES >> 20} MiB; give a smaller YAML file")
        text = data.decode("utf-8-sig")
    return parse_yaml(text, where)


def parse_yaml(text: str, where: str) -> Any:
    """Plain data of a YAML text; raises the errors of `read_yaml`."""
    with border(f"{where}: is not YAML", "fix the syntax"):
        try:
            _check_levels(text)
            loader = _Loader(text)
            node = loader.get_single_node()
            if node is not None and _nodes(node, {}) > MOST_NODES:
                raise InputError(f"{where}: has more than {MOST_NODES:,} values, aliases counted in full; give fewer")
            return None if node is None else loader.construct_document(node)
        except yaml.MarkedYAMLError as error:
            mark, problem = error.problem_mark or error.context_mark, error.problem or error.context
            line = "" if mark is None else f" in line {mark.line + 1}"
            raise InputError(f"{where}: is not YAML ({problem}){line}; fix the syntax") from None
        except yaml.YAMLError as error:
            raise ValueError(reason(error)) from None


def _check_levels(text: str) -> None:
    """Refuse deep nesting, before anything recursive reads the text."""
    level = 0
    for event in yaml.parse(text, _Loader):
        level += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if level > MOST_LEVELS:
            raise ValueError(f"it is nested deeper than {MOST_LEVELS} levels")


def _nodes(node: yaml.Node, known: dict[yaml.Node, int]) -> int:
    """Number of values below a node, each alias counted in full."""
    if isinstance(node, yaml.ScalarNode):
        return 1
    if node in known and not known[node]:
        raise yaml.MarkedYAMLError(problem="an alias stands inside its own anchor", problem_mark=node.start_mark)
    if node not in known:
        known[node] = 0
        parts = node.value if isinstance(node, yaml.SequenceNode) else [part for pair in node.value for part in pair]
        known[node] = 1 + sum(_nodes(part, known) for part in parts)
    return known[node]
