"""`anda reproduce`: figures and tables of the paper, published values compared with ours."""

from typing import TYPE_CHECKING

from ..options.reports import ReproductionOptions
from .command import Given, command
from .output import JsonOption, note, print_table, write_json

if TYPE_CHECKING:
    from ..reproduce.figures.comparison import FigureResult


@command(ReproductionOptions)
def reproduce(given: Given, *, json: JsonOption = None) -> None:
    """Compare a figure or table of the Anda paper with the values computed here, and plot both."""
    from ..reproduce.reproduction import reproduce as answer

    result = answer(**given, on_result=_show if json is None else _note)
    note(f"plots: {result.plots}")
    if result.scoreboard is not None:
        note(f"scoreboard: {result.scoreboard}")
    write_json(result, json)


def _show(result: "FigureResult") -> None:
    from ..reproduce.scoreboard import COLUMNS, comparison_row

    title = f"{result.name}: {result.title} ({result.seconds:.1f} s)"
    print_table(title, COLUMNS, [comparison_row(c) for c in result.comparisons])
    for text in result.notes:
        print(f"  {text}")
    print()


def _note(result: "FigureResult") -> None:
    note(f"{result.name}: {len(result.comparisons)} values, computed in {result.seconds:.1f} s")
