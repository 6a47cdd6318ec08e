"""Typer commands that are derived from an options class."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, TypeAlias, get_args, get_origin

import typer

from ..options.option import REQUIRED, Described, described, split, union_parts
from ..options.types import check_literal

Given: TypeAlias = dict[str, Any]
"""The values of all options of a class, by field name: what its public function takes."""

PLAIN = (bool, int, float, str, Path)
"""Types of values that typer reads."""


def command(
    options: Callable[..., Any], optional: Sequence[str] = (), plugins: bool = False
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Make a typer command of a function that takes the values of a class's options.

    Parameters
    ----------
    options
        The options class.
    optional
        Options that the command may do without, though the function needs them: None where they are not given.
    plugins
        True if the command takes files that register a user's own formats.

    Returns
    -------
    Callable
        A decorator. The function takes a `Given` first; its other parameters are options of the command alone, described
        by `Option` or typer.
    """
    fields = [
        replace(field, default=None) if field.name in optional else field
        for field in described(options)
        if field.option.on_command_line
    ]
    parsers = {field.name: field.option.parse for field in fields if field.option.parse is not None}
    names = {field.name for field in fields}

    def make(body: Callable[..., None]) -> Callable[..., None]:
        def run(**values: Any) -> None:
            if plugins:
                from ...formats.plugins import load_entry_points

                load_entry_points()
            values.pop(PLUGIN, None)  # loaded when it was read
            given = {name: values.pop(name) for name in names}
            for field in fields:
                check_literal(field, given[field.name])  # before an error that a mistyped choice would hide behind
            for name, parse in parsers.items():
                if given[name] is not None:
                    given[name] = parse(name, given[name])
            body(given, **values)

        _, *own = inspect.signature(body, eval_str=True).parameters.values()
        parameters = [*(_parameter(field) for field in fields), *map(_own_parameter, own)]
        if plugins:
            parameters.append(_PLUGIN_PARAMETER)
        parameters.sort(key=lambda parameter: parameter.default is not REQUIRED)
        run.__name__, run.__doc__ = body.__name__, body.__doc__
        run.__signature__ = inspect.Signature(parameters)
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        return run

    return make


def _load_plugins(paths: list[str]) -> list[str]:
    if paths:
        from ...formats.plugins import load_plugin

        for path in paths:
            load_plugin(path)
    return paths


PluginOption = Annotated[
    list[str],
    typer.Option(
        "--plugin",
        metavar="FILE",
        help="Python file that registers formats of your own, which runs; may be repeated.",
        callback=_load_plugins,
        is_eager=True,
    ),
]
PLUGIN = "plugin"
_PLUGIN_PARAMETER = inspect.Parameter(PLUGIN, inspect.Parameter.KEYWORD_ONLY, default=[], annotation=PluginOption)


def _own_parameter(parameter: inspect.Parameter) -> inspect.Parameter:
    annotation, option = split(parameter.annotation)
    if option is None:
        return parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
    return _parameter(Described(parameter.name, option, annotation, parameter.default))


def _parameter(field: Described) -> inspect.Parameter:
    """An option as typer reads it from a signature."""
    option, kind = field.option, _command_line_type(field)
    text = f"{option.help.removesuffix('.')}; may be repeated." if get_origin(kind) is list else option.help
    if option.argument:
        info = typer.Argument(metavar=option.metavar, help=text)
    else:
        info = typer.Option(field.flag, metavar=option.metavar, help=text)
    default = field.default if option.parse is None else _text(field.default)
    if isinstance(default, tuple):
        default = list(default)
    if default is None:
        kind = kind | None
    return inspect.Parameter(
        field.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, info]
    )


def _text(default: Any) -> Any:
    """A default as people write it, so that `Option.parse` reads it: ``4,7,11`` or ``4-13``."""
    if isinstance(default, range):
        return f"{default[0]}-{default[-1]}"
    return ",".join(map(str, default)) if isinstance(default, tuple) else default


def _command_line_type(field: Described) -> Any:
    """The type of a value on the command line: the option's own if typer knows it, text otherwise."""
    if field.option.repeat:
        return list[str]
    if field.option.parse is not None:
        return str
    parts = list(union_parts(field.annotation))
    if len(parts) == 1 and (parts[0] in PLAIN or (get_origin(parts[0]) is list and get_args(parts[0])[0] in PLAIN)):
        return parts[0]
    return str
