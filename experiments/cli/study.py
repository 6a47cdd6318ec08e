"""`anda study`: sensitivity of models to group size, mantissa bits and modules, and formats side by side."""

from pathlib import Path
from typing import Annotated

from ..options.precision import StudyOptions
from .command import Given, command
from .output import JsonOption, plot_option, print_table, write_figure, write_json
from .train import note_limits

PlotOption = Annotated[Path | None, plot_option("the study")]


@command(StudyOptions)
def study(given: Given, *, plot: PlotOption = None, json: JsonOption = None) -> None:
    """Measure the loss of perplexity by group size (fig5), mantissa bits (fig6), single module (fig7), format (table2)
    or type of the circuit's sums (arithmetic)."""
    from ..study.measure import study as answer

    result = answer(**given)
    for model in given["model"]:
        note_limits(model)
    write_figure(result.figure, plot, dpi=120)
    if write_json(result, json):
        return
    rows = [[_cell(value) for value in record.values()] for record in result.records()]
    title = f"{given['name']}: held-out {given['text']}, {given['blocks']} blocks of {given['tokens']} tokens"
    print_table(title, list(result.frame.columns), rows)


def _cell(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
