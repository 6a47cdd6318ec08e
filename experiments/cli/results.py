"""`anda results`: questions to a finished sweep."""

from pathlib import Path
from typing import Annotated

from ..options.option import Option
from ..options.sweep import ResultsOptions
from .command import Given, command
from .output import JsonOption, note, print_table, write_json

ROWS = 40
DRIVERS = 6


@command(ResultsOptions)
def results(
    given: Given,
    *,
    report: Annotated[
        Path | None, Option("Write a report into a new folder: HTML, Markdown, figures.", metavar="DIR")
    ] = None,
    json: JsonOption = None,
) -> None:
    """Query the results of a sweep with SQL, or show the points that no other beats."""
    from ..sweep_results.tables import fitting_rows, table_rows, varying_columns
    from ..sweeps import read_wins
    from ..sweeps import results as ask

    if report is not None:
        _write_report(given, report, json)
        return
    result = ask(**given)
    if given["plot"] is not None:
        note(f"wrote {given['plot']}")
    if write_json(result, json):
        return
    frame = result.to_frame()
    if given["wins"] is not None:
        winner, column = read_wins(given["wins"])
        print_table(f"{winner} has the least {column}", *table_rows(frame, list(frame.columns)))
        _print_drivers(given, winner, str(frame.sort_values("ratio_median")["arch"].iloc[0]), column)
        return
    if given["pairs"] is not None:
        joint = "better or worse: beyond the joint interval, in which all pairs hold together with 95 %"
        rounded = frame.round(3)
        print_table(
            f"losses in pairs, on the same blocks; {joint}", *table_rows(rounded, [str(name) for name in rounded])
        )
        return
    shown = frame.head(ROWS)
    asked = table_rows(shown, [str(name) for name in frame.columns]) if given["sql"] is not None else None
    print_table(f"{given['folder']}: {len(frame)} rows", *(asked or fitting_rows(shown, varying_columns(frame))))
    if len(frame) > ROWS:
        note(f"the first {ROWS} rows of {len(frame)}; --json - or --sql show others")


def _write_report(given: Given, report: Path, json: str | None) -> None:
    from ...formats import InputError
    from ..sweep_results.report import write_sweep_report

    for name, value in [
        *((name, given[name]) for name in ("sql", "plot", "wins", "pairs", "circuits")),
        ("json", json),
    ]:
        if value is not None:
            raise InputError(f"{name}: cannot be combined with report; leave one of them out")
    note(f"report: {write_sweep_report(given['folder'], report, list(given['pareto'] or ()))}")


def _print_drivers(given: Given, winner: str, rival: str, column: str) -> None:
    """Print which constants the narrowest ratio depends on."""
    from ..sweep_results.tables import table_rows
    from ..sweep_results.wins import driver_frame
    from ..sweeps import results as ask

    every: Given = {**given, "wins": None}
    frame = ask(**every).to_frame()
    drivers = driver_frame(frame, winner, rival, column).head(DRIVERS)
    title = f"what the ratio of {rival} to {winner} hangs on (rank correlation)"
    print_table(title, *table_rows(drivers, list(drivers.columns)))
