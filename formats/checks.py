"""Range, choice and array checks of every room: each raises `InputError` with field, value and fix in one line."""

import inspect
from collections.abc import Callable, Iterable
from dataclasses import fields
from numbers import Integral, Real
from typing import Any, TypeVar

import numpy as np
from numpy.typing import DTypeLike, NDArray

from .errors import InputError

Choice = TypeVar("Choice")
Array = TypeVar("Array", bound=NDArray[Any])


def check_integer(field: str, value: Any, lowest: int, highest: int | None = None) -> int:
    """Return ``value`` if it is an integer from ``lowest`` to ``highest`` (None: no limit). A boolean is not an integer.

    >>> check_integer("tokens", 3, 1)
    3
    >>> check_integer("mantissa_bits", 17, 1, 16)
    Traceback (most recent call last):
    anda_codesign.formats.errors.InputError: mantissa_bits: 17 is not valid; choose an integer from 1 to 16
    """
    if isinstance(value, bool) or not isinstance(value, Integral) or _is_outside(value, lowest, highest):
        allowed = f"of at least {lowest}" if highest is None else f"from {lowest} to {highest}"
        raise InputError(f"{field}: {value!r} is not valid; choose an integer {allowed}")
    return int(value)


def check_number(field: str, value: Any, lowest: float, highest: float | None = None) -> float:
    """Return ``value`` if it is a number from ``lowest`` to ``highest`` (None: no limit, infinity included)."""
    if not _is_number(value) or _is_outside(value, lowest, highest):
        allowed = f"of at least {lowest:g}" if highest is None else f"from {lowest:g} to {highest:g}"
        raise InputError(f"{field}: {value!r} is not valid; choose a number {allowed}")
    return value


def check_positive(field: str, value: Any) -> float:
    """Return ``value`` if it is a finite number above 0."""
    if not _is_number(value) or not 0 < value < float("inf"):
        raise InputError(f"{field}: {value!r} is not valid; choose a positive number")
    return value


def check_flags(parameters: Any) -> None:
    """Make the fields of a frozen dataclass that are flags by their default booleans: of True, False, 1 and 0."""
    for field in fields(parameters):
        if isinstance(field.default, bool):
            value = getattr(parameters, field.name)
            if not isinstance(value, int) or value not in (0, 1):
                raise InputError(f"{field.name}: {value!r} is not valid; choose true or false")
            object.__setattr__(parameters, field.name, bool(value))


def check_choice(field: str, value: Any, choices: Iterable[Choice]) -> Choice:
    """Return the element of ``choices`` that equals ``value``: the member, if the choices are an enumeration.

    >>> check_choice("engine", "tensor", ("integer", "blas"))
    Traceback (most recent call last):
    anda_codesign.formats.errors.InputError: engine: 'tensor' is not valid; choose one of integer, blas
    """
    known = list(choices)
    for choice in known:
        if value == choice and not isinstance(value, bool | float):
            return choice
    raise InputError(f"{field}: {value!r} is not valid; choose one of {', '.join(map(str, known))}")


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """End of a message on an unknown name: the known name that it resembles, in any case; empty if it resembles none.

    >>> did_you_mean("llama7b", ["LLaMA-7B", "OPT-125M"]), did_you_mean("gpt", ["LLaMA-7B"])
    ("; did you mean 'LLaMA-7B'?", '')
    """
    from difflib import get_close_matches

    folded = {one.lower(): one for one in known}
    near = get_close_matches(name.lower(), folded, n=1, cutoff=0.75)
    return f"; did you mean {folded[near[0]]!r}?" if near else ""


def check_float16(field: str, array: NDArray[np.float16]) -> NDArray[np.float16]:
    """Return ``array`` if it is float16 ``[..., channels]`` with at least one channel."""
    if getattr(array, "dtype", None) != np.float16:
        found = getattr(array, "dtype", type(array).__name__)
        raise InputError(f"{field}: is {found}, not a float16 array; convert it with numpy.asarray(x, numpy.float16)")
    if array.ndim == 0 or array.shape[-1] == 0:
        raise InputError(f"{field}: shape {array.shape} has no channels; give an array of shape [..., channels]")
    return array


def check_parameters(name: str, build: Callable[..., Any], given: Iterable[str]) -> None:
    """Raise `InputError` unless these are parameters of ``build``, and none without a default is missing."""
    accepted, names = inspect.signature(build).parameters, set(given)
    for field in sorted(names - accepted.keys()):
        known = f"one of {', '.join(accepted)}" if accepted else "none"
        raise InputError(f"{field}: is not a parameter of {name}; use {known}")
    for field, parameter in accepted.items():
        if parameter.default is parameter.empty and field not in names:
            raise InputError(f"{field}: is missing; give it a value, {name} needs one")


def check_array(field: str, array: Array, dtype: DTypeLike, shape: tuple[int, ...]) -> Array:
    """Return ``array`` if it has this dtype and shape."""
    if array.dtype != dtype or array.shape != shape:
        raise InputError(
            f"{field}: is {array.dtype} {list(array.shape)}; give an array {np.dtype(dtype)} {list(shape)}"
        )
    return array


def check_finite(field: str, array: Array) -> Array:
    """Return ``array`` if it has no infinity and no NaN."""
    finite = np.isfinite(array)
    if not finite.all():
        index = tuple(int(i) for i in np.argwhere(~finite)[0])
        raise InputError(f"{field}: element {index} is {array[index]}; give finite values")
    return array


def _is_number(value: Any) -> bool:
    return not isinstance(value, bool) and isinstance(value, Real)


def _is_outside(value: Any, lowest: float, highest: float | None) -> bool:
    return not lowest <= value or (highest is not None and not value <= highest)
