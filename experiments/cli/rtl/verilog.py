"""`anda rtl verilog` and `anda rtl lint`: circuits as Verilog, and Verilator's warnings."""

from typing import Annotated

import typer

from ...options.circuits import LintOptions, VerilogOptions
from ..command import Given, command
from ..output import JsonOption, note, write_json

LanesOption = Annotated[int | None, typer.Option("--lanes", help="Short for --parameter lanes=.")]
WeightBitsOption = Annotated[int | None, typer.Option("--weight-bits", help="Short for --parameter weight_bits=.")]
MantissaBitsOption = Annotated[
    int | None, typer.Option("--max-mantissa-bits", help="Short for --parameter max_mantissa_bits=.")
]


@command(VerilogOptions)
def verilog(
    given: Given,
    *,
    lanes: LanesOption = None,
    weight_bits: WeightBitsOption = None,
    max_mantissa_bits: MantissaBitsOption = None,
    json: JsonOption = None,
) -> None:
    """Write a circuit as Verilog, or a folder with its testbenches and constraints."""
    from ...circuits.verilog_export import export_verilog

    short = {"lanes": lanes, "weight_bits": weight_bits, "max_mantissa_bits": max_mantissa_bits}
    given["parameter"] = {name: value for name, value in short.items() if value is not None} | (
        given["parameter"] or {}
    )
    export = export_verilog(**given)
    if not write_json(export, json) and export.path is None:
        print(export.text)
    for path, text in export.written.items():
        note(f"wrote {path} ({len(text.splitlines())} lines)")


@command(LintOptions)
def lint(given: Given, *, json: JsonOption = None) -> None:
    """Check a circuit's Verilog with Verilator (-Wall); rtl/verilog/lint.vlt gives the reasons for waived warnings."""
    from ....rtl.verilog.lint import lint as warnings_of
    from ...options.result import Record

    warnings = warnings_of(given["design"], **(given["parameter"] or {}))
    found = {"design": given["design"], "warnings": [str(warning) for warning in warnings]}
    if not write_json(Record(found), json):
        print(f"{given['design']}: {len(warnings) or 'no'} warnings")
        for warning in warnings:
            print(f"  {warning}")
    if warnings:
        raise typer.Exit(1)
