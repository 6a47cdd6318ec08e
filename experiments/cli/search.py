"""`anda search`: the fewest mantissa bits within a loss of perplexity."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .output import JsonOption, note, require_new_file, write_json

if TYPE_CHECKING:
    from ..precision_study import StudyStep

_ROW = "{:>4}  {:<12} {:>10} {:>8} {:>7} {:>7}  {:<10} {}"


def search(
    model: Annotated[str, typer.Option("--model", help="A model with weights.")] = "smollm2-135m",
    tolerance: Annotated[float, typer.Option("--tolerance", help="Relative increase of the perplexity.")] = 0.01,
    text: Annotated[str, typer.Option("--text", help="wiki or brown.")] = "wiki",
    blocks: Annotated[int, typer.Option("--blocks", help="Blocks per split, at most; an easy decision takes 8.")] = 64,
    tokens: Annotated[int, typer.Option("--tokens", help="Length of a block.")] = 512,
    iterations: Annotated[int, typer.Option("--iterations", help="Precisions to evaluate, at most.")] = 32,
    plot: Annotated[Path | None, typer.Option("--plot", metavar="FILE", help="A new figure, PNG or SVG.")] = None,
    json: JsonOption = None,
) -> None:
    """Search the mantissa bits of qkv, o, u and d on calibration articles; check the best on held-out ones."""
    from ...workloads import cache_dir, load_blocks, load_decoder
    from ..precision_study import search_figure, study_precision

    _check_plot(plot)
    decoder = load_decoder(model)
    calibration, heldout = (
        load_blocks(decoder.tokenizer, text, split, tokens, blocks) for split in ("calibration", "heldout")
    )
    rows = 0

    def show(step: "StudyStep") -> None:
        nonlocal rows
        rows += 1
        if json is None:
            print(_row(rows, step), flush=True)

    if json is None:
        print(_ROW.format("", "qkv,o,u,d", "BOPs saving", "loss %", "± %", "blocks", "decision", ""))
    study = study_precision(decoder, calibration, heldout, tolerance, iterations, cache_dir() / "evaluations", show)
    if plot is not None:
        search_figure(study).savefig(plot)
        note(f"wrote {plot}")
    if json is not None:
        write_json(study.record(), json)
        return
    if study.best is None or study.heldout is None:
        print(f"No precision visited is within {100 * tolerance:g} %.")
        return
    print(f"Best: {study.best.step.precision}, {study.best.bops_saving:.2f} times fewer bit operations than FP16.")
    print(f"Held-out articles: {study.heldout.loss} after {study.heldout.blocks} blocks: {study.heldout.decision}.")


def _check_plot(plot: Path | None) -> None:
    """Refuse, before any work, a figure that could not be written."""
    from ...formats import InputError

    require_new_file("plot", plot)
    if plot is not None and plot.suffix not in (".png", ".svg"):
        raise InputError(f"plot: {plot} is neither PNG nor SVG; name a file that ends in .png or .svg")


def _row(number: int, step: "StudyStep") -> str:
    loss = step.verdict.loss
    return _ROW.format(
        number,
        str(step.step.precision),
        f"{step.bops_saving:.3f}",
        f"{100 * loss.loss:+.2f}",
        f"{100 * loss.standard_error:.2f}",
        step.verdict.blocks,
        step.verdict.decision,
        "best" if step.step.best else "",
    )
