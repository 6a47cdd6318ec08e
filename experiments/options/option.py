"""The description of an option, and the described fields of an options class."""

from __future__ import annotations

import dataclasses
import inspect
import re
import shlex
import types
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, ForwardRef, Union, get_args, get_origin

REQUIRED: Any = inspect.Parameter.empty
"""The default of an option that has to be given."""


@dataclass(frozen=True)
class Option:
    """Description of an option beside its name, type and default, in the `Annotated` type of its field.

    Attributes
    ----------
    help
        A sentence for the documentation of function and command.
    unit
        Unit of the value; None for a name, a choice or a file.
    metavar
        Placeholder of the value on the command line; None for that of its type.
    flag
        Name on the command line; None for ``--`` and the field's name.
    argument
        Given on the command line by its place, without a name.
    parse
        Makes the value of the option's name and its text on the command line; None where the function takes the text.
    on_command_line
        False for an option of the function alone.
    repeat
        Given any number of times on the command line; the function, or `parse`, takes a list of texts.
    """

    help: str
    _: dataclasses.KW_ONLY
    unit: str | None = None
    metavar: str | None = None
    flag: str | None = None
    argument: bool = False
    parse: Callable[[str, Any], Any] | None = None
    on_command_line: bool = True
    repeat: bool = False


@dataclass(frozen=True)
class Described:
    """A field of an options class.

    Attributes
    ----------
    name
        Name of the field.
    option
        Its description.
    annotation
        Its type without the description; a `ForwardRef` where it is written in quotes.
    default
        Its default, or `REQUIRED`.
    """

    name: str
    option: Option
    annotation: Any
    default: Any

    @property
    def flag(self) -> str:
        """Name on the command line."""
        return self.option.flag or f"--{self.name.replace('_', '-')}"

    @property
    def type_text(self) -> str:
        """The type as people write it."""
        return type_text(self.annotation)


def described(options: Callable[..., Any]) -> tuple[Described, ...]:
    """All fields of an options class in the order of a signature: those that have to be given come first.

    Raises
    ------
    TypeError
        The class is no dataclass, or a field has no `Option`.
    """
    return _described(options)


@lru_cache
def _described(options: Any) -> tuple[Described, ...]:
    found = [_field(field) for field in dataclasses.fields(options)]
    return tuple(sorted(found, key=lambda field: field.default is not REQUIRED))


def _field(field: dataclasses.Field[Any]) -> Described:
    annotation, option = split(field.type)
    if option is None:
        raise TypeError(f"{field.name}: has no Option; annotate it with Annotated[..., Option(...)]")
    default = field.default
    if field.default_factory is not dataclasses.MISSING:
        default = field.default_factory()
    return Described(field.name, option, annotation, REQUIRED if default is dataclasses.MISSING else default)


def command_line(words: str, options: Any, plugins: Sequence[str] = ()) -> str:
    """The command that asks with these options, without those at their defaults: ``anda report --out DIR``.

    Parameters
    ----------
    words, options
        The command's words, and its options.
    plugins
        Files of plugins that are loaded first.
    """
    parts = ["anda", *words.split(), *(part for file in plugins for part in ("--plugin", file))]
    for field in described(type(options)):
        value = getattr(options, field.name)
        if not field.option.on_command_line or value is None or value == field.default:
            continue
        if field.option.repeat and isinstance(value, list | tuple):
            parts += (part for one in value for part in (field.flag, _name(one)))
            continue
        if not field.option.argument:
            parts.append(field.flag)
        if value is not True:
            parts.append(",".join(map(str, value)) if isinstance(value, list | tuple) else _name(value))
    return shlex.join(parts)


def _name(value: Any) -> str:
    """Text, number or path as it is; the name of another object, such as a model's shape, or that of its class."""
    return str(value if isinstance(value, str | int | float | Path) else getattr(value, "name", type(value).__name__))


def split(annotation: Any) -> tuple[Any, Option | None]:
    """A type without its description, and the description; also of ``Annotated[...] | None``."""
    if get_origin(annotation) is Annotated:
        inner, *metadata = get_args(annotation)
        return inner, next((item for item in metadata if isinstance(item, Option)), None)
    if _is_union(annotation):
        parts = [split(part) for part in get_args(annotation)]
        if option := next((option for _, option in parts if option is not None), None):
            names = " | ".join(type_text(part) for part, _ in parts)
            return ForwardRef(names), option
    return annotation, None


def type_text(annotation: Any) -> str:
    """A type as people write it: ``str | Path | None``.

    >>> type_text(list[int] | None)
    'list[int] | None'
    """
    if annotation is type(None):
        return "None"
    if isinstance(annotation, ForwardRef):
        return annotation.__forward_arg__
    if _is_union(annotation):
        return " | ".join(map(type_text, get_args(annotation)))
    return re.sub(r"[\w.]+\.", "", inspect.formatannotation(annotation))


def union_parts(annotation: Any) -> Iterator[Any]:
    """The types of a union but None; of another type, itself."""
    for part in get_args(annotation) if _is_union(annotation) else (annotation,):
        if part is not type(None):
            yield part


def _is_union(annotation: Any) -> bool:
    return isinstance(annotation, types.UnionType) or get_origin(annotation) is Union
