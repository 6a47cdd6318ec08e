"""`anda sweep`: many simulations from one file."""

from pathlib import Path
from typing import Annotated

import typer

from .output import note, print_table


def sweep(
    file: Annotated[
        str | None, typer.Argument(metavar="FILE", help="The sweep, as YAML, or the name of a built-in question.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="A new folder, or the sweep's own to go on.")
    ] = None,
    workers: Annotated[int, typer.Option("--workers", help="Processes.")] = 1,
    dask: Annotated[
        str | None, typer.Option("--dask", metavar="ADDRESS", help="A Dask scheduler instead of processes.")
    ] = None,
    schema: Annotated[bool, typer.Option("--schema", help="Print the JSON schema of sweep files and exit.")] = False,
    questions: Annotated[bool, typer.Option("--questions", help="List the built-in questions and exit.")] = False,
) -> None:
    """Simulate every point of a sweep and write the results as Parquet and CSV."""
    from ...formats import InputError
    from ..sweep import (
        energies_differ,
        load_spec,
        question_names,
        run_sweep,
        summary_rows,
        sweep_schema,
        undefined_metrics,
    )
    from ..sweep.executors import make_executor

    if schema:
        print(sweep_schema())
        return
    if questions:
        rows = [(name, str(spec.size()), spec.title) for name in question_names() for spec in [load_spec(name)]]
        print_table("Questions", ("name", "points", "question"), rows)
        return
    if file is None:
        raise InputError("file: is missing; name a sweep file, or a question of `anda sweep --questions`")
    if out is None:
        raise InputError("out: is missing; name a new folder with --out DIR")
    frame = run_sweep(file, out, make_executor(workers, dask))
    columns, rows = summary_rows(frame)
    shown = "the ten of least energy" if energies_differ(frame) else f"the first {len(rows)}"
    print_table(f"{Path(file).name}: {len(frame)} points, {shown}", columns, rows)
    for name, count in undefined_metrics(load_spec(file), frame).items():
        note(f"derived.{name}: is not a finite number in {count} of {len(frame)} points")
    note(f"results: {out / 'results.parquet'}; anda results {out} --report DIR shows them all")
