"""`anda rtl run` and `anda rtl cycles`: GeMMs on the accelerator's circuit."""

from typing import TYPE_CHECKING

import typer

from ...options.circuits import AcceleratorOptions, CycleOptions
from ..command import Given, command
from ..output import JsonOption, note, print_table, write_json

if TYPE_CHECKING:
    from ...circuits.accelerator_run import AcceleratorCheck

COLUMNS = (
    "tokens",
    "k",
    "n",
    "m",
    "rows",
    "columns",
    "lanes",
    "memory_latency_cycles",
    "compared",
    "mismatches",
    "records",
    "differing_records",
    "cycles",
    "predicted_cycles",
)


@command(AcceleratorOptions)
def run(given: Given, *, json: JsonOption = None) -> None:
    """Run a GeMM on the accelerator's circuit; compare its outputs with the format, its cycles with the timing model."""
    from ...circuits.accelerator_run import default_simulator, run_accelerator

    simulator = given["simulator"] = given["simulator"] or default_simulator()
    _note_time(simulator, given["rows"], given["columns"])
    check = run_accelerator(**given)
    if not write_json(check, json):
        source = f"random data, seed {given['seed']}" if given["trace"] is None else given["trace"]
        reconstruct = given["reconstruct"]
        options = [reconstruct] * (reconstruct != "truncate") + ["zero planes skipped"] * given["skip_zero_planes"]
        _print_checks(f"A GeMM on the accelerator's circuit ({'; '.join([source, *options, simulator])})", [check])
    if not check.agrees:
        raise typer.Exit(1)


@command(CycleOptions)
def cycles(given: Given, *, json: JsonOption = None) -> None:
    """Run small GeMMs on the accelerator's circuit; compare its cycles with those of the timing model."""
    from ...circuits.accelerator_run import accelerator_cycles

    result = accelerator_cycles(**given)
    if not write_json(result, json):
        title = f"The accelerator's circuit ({result.checks[0].simulator}) and its timing model"
        _print_checks(title, result.checks)
    if not result.agrees:
        raise typer.Exit(1)


def _print_checks(title: str, checks: "list[AcceleratorCheck]") -> None:
    documents = [check.to_dict() for check in checks]
    print_table(title, COLUMNS, [tuple(document[column] for column in COLUMNS) for document in documents])


def _note_time(simulator: str, rows: int, columns: int) -> None:
    """Warn of simulators that are slow for an array of this size."""
    if simulator == "amaranth" and rows * columns > 4:
        note(f"Amaranth's simulator needs minutes for an array of {rows} x {columns}; cxxrtl is faster after its build")
    if simulator != "amaranth" and rows * columns > 16:
        note(f"the first build of an array of {rows} x {columns} takes a minute or more")
