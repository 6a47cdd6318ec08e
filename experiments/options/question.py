"""Public functions: typed keywords, signature and docstring of an options class, answered by a function of its object."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from typing import Any, ParamSpec, TypeVar

from .option import REQUIRED, Described, described
from .types import check_type

P = ParamSpec("P")
O = TypeVar("O")  # noqa: E741
R = TypeVar("R")


class _TypeText(str):
    """A type that signatures show without quotes."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def question(options: Callable[P, O]) -> Callable[[Callable[[O], R]], Callable[P, R]]:
    """Make a public function of one that takes an options object.

    Parameters
    ----------
    options
        A frozen, keyword-only dataclass whose fields are described by `Option`.

    Returns
    -------
    Callable
        A decorator. The function that it makes has the options as keyword-only parameters and lists them in its docstring.
    """

    fields = described(options)

    def make(answer: Callable[[O], R]) -> Callable[P, R]:
        @functools.wraps(answer)
        def ask(*args: P.args, **kwargs: P.kwargs) -> R:
            if args:
                raise TypeError(f"{answer.__name__}() takes keywords only, such as {fields[0].name}=...")
            for field in fields:
                if field.name in kwargs:
                    kwargs[field.name] = check_type(field, kwargs[field.name])
            try:
                asked = options(*args, **kwargs)
            except TypeError as error:
                raise TypeError(f"{answer.__name__}(){str(error).partition('()')[2]}") from None
            return answer(asked)

        vars(ask).update(__signature__=_signature(options, answer))
        ask.__doc__ = _docstring(answer, fields)
        return ask

    return make


def _signature(options: Callable[..., Any], answer: Callable[..., Any]) -> inspect.Signature:
    parameters = [
        inspect.Parameter(
            field.name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=_TypeText(field.type_text)
        )
        for field in described(options)
    ]
    returns = answer.__annotations__.get("return", REQUIRED)
    return inspect.Signature(parameters, return_annotation=_TypeText(returns) if isinstance(returns, str) else returns)


def _docstring(answer: Callable[..., Any], fields: tuple[Described, ...]) -> str:
    """The docstring with a section on the parameters, before those on what is returned and raised."""
    summary, returns, rest = inspect.cleandoc(answer.__doc__ or "").partition("\n\nReturns\n")
    lines = [summary, "", "Parameters", "----------", *(line for field in fields for line in _paragraph(field))]
    return "\n".join(lines) + returns + rest


def _paragraph(field: Described) -> Iterator[str]:
    unit = "" if field.option.unit is None else f", in {field.option.unit}"
    default = ", required" if field.default is REQUIRED else f", default {field.default!r}"
    yield f"{field.name} : {field.type_text}{unit}{default}"
    yield f"    {field.option.help}"
