"""Loops over the cases of one test, for parametrisations with so many values that each as a test of its own says nothing more."""

import functools
import inspect
from collections.abc import Callable, Iterable
from typing import Any


def each(name: str, values: Iterable[Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Run a test for each value of one of its parameters; a failure names the value.

    Used like `pytest.mark.parametrize`, but all values make one test. Fixtures are shared by the values.
    """
    cases = list(values)
    assert cases, f"{name}: no values"

    def decorate(test: Callable[..., None]) -> Callable[..., None]:
        signature = inspect.signature(test)

        @functools.wraps(test)
        def run(**fixtures: Any) -> None:
            for value in cases:
                try:
                    test(**fixtures, **{name: value})
                except BaseException as error:
                    error.add_note(f"with {name} = {value!r}")
                    raise

        others = [parameter for own, parameter in signature.parameters.items() if own != name]
        run.__signature__ = signature.replace(parameters=others)  # type: ignore[attr-defined]
        return run

    return decorate
