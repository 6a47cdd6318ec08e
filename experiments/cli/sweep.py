"""`anda sweep`: many simulations from one file."""

from pathlib import Path
from typing import Annotated

import typer

from .output import note, print_table


def sweep(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The sweep, as YAML.")],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="A new folder, or the sweep's own to go on.")],
    workers: Annotated[int, typer.Option("--workers", help="Processes.")] = 1,
) -> None:
    """Simulate every point of a grid and write the results as Parquet and CSV."""
    from ..sweep import run_sweep, summary_rows

    frame = run_sweep(file, out, workers)
    columns, rows = summary_rows(frame)
    print_table(f"{file.name}: {len(frame)} points, the ten of least energy", columns, rows)
    note(f"results: {out / 'results.parquet'}")
