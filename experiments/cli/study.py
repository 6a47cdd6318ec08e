"""`anda study`: sensitivity of models to group size, mantissa bits and modules, and formats side by side."""

from pathlib import Path
from typing import Annotated

import typer

from ..files import require_new_picture
from .output import JsonOption, note, print_table, write_json
from .train import note_limits


def study(
    name: Annotated[str, typer.Argument(metavar="STUDY", help="fig5, fig6, fig7, table2 or arithmetic.")],
    model: Annotated[
        list[str] | None,
        typer.Option("--model", metavar="NAME", help="A model or a checkpoint folder; may be repeated."),
    ] = None,
    text: Annotated[str, typer.Option("--text", help="wiki, brown or a text file.")] = "wiki",
    tokens: Annotated[int, typer.Option("--tokens", help="Length of a block.")] = 512,
    blocks: Annotated[int, typer.Option("--blocks", help="Held-out blocks.")] = 8,
    backend: Annotated[str, typer.Option("--backend", help="numpy or torch.")] = "numpy",
    plot: Annotated[
        Path | None, typer.Option("--plot", metavar="FILE", help="Draw the study (.png, .svg, .pdf).")
    ] = None,
    json: JsonOption = None,
) -> None:
    """Measure what group sizes (fig5), mantissa bits (fig6), single modules (fig7), formats (table2) or
    the circuit's sums (arithmetic) cost in perplexity."""
    from ...workloads import cache_dir
    from ..study import run_study, study_figure

    require_new_picture("plot", plot)
    models = model or ["smollm2-135m"]
    frame = run_study(
        name,
        models,
        text=text,
        tokens=tokens,
        blocks=blocks,
        cache_dir=cache_dir() / "evaluations",
        backend=backend,
    )
    for own in models:
        note_limits(own)
    if plot is not None:
        study_figure(name, frame).savefig(plot, dpi=120)
        note(f"wrote {plot}")
    records = frame.astype(object).where(frame.notna(), None).to_dict("records")
    if json is not None:
        write_json(records, json)
        return
    rows = [[_cell(value) for value in record.values()] for record in records]
    print_table(f"{name}: held-out {text}, {blocks} blocks of {tokens} tokens", list(frame.columns), rows)


def _cell(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
