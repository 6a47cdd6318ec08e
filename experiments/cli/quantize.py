"""`anda quantize`: quantise the weights of a real model, and measure size and perplexity."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .output import JsonOption, note, print_table, write_json

if TYPE_CHECKING:
    from ..formats.quantize import QuantizationResult


COLUMNS = ("method", "parameters", "bits by formula", "bits by bytes", "perplexity", "loss %", "± %")


def quantize(
    method: Annotated[
        list[str],
        typer.Option(
            "--method",
            metavar="NAME[:PARAMETER=VALUE,…]",
            help="rtn, q4_1, q8_0, gptq, kmeans, squeezellm, spqr or illm, as in spqr:group_size=8,threshold=0.5; may be repeated.",
        ),
    ],
    model: Annotated[str, typer.Option("--model", help="The model to quantise.")] = "smollm2-135m",
    bits: Annotated[
        list[int] | None, typer.Option("--bits", metavar="BITS", help="Width of a code; may be repeated.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", metavar="DIR", help="A new folder for the weights.")] = None,
    blocks: Annotated[int, typer.Option("--blocks", help="Held-out blocks to measure on.")] = 16,
    calibration_blocks: Annotated[int, typer.Option("--calibration-blocks", help="Blocks for Hessians.")] = 24,
    fisher_blocks: Annotated[int, typer.Option("--fisher-blocks", help="Blocks for Fisher information.")] = 12,
    tokens: Annotated[int, typer.Option("--tokens", help="Length of a block.")] = 512,
    sink_weight: Annotated[
        float, typer.Option("--sink-weight", help="Tokens that a block's first one counts for in q, k and v's Hessian.")
    ] = 128,
    json: JsonOption = None,
) -> None:
    """Quantise all linear layers of a model; print bits per weight and perplexity, and write a folder if asked to."""
    from ...formats import InputError
    from ...workloads import cache_dir, load_decoder
    from ..formats.quantize import QuantizationStudy, StudyTexts, parse_methods
    from ..progress import stage

    methods = parse_methods(method, bits or [])
    if out is not None and len(methods) > 1:
        raise InputError(f"out: holds one model, but {len(methods)} are asked for; name one method and one --bits")
    if out is not None and out.exists():
        raise InputError(f"out: {out} exists and is not overwritten; name another folder")
    decoder = load_decoder(model)
    texts = StudyTexts.load(decoder, calibration_blocks, fisher_blocks, blocks, tokens)
    study = QuantizationStudy(decoder, texts, sink_weight, cache_dir() / "evaluations", stage)
    results = [study.run(method_, out) for method_ in methods]
    if out is not None:
        note(f"wrote {out}")
    if json is not None:
        write_json([result.record() for result in results], json)
        return
    as_given = f"perplexity as given {results[0].loss.reference_perplexity:.3f}"
    title = f"Weights of {decoder.shape.name}, {blocks} held-out blocks of {tokens} tokens, {as_given}"
    print_table(title, COLUMNS, [_row(result) for result in results])


def _row(result: "QuantizationResult") -> tuple[str, ...]:
    return (
        result.method,
        " ".join(f"{name}={value}" for name, value in result.parameters.items()),
        f"{result.bits_by_formula:.3f}",
        "" if result.bits_by_bytes is None else f"{result.bits_by_bytes:.3f}",
        f"{result.loss.perplexity:.3f}",
        f"{100 * result.loss.loss:+.2f}",
        f"{100 * result.loss.standard_error:.2f}",
    )
