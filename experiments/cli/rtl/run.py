"""`anda rtl run` and `anda rtl cycles`: GeMMs on the accelerator's circuit."""

from pathlib import Path
from typing import Annotated

import typer

from ..output import JsonOption, note, print_table, write_json

SimulatorOption = Annotated[
    str | None,
    typer.Option("--simulator", help="amaranth, cxxrtl or verilator; by default cxxrtl if it is installed."),
]
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


def run(
    m: Annotated[int, typer.Option("--m", help="Mantissa bits of the activations.")] = 7,
    tokens: Annotated[int, typer.Option("--tokens", help="Tokens of the slice.")] = 32,
    k: Annotated[int, typer.Option("--k", help="Input channels of the slice.")] = 256,
    n: Annotated[int, typer.Option("--n", help="Output channels of the slice.")] = 64,
    trace: Annotated[
        Path | None, typer.Option("--trace", metavar="FILE|DIR", help="A captured trace; without it random data.")
    ] = None,
    layer: Annotated[int | None, typer.Option("--layer", help="A captured layer; by default the first.")] = None,
    module: Annotated[str, typer.Option("--module", help="qkv, o, u or d.")] = "qkv",
    result_m: Annotated[
        int | None, typer.Option("--result-m", help="Compress the outputs to this M instead of storing FP16.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Of the random data.")] = 0,
    rows: Annotated[int, typer.Option("--rows", help="Rows of the array: tokens.")] = 4,
    columns: Annotated[int, typer.Option("--columns", help="Columns of the array: output channels.")] = 4,
    latency: Annotated[int, typer.Option("--latency", help="Cycles of the memory's latency.")] = 16,
    reconstruct: Annotated[
        str, typer.Option("--reconstruct", metavar="R", help="truncate, midpoint or nearest.")
    ] = "truncate",
    skip_zero_planes: Annotated[
        bool, typer.Option("--skip-zero-planes", help="Pass over planes that are zero in a whole block of tokens.")
    ] = False,
    simulator: SimulatorOption = None,
    json: JsonOption = None,
) -> None:
    """Run a GeMM on the accelerator's circuit; compare its bits with the format, its cycles with the timing model."""
    from ...circuits.accelerator_run import GemmSlice, default_simulator, run_gemm

    chosen = default_simulator() if simulator is None else simulator
    _tell_time(chosen, rows, columns)
    gemm = GemmSlice(m, tokens, k, n, trace, layer, module, result_m, seed)
    check = run_gemm(
        gemm,
        rows=rows,
        columns=columns,
        latency_cycles=latency,
        simulator=chosen,
        reconstruct=reconstruct,  # pyright: ignore[reportArgumentType]  # run_gemm checks the word
        skip_zero_planes=skip_zero_planes,
    )
    record = check.record()
    if json is not None:
        write_json(record, json)
    else:
        source = f"random data, seed {seed}" if trace is None else str(trace)
        options = [reconstruct] * (reconstruct != "truncate") + ["zero planes skipped"] * skip_zero_planes
        title = f"A GeMM on the accelerator's circuit ({'; '.join([source, *options, chosen])})"
        print_table(title, COLUMNS, [tuple(record[column] for column in COLUMNS)])
    if not check.agrees:
        raise typer.Exit(1)


def cycles(simulator: SimulatorOption = None, json: JsonOption = None) -> None:
    """Run small GeMMs on the accelerator's circuit, and show its cycles beside those of the timing model."""
    from ...circuits.accelerator_run import cycles_table, default_simulator

    checks = cycles_table(default_simulator() if simulator is None else simulator)
    records = [check.record() for check in checks]
    if json is not None:
        write_json(records, json)
    else:
        rows = [tuple(record[column] for column in COLUMNS) for record in records]
        print_table(f"The accelerator's circuit ({checks[0].simulator}) and its timing model", COLUMNS, rows)
    if not all(check.agrees for check in checks):
        raise typer.Exit(1)


def _tell_time(simulator: str, rows: int, columns: int) -> None:
    """Warn of simulators that take long for an array of that size."""
    if simulator == "amaranth" and rows * columns > 4:
        note(
            f"Amaranth's simulator takes minutes for an array of {rows} x {columns}; cxxrtl is faster once it is built"
        )
    if simulator != "amaranth" and rows * columns > 16:
        note(f"building an array of {rows} x {columns} takes a minute or more the first time")
