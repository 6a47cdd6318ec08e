"""`anda rtl`: write circuits as Verilog, run them on captured traces, map them to gates."""

from pathlib import Path
from typing import Annotated

import typer

from ...files import require_new_file, write_new_file
from ..output import JsonOption, note, print_table, write_json
from ..widths import mantissa_widths
from . import run as accelerator
from . import synth
from . import views as circuit_views

app = typer.Typer()
for command, summary in (
    (synth.synth, "Area, timing and energy from gates."),
    (accelerator.run, "A GeMM on the accelerator's circuit."),
    (accelerator.cycles, "Its cycles beside those of the timing model."),
    (circuit_views.waveform, "Draw a group passing through the circuits."),
    (circuit_views.lint, "What Verilator says about a circuit."),
):
    app.command(short_help=summary)(command)


@app.callback()
def rtl() -> None:
    """Write the circuits as Verilog, run them on a captured trace and compare bit for bit, or map them to gates."""


@app.command()
def verilog(
    design: Annotated[str, typer.Argument(help="A circuit; an unknown name lists those that exist.")] = "anda-pe",
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="A new file instead of stdout.")] = None,
    lanes: Annotated[int | None, typer.Option("--lanes", help="Elements per group.")] = None,
    weight_bits: Annotated[int | None, typer.Option("--weight-bits", help="Bits of a signed weight.")] = None,
    max_mantissa_bits: Annotated[int | None, typer.Option("--max-mantissa-bits", help="Largest M.")] = None,
) -> None:
    """Write a circuit as Verilog."""
    from ....rtl import to_verilog

    given = {"lanes": lanes, "weight_bits": weight_bits, "max_mantissa_bits": max_mantissa_bits}
    require_new_file("out", out)
    text = to_verilog(design, **{name: value for name, value in given.items() if value is not None})
    if out is None:
        print(text)
        return
    write_new_file("out", out, text)
    note(f"wrote {out} ({len(text.splitlines())} lines)")


@app.command(short_help="Compare circuits with the format on a trace.")
def check(
    trace: Annotated[Path, typer.Option("--trace", metavar="FILE", help="A captured trace.")],
    m: Annotated[str, typer.Option("--m", metavar="M,M,…", help="Mantissa widths to run.")] = "4,7,11",
    layer: Annotated[int, typer.Option("--layer", help="A captured layer.")] = 0,
    tokens: Annotated[int, typer.Option("--tokens", help="Tokens of the slice.")] = 1,
    outputs: Annotated[int, typer.Option("--outputs", help="Output channels of the slice.")] = 1,
    vcd: Annotated[Path | None, typer.Option("--vcd", metavar="FILE", help="Write the last PE run's waveform.")] = None,
    json: JsonOption = None,
) -> None:
    """Run the PE and a compressor lane on a slice of a trace, and compare with the format bit for bit."""
    from ...circuits.circuit_check import check_circuits, check_records

    for file in (vcd, vcd.with_suffix(".gtkw"), vcd.with_suffix(".sucl")) if vcd else ():
        require_new_file("vcd", file)
    checks = check_circuits(trace, mantissa_widths(m), layer=layer, tokens=tokens, outputs=outputs, vcd=vcd)
    if vcd is not None:
        from ....rtl.simulation.vcd import write_views

        write_views(vcd)
    records = check_records(checks)
    if json is not None:
        write_json(records, json)
    else:
        columns = ("circuit", "module", "m", "compared", "mismatches", "cycles", "predicted_cycles")
        rows = [tuple(record[column] for column in columns) for record in records]
        print_table(f"Circuits on {trace}, layer {layer} (Amaranth's simulator)", columns, rows)
    if any(record["mismatches"] for record in records):
        raise typer.Exit(1)
