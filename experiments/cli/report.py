"""`anda report`: the main job, and its answer on the screen."""

from typing import TYPE_CHECKING, Annotated

from .. import amounts
from ..options.option import Option
from ..options.reports import ReportOptions
from .command import Given, command
from .output import JsonOption, note, print_lines, print_table, write_json

if TYPE_CHECKING:
    from ..report.job import Report


@command(ReportOptions, plugins=True)
def report(
    given: Given,
    *,
    all: Annotated[bool, Option("Print all points, not only those that matter most.")] = False,
    json: JsonOption = None,
) -> None:
    """Measure how many mantissa bits a model needs and what they save, and check the circuits."""
    from ..report.job import report as answer

    result = answer(**given)
    if not write_json(result, json):
        _print_points(result, all)
        _print_answer(result, str(given["model"]))
    written = sum(path.stat().st_size for path in result.folder.rglob("*") if path.is_file())
    note(f"report: {result.folder / 'report.html'}; {amounts.size(written)} in {result.folder}")


def _print_points(result: "Report", all_points: bool) -> None:
    from ..report.table import SCREEN_COLUMNS, rows_that_matter, table_rows

    frame = result.frame if all_points else rows_that_matter(result.frame)
    left = len(result.frame) - len(frame)
    more = f" ({left} further points: --all, or table.csv)" if left else ""
    print_table(
        f"{result.model}: Anda against machines of fixed width{more}", SCREEN_COLUMNS, table_rows(frame, SCREEN_COLUMNS)
    )


def _print_answer(result: "Report", model: str) -> None:
    answer = result.answer
    columns, rows = answer.comparison()
    print_lines(answer.headline())
    print_table("", columns, rows)
    print_lines(*answer.against_rival(), *answer.undecided(), f"How sure: {answer.how_sure()}", "Next:")
    for command_line, reason in answer.next_commands(model, result.model):
        print(f"  {command_line}\n      {reason}")
