"""`anda rtl synth`: area, timing and energy of circuits from their gate netlists."""

from pathlib import Path
from typing import Annotated, Any

import typer

from ...files import require_new_file
from ..output import JsonOption, note, print_table, write_json
from ..widths import mantissa_widths

DEFAULT_DESIGN = "anda-pe"


def synth(
    design: Annotated[str, typer.Argument(help="A circuit; an unknown name lists those that exist.")] = DEFAULT_DESIGN,
    files: Annotated[
        list[Path] | None, typer.Argument(metavar="FILE", help="Further files of --liberty, as a shell's * gives.")
    ] = None,
    liberty: Annotated[
        list[Path] | None,
        typer.Option(
            "--liberty", metavar="FILE|FOLDER", help="Liberty files or a folder of them; OSU 0.18 um without."
        ),
    ] = None,
    clock_ps: Annotated[str, typer.Option("--clock-ps", metavar="PS,…", help="Clock periods to aim at.")] = "3508",
    m: Annotated[str, typer.Option("--m", metavar="M,M,…", help="Mantissa widths to run.")] = "4,5,6,7,8,9,10,11,12,13",
    parameter: Annotated[
        list[str] | None, typer.Option("--parameter", metavar="NAME=VALUE", help="Of the circuit; repeat.")
    ] = None,
    trace: Annotated[
        Path | None, typer.Option("--trace", metavar="FILE", help="A captured trace; the built-in model's without it.")
    ] = None,
    allowance: Annotated[
        str, typer.Option("--allowance", metavar="NAME,…", help="Add published shares of wires, glitches.")
    ] = "",
    all_designs: Annotated[bool, typer.Option("--all", help="Every circuit; goes on where it was stopped.")] = False,
    slower: Annotated[
        bool, typer.Option("--slower", help="Accept a circuit that misses the clock: figures at the period it needs.")
    ] = False,
    workers: Annotated[int, typer.Option("--workers", metavar="N", help="Processes that work side by side.")] = 1,
    saif: Annotated[
        Path | None, typer.Option("--saif", metavar="FILE", help="Write the activity of the one run to a new file.")
    ] = None,
    netlist: Annotated[
        Path | None, typer.Option("--netlist", metavar="FILE", help="Write the gates as Verilog to a new file.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", metavar="FOLDER", help="Write YAML and Parquet there.")] = None,
    json: JsonOption = None,
) -> None:
    """Map circuits to gates, and give area, timing and energy on captured activations.

    The gate netlist is simulated first and must agree with the circuit and the number format bit for bit. Wires, clock
    tree and glitches are not in the figures.
    """
    from ...synthesis.jobs import Job, run_jobs, write_documents

    require_new_file("saif", saif)
    require_new_file("netlist", netlist)
    job = Job(
        design=None if all_designs else design,
        parameters=_parameters(parameter or []),
        liberty=_liberty(design, files or [], liberty or [], all_designs),
        clocks_ps=_numbers("clock-ps", clock_ps),
        mantissa_bits=mantissa_widths(m),
        trace=trace,
        allowances=[name for name in allowance.split(",") if name],
        out=out,
        slower=slower,
        workers=workers,
        saif=saif,
        netlist=netlist,
    )
    documents = run_jobs(job, note)
    if out is not None:
        for path in write_documents(documents, out):
            note(f"wrote {path}")
    if json is not None:
        write_json(documents, json)
    else:
        _print(documents)


def _liberty(design: str, files: list[Path], liberty: list[Path], all_designs: bool) -> list[Path]:
    """The files after `--liberty`: the option takes the first, and the others arrive as arguments."""
    from ....formats import InputError

    if all_designs and design != DEFAULT_DESIGN:
        files = [Path(design), *files]
    if files and not liberty:
        raise InputError(f"liberty: {files[0]} follows no --liberty; write --liberty {files[0]}")
    if not all_designs and design.endswith((".lib", ".lib.gz")):
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
        "leakage mW",
        "power mW",
        "pJ",
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
        f"{run['leakage_mw']:.3g}",
        f"{run['power_mw']:.4g}",
        f"{run['energy_pj_per_operation']:.4g}",
        run["operation"],
    )


def _parameters(texts: list[str]) -> dict[str, Any]:
    from ....formats import InputError

    found: dict[str, Any] = {}
    for text in texts:
        name, separator, value = text.partition("=")
        if not separator:
            raise InputError(f"parameter: {text!r} has no value; write it as lanes=64")
        plain: dict[str, Any] = {"true": True, "false": False}
        found[name] = int(value) if value.lstrip("-").isdigit() else plain.get(value.lower(), value)
    return found


def _numbers(field: str, text: str) -> list[float]:
    from ....formats import InputError

    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        raise InputError(f"{field}: {text!r} is not a list of numbers; write them as 3508,2000") from None
    if bad := [number for number in numbers if not 1 <= number <= 1e7]:
        raise InputError(f"{field}: {bad[0]:g} is out of range; use 1 to 1e7")
    return numbers
