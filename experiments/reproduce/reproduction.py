"""The public function `reproduce`: figures and tables of the paper, published values compared with ours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...formats import InputError
from ..options.parse import several
from ..options.question import question
from ..options.reports import ReproductionOptions
from ..options.result import Result
from . import run
from .figures.comparison import FigureResult
from .figures.options import MODELS, FigureOptions
from .figures.published import PrecisionSets
from .figures.registry import find_figure, group
from .output import check_page, opened_folder, write_plots, write_scoreboard


@dataclass(frozen=True)
class Reproduction(Result):
    """Result of `reproduce`.

    Attributes
    ----------
    figures
        The compared figures and tables.
    plots
        Folder of the plots; None if there is no `out`.
    scoreboard
        Page of all comparisons; None for a single figure or if there is no `out`.
    """

    figures: list[FigureResult]
    plots: Path | None = None
    scoreboard: Path | None = None

    def to_dict(self) -> list[dict[str, Any]]:
        """The document that ``anda reproduce --json -`` prints: one record for each compared value."""
        return [comparison.record() for figure in self.figures for comparison in figure.comparisons]


@question(ReproductionOptions)
def reproduce(options: ReproductionOptions) -> Reproduction:
    """Compare figures and tables of the Anda paper with the values computed here, and plot both.

    Returns
    -------
    Reproduction
        One row for each compared value: published, ours and deviation.

    Raises
    ------
    InputError
        The figure, a model or a data set is unknown, or a folder or page holds something else.
    """
    names = group(options.figure)
    page = None if options.scoreboard is None else Path(options.scoreboard)
    if names is None:
        find_figure(options.figure)
        if page is not None:
            raise InputError("scoreboard: works with the figures all and machine only; leave it out")
    if page is not None and options.out is None:
        raise InputError("scoreboard: its plots need a folder; give out, or leave scoreboard out")
    check_page(page)
    sets = PrecisionSets() if options.precisions is None else PrecisionSets.load(options.precisions)
    models = MODELS if options.model is None else tuple(several(options.model))
    figure_options = FigureOptions(sets, models, options.blocks, options.backend)
    out = None if options.out is None else Path(options.out)
    if out is None:
        return Reproduction(_compared(options, figure_options, names))
    with opened_folder(out):
        figures = _compared(options, figure_options, names)
        write_plots(figures, out)
        scores = write_scoreboard(figures, out, page) if names is not None else None
    return Reproduction(figures, out / "figures", scores)


def _compared(
    options: ReproductionOptions, figure_options: FigureOptions, names: Sequence[str] | None
) -> list[FigureResult]:
    """The figures that are asked for."""
    if names is not None:
        return run.compare_figures(figure_options, options.fresh, options.on_result, names)
    figures = [run.compare_figure(options.figure, figure_options, options.fresh)]
    if options.on_result is not None:
        options.on_result(figures[0])
    return figures
