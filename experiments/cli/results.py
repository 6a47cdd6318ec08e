"""`anda results`: questions to a finished sweep."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..files import require_new_picture
from .output import JsonOption, note, print_table, write_json

if TYPE_CHECKING:
    import pandas as pd

ROWS = 40
DRIVERS = 6


def results(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder of a sweep.")],
    sql: Annotated[
        str | None, typer.Option("--sql", metavar="QUERY", help="SQL over the table `results` (DuckDB).")
    ] = None,
    pareto: Annotated[
        str | None,
        typer.Option("--pareto", metavar="X,Y,…", help="Only rows that none beats; -NAME means larger is better."),
    ] = None,
    plot: Annotated[
        Path | None, typer.Option("--plot", metavar="FILE", help="Draw the front, dominated points in grey.")
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option("--report", metavar="DIR", help="Write a report into a new folder: HTML, Markdown, figures."),
    ] = None,
    wins: Annotated[
        str | None,
        typer.Option("--wins", metavar="ARCH:COLUMN", help="How often ARCH has the least, at the same constants."),
    ] = None,
    circuits: Annotated[
        str | None,
        typer.Option("--circuits", metavar="LIBRARY", help="Add area and energy of the format options' own circuits."),
    ] = None,
    json: JsonOption = None,
) -> None:
    """Query the results of a sweep with SQL, or show the points that no other beats."""
    from ...formats import InputError
    from ..sweep import fitting_rows, pareto_figure, pareto_front, table_rows, varying_columns

    require_new_picture("plot", plot)
    if report is not None:
        _refuse_beside("report", sql=sql, plot=plot, wins=wins, circuits=circuits, json=json)
        from ..sweep.report import write_sweep_report

        page = write_sweep_report(folder, report, [] if pareto is None else [n.strip() for n in pareto.split(",")])
        note(f"report: {page}")
        return
    if wins is not None:
        _refuse_beside("wins", pareto=pareto, plot=plot)
    frame = _results(folder, circuits, sql)
    if wins is not None:
        _wins(frame, wins, json)
        return
    names = [] if pareto is None else [name.strip() for name in pareto.split(",")]
    if plot is not None:
        if len(names) < 2:
            raise InputError("plot: needs two columns or more; name them with --pareto X,Y")
        x, y = (name.removeprefix("-") for name in names[:2])
        pareto_figure(frame, x, y, names).savefig(plot, dpi=160)
        note(f"wrote {plot}")
    if names:
        frame = frame[pareto_front(frame, names)].sort_values(names[0].removeprefix("-"))
    if json is not None:
        write_json(_records(frame), json)
        return
    shown = frame.head(ROWS)
    asked = table_rows(shown, [str(name) for name in frame.columns]) if sql is not None else None
    print_table(f"{folder}: {len(frame)} rows", *(asked or fitting_rows(shown, varying_columns(frame))))
    if len(frame) > ROWS:
        note(f"the first {ROWS} rows of {len(frame)}; --json - or --sql show others")


def _results(folder: Path, circuits: str | None, sql: str | None) -> "pd.DataFrame":
    from ..sweep import load_results, query_frame, with_circuits

    frame = load_results(folder)
    if circuits is not None:
        frame = with_circuits(frame, circuits)
    return frame if sql is None else query_frame(frame, sql)


def _refuse_beside(option: str, **others: object) -> None:
    from ...formats import InputError

    for name, value in others.items():
        if value is not None:
            raise InputError(f"{name}: cannot be combined with --{option}; leave one of them out")


def _records(frame: "pd.DataFrame") -> list[dict[str, Any]]:
    import json

    return json.loads(frame.to_json(orient="records"))


def _wins(frame: "pd.DataFrame", question: str, json: str | None) -> None:
    """Print how often an architecture wins, and which constants the narrowest ratio hangs on."""
    from ...formats import InputError
    from ..sweep import driver_frame, table_rows, win_frame

    winner, colon, column = question.partition(":")
    if not colon:
        raise InputError(f"wins: {question!r} names no column; write ARCH:COLUMN, such as anda:energy_total_pj")
    table = win_frame(frame, winner, column)
    if json is not None:
        write_json(_records(table), json)
        return
    print_table(f"{winner} has the least {column}", *table_rows(table, list(table.columns)))
    rival = str(table.sort_values("ratio_median")["arch"].iloc[0])
    drivers = driver_frame(frame, winner, rival, column).head(DRIVERS)
    title = f"what the ratio of {rival} to {winner} hangs on (rank correlation)"
    print_table(title, *table_rows(drivers, list(drivers.columns)))
