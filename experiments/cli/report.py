"""`anda report`: the main job."""

from pathlib import Path
from typing import Annotated

import typer

from .output import note, print_table


def report(
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="A new or empty folder.")],
    model: Annotated[str, typer.Option("--model", help="A fetched model or a checkpoint folder.")] = "smollm2-135m",
    blocks: Annotated[
        int, typer.Option("--blocks", help="Blocks of 512 tokens: more take longer and decide more.")
    ] = 12,
) -> None:
    """Measure how many mantissa bits a model needs, what they save, and whether the circuit agrees."""
    from ..report import run_report
    from ..report.pages import TABLE_COLUMNS, table_rows

    frame = run_report(model, out, blocks)
    print_table(f"{model}: Anda precisions against FP-FP", TABLE_COLUMNS, table_rows(frame))
    note(f"report: {out / 'report.html'}")
