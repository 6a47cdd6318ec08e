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


def _plain_value(text: str) -> Plain:
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    for convert in (int, float):
        try:
            return convert(text)
        except ValueError:
            continue
    return text
