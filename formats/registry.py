"""Registry of classes by their ``name``, with the parameters of their published settings."""

from collections.abc import Mapping, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

from .checks import check_choice, check_parameters
from .errors import InputError

Built = TypeVar("Built")
Modes = Sequence[Mapping[str, Any]]


class _Entry(NamedTuple):
    added: Any
    modes: Modes


class Registry(Generic[Built]):
    """Classes by name.

    Parameters
    ----------
    field
        What an error about an unknown name begins with.
    kind
        What the classes are, for messages: ``activation format``.
    """

    def __init__(self, field: str, kind: str) -> None:
        self._field, self._kind = field, kind
        self._entries: dict[str, _Entry] = {}

    def register(self, added: Any, modes: Modes = ({},)) -> None:
        """Add a class with the parameters of each published setting; ``{}`` is the setting with all defaults.

        Raises
        ------
        InputError
            The name is already registered.
        """
        if added.name in self._entries:
            raise InputError(
                f"name: {added.name!r} is already the name of a registered {self._kind}; choose another name"
            )
        self._entries[added.name] = _Entry(added, tuple(modes))

    def remove(self, name: str) -> None:
        """Remove a class."""
        del self._entries[name]

    def entries(self) -> dict[str, Any]:
        """A copy of all entries, for `restore`."""
        return dict(self._entries)

    def restore(self, entries: Mapping[str, Any]) -> None:
        """Put back what `entries` gave."""
        self._entries = dict(entries)

    def names(self) -> list[str]:
        """All names, in the order of registration."""
        return list(self._entries)

    def find(self, name: str, field: str | None = None) -> Any:
        """The class of a name; raises `InputError` if there is none, which begins with `field` if that is given."""
        if name not in self._entries:
            check_choice(field or self._field, name, self._entries)
        return self._entries[name].added

    def build(self, name: str, parameters: Mapping[str, Any]) -> Built:
        """Build an object of the class of this name.

        Raises
        ------
        InputError
            The name, a parameter or a value does not exist, or a parameter is missing.
        """
        added = self.find(name)
        check_parameters(name, added, parameters)
        return added(**parameters)

    def modes(self, name: str) -> list[Built]:
        """Build an object in each published setting."""
        self.find(name)
        return [self.build(name, mode) for mode in self._entries[name].modes]
