"""`anda rtl synth`: area, timing and energy of circuits from their gate netlists."""

from pathlib import Path
from typing import Annotated, Any

import typer

from ...options.circuits import SynthesisOptions
from ..command import Given, command
from ..output import JsonOption, note, print_table, write_json

FilesArgument = Annotated[
    list[Path] | None, typer.Argument(metavar="FILE", help="Further files of --liberty, as a shell's * gives them.")
]


@command(SynthesisOptions)
def synth(given: Given, *, files: FilesArgument = None, json: JsonOption = None) -> None:
    """Map circuits to gates; give area, timing and energy on captured activations.

    The gate netlist is simulated first and must agree with the circuit and the number format bit for bit. Energies
    include glitches, with those of cells without delay beside them; wires and clock tree are not included.
    """
    from ...synthesis.jobs import synthesize

    given["liberty"] = _liberty(given, files or [])
    results = synthesize(**given, on_note=note)
    if not write_json(results, json):
        _print(results.documents)


def _liberty(given: Given, files: list[Path]) -> list[Path]:
    """Files after ``--liberty``: the option takes the first, and the shell gives the others as arguments."""
    from ....formats import InputError

    design, liberty = given["design"], [Path(path) for path in given["liberty"] or []]
    if given["all_designs"] and design != "anda-pe":
        files = [Path(design), *files]
    if files and not liberty:
        raise InputError(f"liberty: {files[0]} follows no --liberty; write --liberty {files[0]}")
    if not given["all_designs"] and design.endswith((".lib", ".lib.gz")):
        raise InputError(f"design: {design} is a Liberty file; name the circuit before --liberty")
    return [*liberty, *files]


def _print(documents: list[dict[str, Any]]) -> None:
    library = documents[0]["library"]
    rows = [_row(document, run) for document in documents for run in document["runs"]]
    title = f"{library['name']} {library['corner']}, {library['voltage_v']} V"
    columns = (
        "circuit",
        "cells",
        "area um2",
        "aim ps",
        "critical ps",
        "run",
        "pJ/cycle",
        "idle pJ/cycle",
        "leakage mW",
        "power mW",
        "pJ",
        "pJ zero-delay",
        "per",
    )
    print_table(f"{title}; {documents[0]['not_included']}", columns, rows)


def _row(document: dict[str, Any], run: dict[str, Any]) -> tuple[object, ...]:
    parameters = " ".join(f"{name}={value}" for name, value in document["parameters"].items())
    return (
        f"{document['design']} {parameters}".strip(),
        document["cells"],
        f"{document['area_um2']:.4g}",
        f"{document['clock_ps']:g}",
        f"{document['critical_ps']:.0f}",
        run["run"],
        f"{run['energy_pj_per_cycle']:.4g}",
        _idle(document, run),
        f"{run['leakage_mw']:.3g}",
        f"{run['power_mw']:.4g}",
        f"{run['energy_pj_per_operation']:.4g}",
        f"{run['zero_delay_energy_pj_per_operation']:.4g}",
        run["operation"],
    )


def _idle(document: dict[str, Any], run: dict[str, Any]) -> str:
    """Energy of a cycle with held operands, leakage included; empty for a circuit without clock."""
    if "idle_pj_per_cycle" not in document:
        return ""
    return f"{document['idle_pj_per_cycle'] + run['leakage_mw'] * document['period_ps'] * 1e-3:.4g}"
