"""`anda formats`: the number formats; `anda formats compare`: all activation formats on captured activations."""

from pathlib import Path
from typing import Annotated, Any

import typer

from ..files import require_new_picture
from .output import JsonOption, note, print_table, write_json

app = typer.Typer(invoke_without_command=True)


@app.callback()
def formats(context: typer.Context, json: JsonOption = None) -> None:
    """List every number format with its parameters, bits and source."""
    if context.invoked_subcommand is not None:
        return
    from ..formats.format_comparison import (
        WEIGHT_CHANNELS,
        format_record,
        integer_only_records,
        published_formats,
        published_weight_methods,
        weight_record,
    )

    activation = [format_record(fmt) for fmt in published_formats()]
    weight = [*(weight_record(method) for method in published_weight_methods()), *integer_only_records()]
    if json is not None:
        write_json([*activation, *weight], json)
        return
    print_table(
        "Activation formats",
        ("format", "parameters", "bits per value", "cycles per 64", "source"),
        _rows(activation, "bits_per_value", "cycles_per_group"),
    )
    print_table(
        f"Weight formats (bits per weight at {WEIGHT_CHANNELS} input channels)",
        ("method", "parameters", "bits per weight", "source"),
        _rows(weight, "bits_per_weight"),
    )


@app.command(short_help="Compare activation formats on a trace.")
def compare(
    trace: Annotated[str, typer.Option("--trace", metavar="FILE|DIR", help="A captured trace, or a folder of them.")],
    plot: Annotated[
        Path | None, typer.Option("--plot", metavar="FILE", help="Draw ratio against storage (.png, .svg, .pdf).")
    ] = None,
    json: JsonOption = None,
) -> None:
    """Compare all activation formats on captured activations: signal-to-noise ratio, bits per value, cycles."""
    from ..formats.format_comparison import compare_formats, comparison_figure, format_label, load_activations

    require_new_picture("plot", plot)
    comparisons = compare_formats(load_activations(trace))
    if plot is not None:
        comparison_figure(comparisons).savefig(plot, dpi=120)
        note(f"wrote {plot}")
    if json is not None:
        write_json([comparison.record() for comparison in comparisons], json)
        return
    modules = list(comparisons[0].snr_db)
    rows = [
        (
            format_label(c.format),
            f"{c.format.bits_per_value:.3f}",
            c.format.cycles_per_group,
            *("exact" if c.snr_db[m] == float("inf") else f"{c.snr_db[m]:.1f}" for m in modules),
        )
        for c in comparisons
    ]
    print_table(
        f"Activation formats on {trace}",
        ("format", "bits per value", "cycles per 64", *(f"SNR {module} (dB)" for module in modules)),
        rows,
    )


def _rows(records: list[dict[str, Any]], *measures: str) -> list[tuple[str, ...]]:
    """One row a format, its published settings side by side."""
    settings: dict[str, list[dict[str, Any]]] = {}
    for record in records:
        settings.setdefault(record["name"], []).append(record)
    return [
        (
            name,
            ", ".join(f"{key}={_span([r['parameters'][key] for r in group])}" for key in group[0]["parameters"]),
            *(_span([f"{r[measure]:.5g}" for r in group]) for measure in measures),
            group[0]["source"],
        )
        for name, group in settings.items()
    ]


def _span(values: list[Any]) -> str:
    """``7``, ``2|4|8``, or the ends of a longer list: ``1..16``."""
    distinct = list(dict.fromkeys(map(str, values)))
    return "|".join(distinct) if len(distinct) <= 4 else f"{distinct[0]}..{distinct[-1]}"
