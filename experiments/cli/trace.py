"""`anda trace`: capture what enters the GeMMs of a real model, and look into a captured trace."""

from pathlib import Path
from typing import Annotated

import typer

from .output import JsonOption, note, print_table, require_new_file, write_json

app = typer.Typer()


@app.callback()
def trace() -> None:
    """Capture activations and weights of real layers, or show a captured trace."""


@app.command()
def capture(
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="A new .safetensors file.")],
    model: Annotated[str, typer.Option("--model", help="The model to run.")] = "smollm2-135m",
    layers: Annotated[str, typer.Option("--layers", metavar="I,J,…", help="Layers to keep.")] = "0,11,29",
    tokens: Annotated[int, typer.Option("--tokens", help="Tokens to run.")] = 64,
    text: Annotated[str, typer.Option("--text", help="The text to read.")] = "wiki",
    split: Annotated[str, typer.Option("--split", help="calibration or heldout.")] = "calibration",
) -> None:
    """Run a model on real text and save the FP16 activations that enter qkv, o, u and d, with the weights."""
    from ...workloads import capture_trace, load_blocks, load_decoder

    kept = _layers(layers)
    require_new_file("out", out)
    decoder = load_decoder(model)
    blocks = load_blocks(decoder.tokenizer, text, split, tokens=max(tokens, 2), blocks=1)
    capture_trace(decoder, blocks, layers=kept, tokens=tokens).save(out)
    note(f"wrote {out} ({out.stat().st_size / 2**20:.1f} MiB)")


@app.command()
def info(
    file: Annotated[Path, typer.Argument(help="A captured trace.")],
    json: JsonOption = None,
) -> None:
    """Show what a trace holds: where it comes from, shapes, ranges, and how exponents spread inside groups."""
    from ..trace_summary import summarise_trace

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


def _layers(text: str) -> list[int]:
    from ...formats import InputError

    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise InputError(f"layers: {text!r} is not a list of numbers; write them as 0,11,29") from None
