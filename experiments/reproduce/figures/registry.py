"""All figures and tables that can be compared, by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ....formats import InputError
from ....formats.checks import check_choice, check_integer
from .comparison import FigureResult
from .published import PrecisionSets

MODELS = ("smollm2-135m",)
BLOCKS = 8


@dataclass(frozen=True)
class FigureOptions:
    """Options of a figure's comparison: published precisions, models, text, backend."""

    precisions: PrecisionSets = field(default_factory=PrecisionSets)
    models: tuple[str, ...] = MODELS
    """Models that the accuracy figures evaluate: fetched ones, or folders of checkpoints."""
    blocks: int = BLOCKS
    """Most blocks of 512 tokens to evaluate."""
    backend: str = "numpy"
    """Evaluation backend, ``numpy`` or ``torch``; the losses agree within rounding."""

    def __post_init__(self) -> None:
        check_integer("blocks", self.blocks, 2)
        from ....workloads.inference.torch_decoder import BACKENDS

        check_choice("backend", self.backend, BACKENDS)

    def key(self, names: frozenset[str]) -> list[Any]:
        """Values of the named options, as a cache key."""
        given = {"precisions": self.precisions.key(), "models": [*self.models, self.backend], "blocks": self.blocks}
        return [[name, given[name]] for name in sorted(names)]


@dataclass(frozen=True)
class _Figure:
    compute: Callable[[FigureOptions], FigureResult]
    depends: frozenset[str] = frozenset()
    """Fields of `FigureOptions` that the figure reads."""


def _machine(name: str, *depends: str) -> _Figure:
    def compute(options: FigureOptions) -> FigureResult:
        from . import machine

        arguments = [getattr(options, option) for option in depends]
        return getattr(machine, name)(*arguments)

    return _Figure(compute, frozenset(depends))


def _accuracy(name: str, *depends: str) -> _Figure:
    def compute(options: FigureOptions) -> FigureResult:
        from . import accuracy

        evaluation = accuracy.Evaluation(options.models, options.blocks, options.backend)
        return getattr(accuracy, name)(evaluation, *(getattr(options, option) for option in depends))

    return _Figure(compute, frozenset((*depends, "models", "blocks")))


def _table1(_: FigureOptions) -> FigureResult:
    from .formats import table1

    return table1()


FIGURES = {
    "fig2": _machine("fig2"),
    "fig5": _accuracy("fig5"),
    "fig6": _accuracy("fig6"),
    "fig7": _accuracy("fig7"),
    "fig9": _accuracy("fig9"),
    "fig14": _accuracy("fig14", "precisions"),
    "fig15": _machine("fig15"),
    "fig16": _machine("fig16", "precisions"),
    "fig17": _machine("fig17"),
    "fig18": _machine("fig18", "precisions"),
    "table1": _Figure(_table1),
    "table2": _accuracy("table2", "precisions"),
    "table3": _machine("table3"),
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
