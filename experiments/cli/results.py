"""`anda results`: questions to a finished sweep."""

from pathlib import Path
from typing import Annotated

import typer

from .output import JsonOption, note, print_table, require_new_file, write_json

ROWS = 40


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
    json: JsonOption = None,
) -> None:
    """Query the results of a sweep with SQL, or show the points that no other beats."""
    from ...formats import InputError
    from ..sweep import load_results, pareto_figure, pareto_front, query_results, table_rows, varying_columns

    require_new_file("plot", plot)
    frame = load_results(folder) if sql is None else query_results(folder, sql)
    names = [] if pareto is None else [name.strip() for name in pareto.split(",")]
    if plot is not None:
        if len(names) < 2 or plot.suffix not in (".png", ".svg", ".pdf"):
            raise InputError("plot: needs --pareto with two columns or more, and a file ending in .png, .svg or .pdf")
        x, y = (name.removeprefix("-") for name in names[:2])
        pareto_figure(frame, x, y, names).savefig(plot, dpi=160)
        note(f"wrote {plot}")
    if names:
        frame = frame[pareto_front(frame, names)].sort_values(names[0].removeprefix("-"))
    if json is not None:
        import json as encoder

        write_json(encoder.loads(frame.to_json(orient="records")), json)
        return
    columns = [str(name) for name in frame.columns] if sql is not None else varying_columns(frame)
    print_table(f"{folder}: {len(frame)} rows", *table_rows(frame.head(ROWS), columns))
    if len(frame) > ROWS:
        note(f"the first {ROWS} rows of {len(frame)}; --json - or --sql show others")
