"""Values of options from the text of a command line: lists, ranges and assignments. Errors begin with the option's name."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NoReturn, TypeAlias

Plain: TypeAlias = bool | int | float | str


def words(_: str, text: str) -> tuple[str, ...]:
    """The words of a list such as ``truncate,midpoint``.

    >>> words("reconstruct", "truncate,midpoint")
    ('truncate', 'midpoint')
    """
    return tuple(text.split(",")) if text else ()


def integers(example: str, field: str, text: str) -> tuple[int, ...]:
    """The integers of a list such as ``1,16``.

    Raises
    ------
    InputError
        The text is not such a list.
    """
    try:
        return tuple(map(int, text.split(",")))
    except ValueError:
        _refuse(f"{field}: {text!r} is not a list of integers; write it as {example}")


def numbers(example: str, field: str, text: str) -> tuple[float, ...]:
    """The numbers of a list such as ``3508,2000``.

    Raises
    ------
    InputError
        The text is not such a list.
    """
    try:
        return tuple(map(float, text.split(",")))
    except ValueError:
        _refuse(f"{field}: {text!r} is not a list of numbers; write it as {example}")


def mantissa_range(example: str, field: str, text: str) -> range:
    """The mantissa widths of a range such as ``4-13``, with both ends, or of a single width.

    Raises
    ------
    InputError
        The text is not such a range, or a width is not 1 to 16.
    """
    low, dash, high = text.partition("-")
    ends = (low, high if dash else low)
    if not all(end.isdecimal() for end in ends) or not 1 <= int(ends[0]) <= int(ends[1]) <= 16:
        _refuse(f"{field}: {text!r} is not a range of mantissa bits from 1 to 16; write it as {example}")
    return range(int(ends[0]), int(ends[1]) + 1)


def assignments(example: str, field: str, texts: Iterable[str]) -> dict[str, Plain]:
    """The values of texts such as ``lanes=64``: integers, floats, true, false or words.

    Raises
    ------
    InputError
        A text has no name or no value.
    """
    from ...formats.words import assignment

    return dict(assignment(example, field, text) for text in texts)


def several(value: Any) -> list[Any]:
    """The elements of a sequence; a single value, such as a text, is a sequence of one.

    >>> several("smollm2-135m"), several((4, 7))
    (['smollm2-135m'], [4, 7])
    """
    return list(value) if isinstance(value, Iterable) and not isinstance(value, str) else [value]


def _refuse(message: str) -> NoReturn:
    from ...formats import InputError  # the command line reads this module to show its help

    raise InputError(message) from None
