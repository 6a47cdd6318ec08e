"""Words such as ``lanes=64``, as people write parameters on a command line and in data files."""

from typing import TypeAlias

from .errors import InputError

Plain: TypeAlias = bool | int | float | str


def assignment(example: str, field: str, text: str) -> tuple[str, Plain]:
    """The name and the value of a text such as ``lanes=64``.

    Raises
    ------
    InputError
        The text has no name or no value.
    """
    name, _, value = text.partition("=")
    if not (name and value):
        raise InputError(f"{field}: {text!r} is not a parameter with a value; write it as {example}")
    return name, _plain_value(value)


def name_and_parameters(example: str, field: str, text: str) -> tuple[str, tuple[tuple[str, Plain], ...]]:
    """The name and the parameters of a text such as ``fast mantissa_bits=2``; an empty text has the empty name.

    Raises
    ------
    InputError
        A word is no parameter, or one is given twice.
    """
    name, *words = text.split() or [""]
    found = dict(assignment(example, field, word) for word in words)
    if len(found) < len(words):
        raise InputError(f"{field}: {text!r} gives a parameter twice; give it once")
    return name, tuple(found.items())


def _plain_value(text: str) -> Plain:
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    for convert in (int, float):
        try:
            return convert(text)
        except ValueError:
            continue
    return text
