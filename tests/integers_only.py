"""An array that refuses floats: run an operator on it to prove that the operator computes in integers."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray


class FloatUsed(TypeError):
    """A NumPy operation took or gave something other than integers while `IntegersOnly` arrays were involved."""


class IntegersOnly(np.ndarray[Any, Any]):
    """An integer array whose every NumPy operation is checked: no input and no output may be a float.

    Results are `IntegersOnly` too, so the check follows the data through a whole computation. Booleans (comparison
    results, masks) are allowed.

    >>> IntegersOnly.wrap(np.array([1, 2])) / 2
    Traceback (most recent call last):
    ...
    integers_only.FloatUsed: divide gave float64
    """

    @classmethod
    def wrap(cls, array: NDArray[np.integer[Any]]) -> "IntegersOnly":
        """Return a guarded view of `array`."""
        guarded = np.asarray(array).view(cls)
        _refuse("IntegersOnly", "takes", [guarded])
        return guarded

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        _refuse(ufunc.__name__, "takes", inputs)
        if kwargs.get("out") is not None:
            kwargs["out"] = tuple(_plain(out) for out in kwargs["out"])
        kwargs = {name: _plain(value) for name, value in kwargs.items()}
        result = getattr(ufunc, method)(*[_plain(value) for value in inputs], **kwargs)
        return _guarded(ufunc.__name__, result)

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        _refuse(func.__name__, "takes", [args, kwargs])
        return _guarded(func.__name__, func(*_plain(args), **_plain(kwargs)))

    def view(self, *args: Any, **kwargs: Any) -> Any:
        """`numpy.ndarray.view`, refused for float types."""
        viewed = super().view(*args, **kwargs)
        _refuse("view", "gave", [viewed])
        return viewed

    def __array_finalize__(self, obj: Any) -> None:
        if self.dtype.kind not in "iub":
            raise FloatUsed(f"a conversion gave {self.dtype}")

    def __float__(self) -> float:
        raise FloatUsed("float() of an integer array")

    def __round__(self, ndigits: int | None = None) -> Any:
        raise FloatUsed("round() of an integer array")


def _leaves(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        for item in value:
            yield from _leaves(item)
    else:
        yield value


def _refuse(name: str, verb: str, values: Any) -> None:
    for leaf in _leaves(list(values)):
        if isinstance(leaf, float | complex):
            raise FloatUsed(f"{name} {verb} {type(leaf).__name__}")
        if isinstance(leaf, np.ndarray | np.generic) and leaf.dtype.kind not in "iub":
            raise FloatUsed(f"{name} {verb} {leaf.dtype}")


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_plain(item) for item in value)
    return value.view(np.ndarray) if isinstance(value, IntegersOnly) else value


def _guarded(name: str, result: Any) -> Any:
    _refuse(name, "gave", [result])
    if isinstance(result, (list, tuple)):
        return type(result)(_guarded(name, item) for item in result)
    if isinstance(result, np.ndarray | np.generic):
        return np.asarray(result).view(IntegersOnly)
    return result
