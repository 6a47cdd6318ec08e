"""`anda formats`: list the number formats; `anda formats compare`: compare activation formats on a trace."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...options.traces import ComparisonOptions
from .. import help
from ..command import Given, command
from ..output import JsonOption, plot_option, print_table, write_figure, write_json

if TYPE_CHECKING:
    from ...formats.machine_comparison import MachineFigures

PlotOption = Annotated[Path | None, plot_option("ratio against storage")]

app = help.app(invoke_without_command=True)


@app.callback()
def formats(context: typer.Context, json: JsonOption = None) -> None:
    """List every number format with its parameters, bits and source."""
    if context.invoked_subcommand is not None:
        return
    from ...formats.format_comparison import WEIGHT_CHANNELS, list_formats

    found = list_formats()
    if write_json(found, json):
        return
    print_table(
        "Activation formats",
        ("format", "parameters", "bits per value", "cycles per 64", "source"),
        _rows(found.activation, "bits_per_value", "cycles_per_group"),
    )
    print_table(
        f"Weight formats (bits per weight at {WEIGHT_CHANNELS} input channels)",
        ("method", "parameters", "bits per weight", "source"),
        _rows(found.weight, "bits_per_weight"),
    )


@app.command(short_help="Compare activation formats on a trace.", epilog=help.example("compare"))
@command(ComparisonOptions, plugins=True)
def compare(given: Given, *, plot: PlotOption = None, json: JsonOption = None) -> None:
    """Compare activation formats on captured activations (signal-to-noise ratio), on one array (loss, cycles, energy), or both."""
    from ....formats import InputError
    from ...formats.format_comparison import compare_formats, format_label

    if plot is not None and given["trace"] is None:
        raise InputError("plot: shows the signal-to-noise ratio on a trace; give --trace, or leave it out")
    result = compare_formats(**given)
    write_figure(result.figure, plot, dpi=120)
    if write_json(result, json):
        return
    modules = list(result.comparisons[0].snr_db)
    rows = [
        (
            format_label(c.format),
            f"{c.format.bits_per_value:.3f}",
            c.format.cycles_per_group,
            *("exact" if c.snr_db[m] == float("inf") else f"{c.snr_db[m]:.1f}" for m in modules),
            *_machine_cells(c.machine),
        )
        for c in result.comparisons
    ]
    print_table(
        " and ".join(
            ["Activation formats on " + str(given["trace"] or given["arch"])] + given["machine"] * [given["model"]]
        ),
        (
            *("format", "bits per value", "cycles per 64"),
            *(f"SNR {module} (dB)" for module in modules),
            *given["machine"] * MACHINE_COLUMNS,
        ),
        rows,
    )


MACHINE_COLUMNS = ("loss (%)", "± 95 %", "blocks", "cycles", "DRAM MiB", "mJ", "speed", "energy of FP16 / own")


def _machine_cells(found: "MachineFigures | None") -> tuple[str, ...]:
    if found is None:
        return ()
    return (
        f"{found.loss_percent:+.2f}",
        f"{found.interval_percent:.2f}",
        str(found.blocks),
        f"{found.cycles:,}",
        f"{found.dram_bytes / 2**20:,.1f}",
        f"{found.energy_pj / 1e9:.3g}",
        f"{found.speedup:.2f}",
        f"{found.energy_ratio:.2f}",
    )


def _rows(records: list[dict[str, Any]], *measures: str) -> list[tuple[str, ...]]:
    """One row for each format; the cells list the values of its published settings."""
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
