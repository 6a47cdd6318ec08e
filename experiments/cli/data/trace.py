"""`anda trace`: capture the inputs of the GeMMs of a real model, and inspect a captured trace."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ... import amounts
from ...options.traces import CaptureOptions, PlaneOptions, TraceOptions
from .. import help
from ..command import Given, command
from ..output import JsonOption, note, print_table, write_json

app = help.app()


@app.callback()
def trace() -> None:
    """Capture activations and weights of real layers, or inspect a captured trace."""


@app.command(short_help="Save the inputs of the GeMMs of a real model.", epilog=help.example("capture"))
@command(CaptureOptions)
def capture(given: Given, *, json: JsonOption = None) -> None:
    """Run a model on real text, and save the FP16 activations that enter qkv, o, u and d, and the INT4 weights.

    With --hf, layer by layer into a folder: the whole model is never in memory, and an interrupted capture continues
    when the same command runs again.
    """
    from ...formats.traces import capture_trace
    from ...options.result import Record

    capture_trace(**given, on_layer=lambda done, last: note(f"layer {done} of {last}"))
    out = Path(given["out"])
    size = sum(path.stat().st_size for path in (out.iterdir() if out.is_dir() else [out]))
    note(f"wrote {out} ({amounts.size(size)})")
    write_json(Record({"file": str(out), "bytes": size}), json)


@app.command(short_help="Show the content of a trace.", epilog=help.example("info"))
@command(TraceOptions)
def info(given: Given, *, json: JsonOption = None) -> None:
    """Show the content of a trace: source, shapes, ranges, and the spread of exponents in groups."""
    from ...formats.traces import trace_info

    result = trace_info(**given)
    if write_json(result, json):
        return
    summary = result.to_dict()
    print_table("Trace", ("", given["trace"]), [(name, value) for name, value in summary["metadata"].items()])
    print_table(
        "Activations entering the GeMMs",
        ("layer", "module", "tokens", "channels", "largest", "rms", "zeros %", "mean exponent gap (bits)"),
        [
            (
                a["layer"],
                a["module"],
                a["tokens"],
                a["channels"],
                f"{a['largest']:.4g}",
                f"{a['rms']:.4g}",
                f"{100 * a['zeros']:.2f}",
                f"{a['mean_exponent_gap']:.2f}",
            )
            for a in summary["activations"]
        ],
    )


@app.command(short_help="Count the planes that zero-plane skipping would save.", epilog=help.example("planes"))
@command(PlaneOptions)
def planes(given: Given, *, json: JsonOption = None) -> None:
    """Count the bit-planes that are zero in all tokens of a block: the saving of zero-plane skipping."""
    from ...formats.plane_statistics import trace_planes

    counts = trace_planes(**given)
    if write_json(counts, json):
        return
    if given["by_layer"]:
        _print_layers(counts.rows)
    else:
        _print_planes(counts.rows)


def _print_planes(records: list[dict[str, Any]]) -> None:
    modules = list(dict.fromkeys(record["module"] for record in records))
    rows: dict[tuple[int, int], list[str]] = {}
    for record in records:
        cells = rows.setdefault((record["rows"], record["mantissa_bits"]), [])
        cells.append(f"{record['zero_planes']:.3f} ({100 * record['saving']:.2f} %)")
    print_table(
        "Zero planes per group (cycles saved)",
        ("tokens of a block", "M", *modules),
        [(*key, *cells) for key, cells in rows.items()],
    )


def _print_layers(records: list[dict[str, Any]]) -> None:
    lengths, blocks = (
        list(dict.fromkeys(values)) for values in zip(*((r["mantissa_bits"], r["rows"]) for r in records), strict=True)
    )
    bits, zeros = {}, {}
    for record in records:
        place = record["layer"], record["module"]
        bits[*place, record["mantissa_bits"]] = f"{100 * record['zero_bits']:.1f} %"
        # the last ones are those of the longest mantissas
        zeros[*place, record["rows"]] = f"{record['zero_planes']:.3f}"
    places = dict.fromkeys((record["layer"], record["module"]) for record in records)
    print_table(
        f"Zero bits of the mantissas, and zero planes of a group of M = {lengths[-1]}",
        ("layer", "module", *(f"M = {m}" for m in lengths), *(f"{rows} token{'s' * (rows > 1)}" for rows in blocks)),
        [(*place, *(bits[*place, m] for m in lengths), *(zeros[*place, rows] for rows in blocks)) for place in places],
    )
