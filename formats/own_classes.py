"""Classes of a user's own, which may do anything: each fault is one line that names the field, the class and the fix."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from .checks import check_parameters
from .errors import InputError
from .words import Plain

Result = TypeVar("Result")

TOLERANCE = 0.02
"""Share by which packed bits may exceed those that a class says: padding to whole bytes."""


def is_built_in(kind: type) -> bool:
    """True for a class of this package."""
    return kind.__module__.partition(".")[0] == __name__.partition(".")[0]


def build(field: str, text: str, registered: Any, parameters: Mapping[str, Plain]) -> Any:
    """An object of a registered class.

    Raises
    ------
    InputError
        A parameter is wrong, or the class fails.
    """
    try:
        check_parameters(registered.name, registered, parameters)
        return registered(**parameters)
    except InputError as error:
        raise InputError(f"{field}: {registered.name}: {error}") from None
    except Exception as error:
        raise InputError(
            f"{field}: {text!r} cannot be built ({error}); see the parameters of {registered.__name__}"
        ) from None


def read_member(field: str, built: Any, member: str, default: Any = None) -> Any:
    """A member of an object; the default where it has none, and an `InputError` where reading it fails."""
    return attempt(field, built, member, lambda: getattr(built, member, default))


def attempt(field: str, built: Any, member: str, read: Callable[[], Result]) -> Result:
    """Result of `read`, which reads or calls a member of an object; an `InputError` if that fails."""
    try:
        return read()
    except Exception as error:
        raise InputError(
            f"{field}: {member} of {type(built).name} fails ({type(error).__name__}: {error}); check its parameters"
        ) from None
