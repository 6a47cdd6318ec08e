"""`anda rtl`: write circuits as Verilog, run them on captured traces, map them to gates."""

from pathlib import Path
from typing import Annotated

import typer

from ...files import require_new_file, write_new_file
from ..output import note
from . import check, run, synth, views

app = typer.Typer()
for command, summary in (
    (check.check, "Compare circuits with the format on a trace."),
    (synth.synth, "Area, timing and energy from gates."),
    (run.run, "A GeMM on the accelerator's circuit."),
    (run.cycles, "Its cycles and those of the timing model."),
    (views.waveform, "Draw a group passing through the circuits."),
    (views.lint, "Verilator's warnings for a circuit."),
):
    app.command(short_help=summary)(command)


@app.callback()
def rtl() -> None:
    """Write circuits as Verilog, run them on captured traces and compare bit for bit, or map them to gates."""


@app.command()
def verilog(
    design: Annotated[str, typer.Argument(help="A circuit; an unknown name lists all circuits.")] = "anda-pe",
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="A new file; stdout without it.")] = None,
    lanes: Annotated[int | None, typer.Option("--lanes", help="Number of values in a group.")] = None,
    weight_bits: Annotated[int | None, typer.Option("--weight-bits", help="Bits of a signed weight.")] = None,
    max_mantissa_bits: Annotated[
        int | None, typer.Option("--max-mantissa-bits", help="Largest number of mantissa bits.")
    ] = None,
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
