"""`anda rtl check`: circuits and the number format on a trace, bit for bit."""

import typer

from ...options.circuits import CheckOptions
from ..command import Given, command
from ..output import JsonOption, print_table, write_json

COLUMNS = ("circuit", "module", "m", "compared", "mismatches", "cycles", "predicted_cycles")


@command(CheckOptions)
def check(given: Given, *, json: JsonOption = None) -> None:
    """Run a processing element and a compressor lane on a slice of a trace; compare both with the format bit for bit."""
    from ...circuits.circuit_check import check_circuits

    result = check_circuits(**given)
    if not write_json(result, json):
        rows = [tuple(getattr(check, column) for column in COLUMNS) for check in result.checks]
        print_table(f"Circuits on {given['trace']}, layer {given['layer']} (Amaranth's simulator)", COLUMNS, rows)
    if result.mismatches:
        raise typer.Exit(1)
