"""Activation formats that sweep files name."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Self

from .parse import Plain, assignment

if TYPE_CHECKING:
    from ...formats.activations.registry import ActivationFormat

OWN = "own"
EXAMPLE = "fast mantissa_bits=2"


@dataclass(frozen=True)
class NamedFormat:
    """Activation format of a sweep file, read once from its text.

    Attributes
    ----------
    text
        The text, as columns show it.
    name
        Name in the registry, or ``own``: the format that the architecture computes with.
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

    def build(self, **absent: Plain) -> ActivationFormat:
        """The format.

        Parameters
        ----------
        absent
            Values of parameters that the text leaves out, where the format has them.

        Raises
        ------
        InputError
            No such format is registered, or a parameter is wrong.
        """
        registered, given = self._registered(), dict(self.parameters)
        has = inspect.signature(registered).parameters
        filled = {name: value for name, value in absent.items() if name in has and name not in given}
        return _build(replace(self, parameters=tuple((given | filled).items())), registered)

    @property
    def source_sha256(self) -> str | None:
        """Hash of the file that defines a user's own class; a point's key depends on it."""
        from ...formats.plugins import source_sha256

        return None if self.name == OWN else source_sha256(self._registered())

    def _registered(self) -> type:
        from ...formats import InputError
        from ...formats.activations.registry import registry

        if ":" in self.name:
            raise InputError(
                f"formats: {self.name!r} names a module, and data files run no code; register the class in a file, name that "
                "with --plugin FILE, and write the class's name here"
            )
        return registry.find(self.name)


@lru_cache(maxsize=256)
def _build(named: NamedFormat, registered: type) -> ActivationFormat:
    """The format; another class under the same name, of another plugin, is another one."""
    from ...formats import InputError
    from ...formats.activations.registry import registry

    try:
        return registry.build(named.name, dict(named.parameters))
    except TypeError as error:
        raise InputError(
            f"formats: {named.text!r} cannot be built ({error}); see the parameters of {registered.__name__}"
        ) from None
