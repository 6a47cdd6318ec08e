"""`anda reproduce`: the paper's figures and tables, published values beside ours."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .output import JsonOption, note, print_table, write_json

if TYPE_CHECKING:
    from ..reproduce import FigureResult


def reproduce(
    figure: Annotated[
        str, typer.Argument(metavar="FIGURE|all", help="fig2, …, table3; machine (no model needed); all.")
    ],
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="Folder for the plots; those of an earlier run are replaced.")
    ] = Path("reproduced"),
    precisions: Annotated[
        Path | None,
        typer.Option("--precisions", metavar="FILE", help="YAML of precision tuples of further data sets."),
    ] = None,
    model: Annotated[
        list[str] | None, typer.Option("--model", help="Evaluate this model; may be given several times.")
    ] = None,
    blocks: Annotated[int, typer.Option("--blocks", help="Blocks of 512 tokens an evaluation, at most.")] = 8,
    backend: Annotated[str, typer.Option("--backend", help="What evaluates: numpy or torch.")] = "numpy",
    page: Annotated[
        Path | None,
        typer.Option(
            "--scoreboard", metavar="FILE", help="Where `all` and `machine` write their page [DIR/scoreboard.md]."
        ),
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Compute again what is kept.")] = False,
    json: JsonOption = None,
) -> None:
    """Compare a figure or table of the Anda paper with what this program computes, and plot both."""
    from ...formats import InputError
    from ..reproduce import FigureOptions, PrecisionSets, reproduce_all
    from ..reproduce import reproduce as reproduce_one
    from ..reproduce.figures import MODELS, find_figure, group
    from ..reproduce.output import check_page, open_folder, write_plots, write_scoreboard

    names = group(figure)
    if names is None:
        find_figure(figure)
    if names is None and page is not None:
        raise InputError("scoreboard: works with the figures all and machine only; leave it out")
    check_page(page)
    sets = PrecisionSets() if precisions is None else PrecisionSets.load(precisions)
    options = FigureOptions(sets, tuple(model or MODELS), blocks, backend)
    open_folder(out)
    show = _show if json is None else _state
    if names is not None:
        results = reproduce_all(options, fresh, show, names)
    else:
        results = [reproduce_one(figure, options, fresh)]
        show(results[0])
    write_plots(results, out)
    note(f"plots: {out / 'figures'}")
    if names is not None:
        note(f"scoreboard: {write_scoreboard(results, out, page)}")
    if json is not None:
        write_json([c.record() for result in results for c in result.comparisons], json)


def _show(result: "FigureResult") -> None:
    from ..reproduce.scoreboard import COLUMNS, comparison_row

    title = f"{result.name}: {result.title} ({result.seconds:.1f} s)"
    print_table(title, COLUMNS, [comparison_row(c) for c in result.comparisons])
    for text in result.notes:
        print(f"  {text}")
    print()


def _state(result: "FigureResult") -> None:
    note(f"{result.name}: {len(result.comparisons)} values, computed in {result.seconds:.1f} s")
