"""`anda rtl waveform` and `anda rtl lint`: circuits to look at, and what Verilator says about them."""

from pathlib import Path
from typing import Annotated

import typer

from ...files import require_new_picture
from ..output import note


def waveform(
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="A new .svg, .png or .pdf file.")],
) -> None:
    """Draw a group on its way through a compressor lane and a processing element, cycle by cycle, from a simulation."""
    from ...circuits.waveform_figure import draw_group

    require_new_picture("out", out)
    import matplotlib as mpl

    # the same simulation gives the same file
    with mpl.rc_context({"svg.hashsalt": "anda", "svg.fonttype": "none"}):
        metadata = {} if out.suffix == ".png" else {"Date": None} if out.suffix == ".svg" else {"CreationDate": None}
        draw_group().savefig(out, dpi=160, metadata=metadata)
    note(f"wrote {out}")


def lint(
    design: Annotated[str, typer.Argument(help="A circuit; an unknown name lists those that exist.")] = "anda-pe",
) -> None:
    """Check a circuit's Verilog with Verilator (-Wall); warnings that are waived have their reasons in rtl/verilog/lint.vlt."""
    from ....rtl.verilog.lint import lint as warnings_of

    warnings = warnings_of(design)
    print(f"{design}: {len(warnings) or 'no'} warnings")
    for warning in warnings:
        print(f"  {warning}")
    if warnings:
        raise typer.Exit(1)
