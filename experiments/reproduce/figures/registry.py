"""All figures and tables that can be compared, by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module

from ....formats import InputError
from .comparison import FigureResult
from .options import FigureOptions


@dataclass(frozen=True)
class _Figure:
    compute: Callable[[FigureOptions], FigureResult]
    depends: frozenset[str] = frozenset()
    """Fields of `FigureOptions` that the figure reads."""


def _figure(module: str, name: str, *depends: str) -> _Figure:
    def compute(options: FigureOptions) -> FigureResult:
        return getattr(import_module(f".{module}", __package__), name)(options)

    return _Figure(compute, frozenset(depends))


MEASURED = ("models", "blocks")
"""Inputs of the figures that evaluate models."""
FIGURES = {
    "fig2": _figure("machine", "fig2"),
    "fig5": _figure("accuracy", "fig5", *MEASURED),
    "fig6": _figure("accuracy", "fig6", *MEASURED),
    "fig7": _figure("accuracy", "fig7", *MEASURED),
    "fig9": _figure("accuracy", "fig9", *MEASURED),
    "fig14": _figure("accuracy", "fig14", "precisions", *MEASURED),
    "fig15": _figure("machine", "fig15"),
    "fig16": _figure("machine", "fig16", "precisions"),
    "fig17": _figure("machine", "fig17"),
    "fig18": _figure("machine", "fig18", "precisions"),
    "table1": _figure("formats", "table1"),
    "table2": _figure("accuracy", "table2", "precisions", *MEASURED),
    "table3": _figure("machine", "table3"),
}


def figure_names() -> list[str]:
    """Names of all figures and tables."""
    return list(FIGURES)


def group(name: str) -> list[str] | None:
    """Figures of the group ``all``, or of ``machine`` (those that evaluate no model); None for another name."""
    machine = [figure for figure, entry in FIGURES.items() if "models" not in entry.depends]
    return {"all": figure_names(), "machine": machine}.get(name)


def find_figure(name: str) -> _Figure:
    """A figure by name.

    Raises
    ------
    InputError
        The name is unknown.
    """
    try:
        return FIGURES[name]
    except KeyError:
        raise InputError(f"figure: {name!r} is unknown; use {', '.join(FIGURES)}, machine or all") from None
