"""`anda sweep`: many simulations from one file."""

from pathlib import Path
from typing import Annotated

from ..options.option import Option
from ..options.sweep import SweepOptions
from .command import Given, command
from .output import JsonOption, note, print_table, write_json

REASONS = 5
"""Most reasons for points that are left out that are printed."""
UNKNOWN_LOSS = "their processing_element states no arithmetic, or their weights need calibration or other arithmetic than that of INT4"
"""Why losses may be blank."""


@command(SweepOptions, optional=("file", "out"), plugins=True)
def sweep(
    given: Given,
    *,
    schema: Annotated[bool, Option("Print the JSON schema of sweep files and exit.")] = False,
    questions: Annotated[bool, Option("List the built-in questions and exit.")] = False,
    json: JsonOption = None,
) -> None:
    """Simulate every point of a sweep and write the results as Parquet and CSV."""
    from ...formats import InputError
    from ..sweep.run import undefined_metrics
    from ..sweep.spec import load_spec, question_names, sweep_schema
    from ..sweep_results.tables import StoredRows, energies_differ, summary_rows
    from ..sweeps import sweep as run

    if schema:
        print(sweep_schema())
        return
    if questions:
        found = [(name, str(spec.size()), spec.title) for name in question_names() for spec in [load_spec(name)]]
        print_table("Questions", ("name", "points", "question"), found)
        return
    if given["file"] is None:
        raise InputError("file: is missing; name a sweep file, or a question of `anda sweep --questions`")
    if given["out"] is None:
        raise InputError("out: is missing; name a new folder with --out DIR")
    result = run(**given)
    if write_json(result, json):
        return
    rows = StoredRows(result.file)
    columns, cells = summary_rows(rows)
    shown = "the ten of least energy" if energies_differ(rows) else f"the first {len(cells)}"
    print_table(f"{Path(given['file']).name}: {rows.count} points, {shown}", columns, cells)
    reasons = sorted(result.left_out.items(), key=lambda reason: -reason[1])
    for reason, count in reasons[:REASONS]:
        note(f"left out {count} point{'' if count == 1 else 's'}: {reason}")
    if others := reasons[REASONS:]:
        note(f"left out {sum(count for _, count in others)} points for {len(others)} other reasons")
    own = result.spec.formulas.added
    for name, count in (undefined_metrics(result.spec, rows.read(own)) if own else {}).items():
        note(
            f"{'derived' if name in result.spec.derived else 'metrics'}.{name}: is not a finite number in {count} of {rows.count} points"
        )
    if result.spec.evaluation is not None and (blank := int(rows.read(["loss_percent"])["loss_percent"].isna().sum())):
        note(f"loss: unknown in {blank} of {rows.count} points; {UNKNOWN_LOSS}")
    out = given["out"]
    note(f"results: {Path(out) / 'results.parquet'}; anda results {out} --report DIR shows them all")
