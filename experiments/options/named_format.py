"""Activation formats that sweep files name."""

from __future__ import annotations

import inspect
import sys
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from .parse import Plain, assignment

if TYPE_CHECKING:
    from ...formats.activations.registry import ActivationFormat

EXAMPLE = "fast mantissa_bits=2"


@dataclass(frozen=True)
class NamedFormat:
    """Activation format of a sweep file, read once from its text.

    Attributes
    ----------
    text
        The text, as columns show it.
    name
        Name in the registry, ``module:Class``, or ``own``: the format that the architecture computes with.
    parameters
        Names and values of its parameters.
    """

    text: str
    name: str
    parameters: tuple[tuple[str, Plain], ...] = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a name and parameters.

        >>> NamedFormat.parse("fast mantissa_bits=2").build().bits_per_value
        3.3125

        Raises
        ------
        InputError
            The text names nothing, or has a word that is no parameter.
        """
        name, *assignments = text.split() or [""]
        return cls(text, name, tuple(assignment(EXAMPLE, "formats", text) for text in assignments))

    def build(self) -> ActivationFormat:
        """The format.

        Raises
        ------
        InputError
            There is no such format or class, or a parameter is wrong.
        """
        return _build(self)

    @property
    def source(self) -> str | None:
        """Text of the file that defines a user's own class; a point's key depends on it."""
        if ":" not in self.name:
            return None
        return Path(inspect.getsourcefile(type(self.build())) or "").read_text("utf-8")


@lru_cache(maxsize=256)
def _build(named: NamedFormat) -> ActivationFormat:
    from ...formats import InputError
    from ...formats.activations.registry import activation_format

    parameters: dict[str, Any] = dict(named.parameters)
    if ":" not in named.name:
        return activation_format(named.name, **parameters)
    try:
        return _own_class(named.name)(**parameters)
    except TypeError as error:
        raise InputError(
            f"formats: {named.text!r} cannot be built ({error}); see the parameters of the class"
        ) from None


def _own_class(name: str) -> Any:
    """A class of the user's own, ``module:Class``, from the working folder or what is installed."""
    from ...formats import InputError

    module, _, attribute = name.partition(":")
    try:
        if "" not in sys.path and str(Path.cwd()) not in sys.path:
            sys.path.insert(0, str(Path.cwd()))
        found = getattr(import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise InputError(f"formats: {name!r} cannot be imported ({error}); write module:Class") from None
    if not isinstance(found, type):
        raise InputError(f"formats: {name!r} is not a class; write module:Class")
    return found
