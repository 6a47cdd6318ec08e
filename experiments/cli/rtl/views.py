"""`anda rtl waveform`: a drawing of circuits at work."""

from pathlib import Path
from typing import Annotated

import typer

from ...files import require_new_picture
from ..output import JsonOption, note, write_json


def waveform(
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="A new .svg, .png or .pdf file.")],
    json: JsonOption = None,
) -> None:
    """Simulate a group of values in a compressor lane and a processing element, and draw it cycle by cycle."""
    from ...circuits.waveform_figure import draw_group
    from ...options.result import Record

    require_new_picture("out", out)
    import matplotlib as mpl

    # the same simulation must give the same bytes
    with mpl.rc_context({"svg.hashsalt": "anda", "svg.fonttype": "none"}):
        metadata = {} if out.suffix == ".png" else {"Date": None} if out.suffix == ".svg" else {"CreationDate": None}
        draw_group().savefig(out, dpi=160, metadata=metadata)
    note(f"wrote {out}")
    write_json(Record({"file": str(out)}), json)
