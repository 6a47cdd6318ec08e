"""`anda report`: the main job."""

from ..options.reports import ReportOptions
from .command import Given, command
from .output import note, print_table


@command(ReportOptions, plugins=True)
def report(given: Given) -> None:
    """Measure how many mantissa bits a model needs and what they save, and check the circuits."""
    from ..report.job import report as answer
    from ..report.table import SCREEN_COLUMNS, table_rows

    result = answer(**given)
    print_table(
        f"{given['model']}: Anda precisions against FP-FP", SCREEN_COLUMNS, table_rows(result.frame, SCREEN_COLUMNS)
    )
    note(f"report: {result.folder / 'report.html'}")
