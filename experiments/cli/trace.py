"""`anda trace`: capture what enters the GeMMs of a real model, and look into a captured trace."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..files import require_new_file
from .output import JsonOption, note, print_table, write_json
from .widths import mantissa_range

if TYPE_CHECKING:
    from ..formats.plane_statistics import PlaneStatistics

app = typer.Typer()


@app.callback()
def trace() -> None:
    """Capture activations and weights of real layers, or show a captured trace."""


@app.command(short_help="Save what enters the GeMMs of a real model.")
def capture(
    out: Annotated[
        Path, typer.Option("--out", metavar="FILE|DIR", help="A new .safetensors file; with --hf a folder.")
    ],
    model: Annotated[
        str | None, typer.Option("--model", help="The model to run, unless --hf names one: smollm2-135m without it.")
    ] = None,
    hf: Annotated[
        Path | None, typer.Option("--hf", metavar="DIR", help="A Hugging Face checkpoint instead: LLaMA, Mistral, OPT.")
    ] = None,
    layers: Annotated[
        str | None, typer.Option("--layers", metavar="I,J,…", help="Layers to keep: three of them, or all with --hf.")
    ] = None,
    tokens: Annotated[int, typer.Option("--tokens", help="Tokens to run; with --hf, of a block.")] = 64,
    blocks: Annotated[int | None, typer.Option("--blocks", help="Blocks to run, with --hf: 1 without it.")] = None,
    group_size: Annotated[
        int | None, typer.Option("--group-size", help="Weights that share a scale, with --hf: 128 without it.")
    ] = None,
    text: Annotated[str, typer.Option("--text", help="wiki, brown or a text file.")] = "wiki",
    split: Annotated[str, typer.Option("--split", help="calibration or heldout.")] = "calibration",
) -> None:
    """Run a model on real text and save the FP16 activations that enter qkv, o, u and d, with the INT4 weights.

    With --hf, layer by layer into a folder: the model never lies in memory, and a capture that was interrupted goes on
    when the same command runs again.
    """
    from ...formats import InputError
    from ...workloads import capture_trace, load_blocks, load_decoder

    kept = None if layers is None else _layers(layers)
    if hf is not None:
        if model is not None:
            raise InputError("model: --hf already names the model; leave out --model or --hf")
        of_text = (text, split, tokens, 1 if blocks is None else blocks)
        _capture_checkpoint(hf, out, of_text, kept, 128 if group_size is None else group_size)
        return
    for option, given in (("blocks", blocks), ("group_size", group_size)):
        if given is not None:
            raise InputError(f"{option}: applies to checkpoints only; leave it out or give --hf")
    require_new_file("out", out)
    decoder = load_decoder("smollm2-135m" if model is None else model)
    read = load_blocks(decoder.tokenizer, text, split, tokens=max(tokens, 2), blocks=1)
    capture_trace(decoder, read, layers=kept, tokens=tokens).save(out)
    note(f"wrote {out} ({out.stat().st_size / 2**20:.1f} MiB)")


def _capture_checkpoint(
    folder: Path, out: Path, read: tuple[str, str, int, int], layers: list[int] | None, group_size: int
) -> None:
    from ...workloads.traces.capture import CaptureText, capture_checkpoint

    text, split, tokens, blocks = read
    capture_checkpoint(
        folder,
        out,
        CaptureText(text=text, split=split, tokens=tokens, blocks=blocks),
        layers=layers,
        group_size=group_size,
        progress=lambda done, last: note(f"layer {done} of {last}"),
    )
    size = sum(path.stat().st_size for path in out.iterdir())
    note(f"wrote {out} ({size / 2**20:.1f} MiB)")


@app.command(short_help="Show what a trace holds.")
def info(
    file: Annotated[Path, typer.Argument(help="A captured trace: a file or a folder.")],
    json: JsonOption = None,
) -> None:
    """Show what a trace holds: where it comes from, shapes, ranges, and how exponents spread inside groups."""
    from ..formats.trace_summary import summarise_trace

    summary = summarise_trace(file)
    if json is not None:
        write_json(summary, json)
        return
    print_table("Trace", ("", str(file)), [(name, value) for name, value in summary["metadata"].items()])
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


@app.command(short_help="Count what zero-plane skipping would save.")
def planes(
    file: Annotated[Path, typer.Argument(help="A captured trace.")],
    mantissa_bits: Annotated[str, typer.Option("--m", metavar="A-B", help="Mantissa lengths.")] = "4-13",
    rows: Annotated[str, typer.Option("--rows", metavar="I,J,…", help="Tokens of a block.")] = "1,16",
    layers: Annotated[bool, typer.Option("--by-layer", help="Each captured layer, with its zero bits.")] = False,
    json: JsonOption = None,
) -> None:
    """Count the bit-planes that are zero in all tokens of a block: what zero-plane skipping would save."""
    from dataclasses import asdict

    from ..formats.plane_statistics import plane_statistics

    records = plane_statistics(file, mantissa_range("m", mantissa_bits, "4-13"), _numbers("rows", rows, "1,16"), layers)
    if json is not None:
        write_json([asdict(record) for record in records], json)
    elif layers:
        _print_layers(records)
    else:
        _print_planes(records)


def _print_planes(records: list[PlaneStatistics]) -> None:
    modules = list(dict.fromkeys(record.module for record in records))
    rows: dict[tuple[int, int], list[str]] = {}
    for record in records:
        cells = rows.setdefault((record.rows, record.mantissa_bits), [])
        cells.append(f"{record.zero_planes:.3f} ({100 * record.saving:.2f} %)")
    print_table(
        "Zero planes per group (cycles saved)",
        ("tokens of a block", "M", *modules),
        [(*key, *cells) for key, cells in rows.items()],
    )


def _print_layers(records: list[PlaneStatistics]) -> None:
    lengths, blocks = (
        list(dict.fromkeys(values)) for values in zip(*((r.mantissa_bits, r.rows) for r in records), strict=True)
    )
    bits, zeros = {}, {}
    for record in records:
        place = record.layer, record.module
        bits[*place, record.mantissa_bits] = f"{100 * record.zero_bits:.1f} %"
        zeros[*place, record.rows] = f"{record.zero_planes:.3f}"  # of the longest mantissas: they come last
    places = dict.fromkeys((record.layer, record.module) for record in records)
    print_table(
        f"Zero bits of the mantissas, and zero planes of a group of M = {lengths[-1]}",
        ("layer", "module", *(f"M = {m}" for m in lengths), *(f"{rows} token{'s' * (rows > 1)}" for rows in blocks)),
        [(*place, *(bits[*place, m] for m in lengths), *(zeros[*place, rows] for rows in blocks)) for place in places],
    )


def _numbers(name: str, text: str, example: str) -> list[int]:
    from ...formats import InputError

    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise InputError(f"{name}: {text!r} is not a list of numbers; write them as {example}") from None


def _layers(text: str) -> list[int]:
    return _numbers("layers", text, "0,11,29")
