"""Check of an argument's type: a wrong type is a user's mistake, told in one line with the option's name."""

import re
import reprlib
from collections.abc import Callable, Mapping, Sequence
from numbers import Integral, Real
from os import PathLike
from typing import Any, Literal, get_args, get_origin

from .option import Described

LITERALS = {
    "DataflowName",
    "GroupSum",
    "Language",
    "Memories",
    "Objective",
    "PartialSums",
    "Shortening",
    "SimulatorName",
}
"""Types of options that name a choice; the choice itself is checked where it is used."""

PROTOCOLS = {"ActivationFormat", "LanguageModel", "WeightQuantizer"}
"""Types that any class with the right methods has."""

_KINDS: dict[str, Callable[[Any], bool]] = {
    "None": lambda value: value is None,
    "bool": lambda value: isinstance(value, bool),
    "int": lambda value: type(value) is not bool and isinstance(value, Integral),
    "float": lambda value: type(value) is not bool and isinstance(value, Real),
    "str": lambda value: isinstance(value, str),
    "Path": lambda value: isinstance(value, PathLike),
    "Any": lambda _: True,
    "Callable": callable,
    "Mapping": lambda value: isinstance(value, Mapping),
    "Literal": lambda value: isinstance(value, str),
    **dict.fromkeys(LITERALS, lambda value: isinstance(value, str)),
}


def check_type(field: Described, value: Any) -> Any:
    """Return the value if it has the option's type, a NumPy integer as `int`.

    Raises
    ------
    InputError
        The value has another type, or is an empty list.
    """
    from ...formats import InputError

    if _is_listed(value) and not len(value) and field.default:  # no value stands for an empty default
        raise InputError(f"{field.name}: is empty; give at least one value")
    if not _fits(value, field.type_text):
        raise InputError(
            f"{field.name}: {reprlib.repr(value)} is of type {type(value).__name__}; give {_words(field.type_text)}"
        )
    check_literal(field, value)
    return _plain(value)


def check_literal(field: Described, value: Any) -> None:
    """Raise `InputError` unless the value is one of the option's choices, if its type states them."""
    if get_origin(field.annotation) is Literal:
        from ...formats.checks import check_choice

        check_choice(field.name, value, get_args(field.annotation))


def _plain(value: Any) -> Any:
    """The value with NumPy's integers as `int`, also within lists."""
    if type(value) in (list, tuple):
        return type(value)(map(_plain, value))
    return int(value) if isinstance(value, Integral) and not isinstance(value, int) else value


def _fits(value: Any, text: str) -> bool:
    return any(_is_kind(value, part) for part in _parts(text))


def _is_kind(value: Any, kind: str) -> bool:
    name, _, inside = kind.partition("[")
    if name in ("Sequence", "list"):
        return _is_listed(value) and all(_fits(item, inside.removesuffix("]")) for item in value)
    if name in _KINDS:
        return _KINDS[name](value)
    if name in PROTOCOLS:
        return type(value).__module__ not in ("builtins", "numpy", "pathlib")
    # a class of another room, which is not imported here
    return name in {kind.__name__ for kind in type(value).__mro__}


def _is_listed(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def _parts(text: str) -> list[str]:
    """The types of a union: ``str | Sequence[int | None]`` has two."""
    return re.findall(r"[^\s\[|]+(?:\[.*?\](?=\s*\||$))?", text)


def _words(text: str) -> str:
    return " or ".join(part for part in _parts(text) if part != "None")
