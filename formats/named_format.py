"""Activation formats by a text: a registered name and parameters, such as ``fast mantissa_bits=2``."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Self, TypeAlias

from .activations.base import ActivationFormat
from .activations.registry import registry
from .activations.stored import StoredFormat, stored
from .errors import InputError
from .numeric.alignment import GROUP_SIZE, MAX_MANTISSA_BITS
from .own_classes import build
from .plugins import load_entry_points, source_sha256
from .words import Plain, name_and_parameters

GivenFormat: TypeAlias = "str | NamedFormat | ActivationFormat"
OWN = "own"
OPEN = "mantissa_bits"
"""The parameter that a format may leave to the precision of a run."""
EXAMPLE = "fast mantissa_bits=2"


@dataclass(frozen=True)
class NamedFormat:
    """An activation format, read once from its text; the registered class builds it.

    Attributes
    ----------
    text
        The text, as columns show it.
    name
        Name in the registry, or ``own``: the format that the architecture stores and computes with.
    parameters
        Names and values of its parameters.
    built
        A format that Python gave; None for one of the registry.
    field
        Field of the text, for messages.
    """

    text: str
    name: str
    parameters: tuple[tuple[str, Plain], ...] = ()
    built: ActivationFormat | None = None
    field: str = dataclasses.field(default="formats", compare=False)

    @classmethod
    def parse(cls, text: str, field: str = "formats") -> Self:
        """Read a name and parameters.

        >>> NamedFormat.parse("fast mantissa_bits=2").build().bits_per_value
        3.3125

        Raises
        ------
        InputError
            The text names nothing, or has a word that is no parameter.
        """
        return cls(text, *name_and_parameters(EXAMPLE, field, text), field=field)

    @classmethod
    def of(cls, fmt: ActivationFormat, field: str = "formats") -> Self:
        """The name of a format that Python gives; `InputError` if it cannot be hashed."""
        try:
            hash(fmt)
        except TypeError:
            raise InputError(f"{field}: {fmt.name} cannot be hashed; make it a dataclass with frozen=True") from None
        words = (f"{name}={value}" for name, value in fmt.parameters.items())
        return cls(" ".join((fmt.name, *words)), fmt.name, built=fmt, field=field)

    @classmethod
    def read(cls, given: GivenFormat, field: str) -> Self:
        """The format of a text, such as ``anda``, ``fp16`` or ``my-format bits=6``, or of an object.

        Raises
        ------
        InputError
            It is no registered format, or says something impossible of itself.
        """
        if isinstance(given, str):
            named = cls.parse(given, field)
        elif isinstance(given, NamedFormat):
            named = cls(given.text, given.name, given.parameters, given.built, field)
        elif hasattr(given, "encode") and hasattr(given, "bits_per_value") and not isinstance(given, type):
            named = cls.of(given, field)
        else:
            raise InputError(
                f"{field}: {given!r} is no format; give a registered name and its parameters, such as anda or mxint8"
            )
        named.longest(GROUP_SIZE)
        return named

    @property
    def registered(self) -> Any:
        """The class of the format.

        Raises
        ------
        InputError
            No such format is registered.
        """
        if self.built is not None:
            return type(self.built)
        if ":" in self.name:
            raise InputError(
                f"{self.field}: {self.name!r} names a module, and data files run no code; register the class in a file, name that "
                "with --plugin FILE, and write the class's name here"
            )
        if self.name not in registry.names():
            load_entry_points()
        return registry.find(self.name, self.field)

    @property
    def is_open(self) -> bool:
        """True if the mantissa bits are left to the precision of a run: the class has no default for them."""
        if self.built is not None or OPEN in dict(self.parameters):
            return False
        return _is_open(self.registered)

    @property
    def source_sha256(self) -> str | None:
        """Hash of the file that defines a user's own class; keys of caches depend on it."""
        return None if self.name == OWN else source_sha256(self.registered)

    def build(self, **supplied: Plain) -> ActivationFormat:
        """The format; `supplied` parameters count where the class has them and the text does not give them.

        Raises
        ------
        InputError
            No such format is registered, or a parameter is wrong.
        """
        return self.built or _build(self, self.registered, tuple(supplied.items()))

    def stored(self, mantissa_bits: int, lanes: int) -> StoredFormat:
        """The format in memory.

        Parameters
        ----------
        mantissa_bits
            M of a format that leaves it open.
        lanes
            Channels that an element reduces at once: the group of a format that says so.

        Raises
        ------
        InputError
            As `build`, or the format says something impossible of itself.
        """
        return _stored(self, self.registered, mantissa_bits, lanes)

    def longest(self, lanes: int) -> StoredFormat:
        """The format at the most mantissa bits that it takes."""
        for bits in range(MAX_MANTISSA_BITS, 1, -1) if self.is_open else ():
            try:
                return self.stored(bits, lanes)
            except InputError:
                continue
        return self.stored(1, lanes)


def fixed_formats(given: Sequence[GivenFormat], field: str) -> list[NamedFormat]:
    """Formats that are complete without the precision of a run, each once.

    Raises
    ------
    InputError
        One is no registered format, leaves its mantissa bits open, or says something impossible of itself.
    """
    found = list(dict.fromkeys(NamedFormat.read(one, field) for one in given))
    for named in found:
        if named.is_open:
            raise InputError(
                f"{field}: {named.text!r} has no mantissa bits; give them, such as {named.name} mantissa_bits=7"
            )
    return found


@lru_cache(maxsize=1024)
def _build(named: NamedFormat, registered: Any, supplied: tuple[tuple[str, Plain], ...]) -> ActivationFormat:
    """The format; another class under the same name, of another plugin, is another one."""
    has = inspect.signature(registered).parameters
    parameters = {name: value for name, value in supplied if name in has} | dict(named.parameters)
    return build(named.field, named.text, registered, parameters)


@lru_cache(maxsize=4096)
def _stored(named: NamedFormat, registered: Any, mantissa_bits: int, lanes: int) -> StoredFormat:
    supplied: dict[str, Plain] = {OPEN: mantissa_bits} if named.is_open else {}
    if getattr(registered, "lane_groups", False):
        supplied["group_size"] = lanes
    return stored(named.build(**supplied))


@lru_cache(maxsize=256)
def _is_open(registered: Any) -> bool:
    parameter = inspect.signature(registered).parameters.get(OPEN)
    return parameter is not None and parameter.default is parameter.empty
