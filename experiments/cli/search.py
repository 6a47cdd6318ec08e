"""`anda search`: the fewest mantissa bits within a loss of perplexity."""

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..files import require_new_picture
from .output import JsonOption, note, write_json
from .train import note_limits
from .widths import mantissa_range

if TYPE_CHECKING:
    from ..precision_search.precision_study import LayerStudy, PrecisionSearch, PrecisionStudy, StudyStep
    from ..precision_search.search_space import Numerics

_ROW = "{:>4}  {:<12} {:>10} {:>8} {:>7} {:>7}  {:<10} {}"


def search(
    model: Annotated[
        str, typer.Option("--model", help="A model with weights, or a checkpoint folder.")
    ] = "smollm2-135m",
    tolerance: Annotated[float, typer.Option("--tolerance", help="Relative increase of the perplexity.")] = 0.01,
    text: Annotated[str, typer.Option("--text", help="wiki, brown or a text file.")] = "wiki",
    second_text: Annotated[
        str | None, typer.Option("--second-text", help="Another text that must be within the tolerance too.")
    ] = None,
    blocks: Annotated[int, typer.Option("--blocks", help="Blocks per split, at most; an easy decision takes 8.")] = 64,
    tokens: Annotated[int, typer.Option("--tokens", help="Length of a block.")] = 512,
    iterations: Annotated[
        int, typer.Option("--iterations", help="Precisions to evaluate, at most, for each of the numerics.")
    ] = 32,
    objective: Annotated[str, typer.Option("--objective", help="bops, energy or latency (simulated).")] = "bops",
    reconstruct: Annotated[
        str,
        typer.Option(
            "--reconstruct", metavar="R,…", help="truncate, midpoint, nearest; several are searched together."
        ),
    ] = "truncate",
    group_size: Annotated[
        str, typer.Option("--group-size", metavar="G,…", help="Values that share an exponent: 8 to 128.")
    ] = "64",
    partial: Annotated[
        str, typer.Option("--partial", metavar="P,…", help="Group sums: float (fast), fp16 or fp32 (bit-exact).")
    ] = "float",
    exhaustive: Annotated[
        str | None, typer.Option("--exhaustive", metavar="LO-HI", help="Also find the optimum among LO to HI bits.")
    ] = None,
    per_layer: Annotated[bool, typer.Option("--per-layer", help="Then give each layer its own precision.")] = False,
    backend: Annotated[str, typer.Option("--backend", help="numpy or torch.")] = "numpy",
    plot: Annotated[
        Path | None, typer.Option("--plot", metavar="FILE", help="Draw the search (.png, .svg, .pdf).")
    ] = None,
    json: JsonOption = None,
) -> None:
    """Search the mantissa bits of qkv, o, u and d on calibration articles; check the best on held-out ones."""
    from ...workloads import cache_dir, evaluator, load_decoder
    from ..precision_search.loss import Texts
    from ..precision_search.precision_study import PrecisionSearch

    require_new_picture("plot", plot)
    widths = None if exhaustive is None else mantissa_range("exhaustive", exhaustive, "4-8")
    numerics = _numerics(reconstruct, group_size, partial)
    decoder = load_decoder(model)
    note_limits(model)
    searching = PrecisionSearch(
        decoder=evaluator(decoder, backend),
        texts=Texts.load(decoder.tokenizer, text, tokens, blocks),
        tolerance=tolerance,
        objective=objective,  # pyright: ignore[reportArgumentType]  # prepare_cost checks it
        numerics=numerics,
        second=None if second_text is None else Texts.load(decoder.tokenizer, second_text, tokens, blocks),
        cache_dir=cache_dir() / "evaluations",
        on_step=_Rows(show_numerics=len(numerics) > 1) if json is None else None,
    )
    record = _run(searching, iterations, plot, widths, per_layer, quiet=json is not None)
    if json is not None:
        write_json(record, json)


def _run(
    searching: "PrecisionSearch", iterations: int, plot: Path | None, widths: range | None, per_layer: bool, quiet: bool
) -> dict[str, Any]:
    from ..precision_search.search_figure import search_figure
    from ..progress import stage

    study = searching.search(iterations)
    if plot is not None:
        search_figure(study).savefig(plot)
        note(f"wrote {plot}")
    if not quiet:
        _print_result(study)
    record = study.record()
    if widths is not None:
        record["exhaustive"] = _exhaustive(searching, study, widths, quiet)
    if per_layer and study.best is not None:
        with stage("sensitivity of each layer", 8 * searching.decoder.shape.layers) as advance:
            layers = searching.by_layer(study.best, progress=lambda *_: advance(1))
        record["per_layer"] = layers.record()
        if not quiet:
            _print_layers(layers, study.best)
    return record


def _numerics(reconstruct: str, group_size: str, partial: str) -> "list[Numerics]":
    from ...formats import InputError
    from ..precision_search.search_space import Numerics

    try:
        sizes = [int(size) for size in group_size.split(",")]
    except ValueError:
        raise InputError(f"group_size: {group_size!r} is not a list of numbers; write them as 32,64") from None
    combinations = itertools.product(reconstruct.split(","), sizes, partial.split(","))
    # Numerics checks the words
    return [Numerics(*own) for own in combinations]  # pyright: ignore[reportArgumentType]


class _Rows:
    """The live table: prints a step when it is finished."""

    def __init__(self, show_numerics: bool = False) -> None:
        self._number, self._show_numerics = 0, show_numerics

    def _print_header(self) -> None:
        print(_ROW.format("", "qkv,o,u,d", "BOPs saving", "loss %", "± %", "blocks", "decision", ""))

    def __call__(self, step: "StudyStep") -> None:
        if not self._number:
            self._print_header()
        self._number += 1
        loss = step.verdict.loss
        remarks = ["best"] if step.step.best else []
        remarks += [str(step.numerics)] if self._show_numerics else []
        row = _ROW.format(
            self._number,
            str(step.precision),
            f"{step.bops_saving:.3f}",
            f"{100 * loss.loss:+.2f}",
            f"{100 * loss.standard_error:.2f}",
            step.verdict.blocks,
            step.verdict.decision,
            "; ".join(remarks),
        )
        print(row, flush=True)


def _print_result(study: "PrecisionStudy") -> None:
    from ..precision_search.search_space import PUBLISHED

    best = study.best
    if best is None or study.heldout is None:
        print(f"No precision visited is within {100 * study.tolerance:g} %.")
        return
    numerics = "" if best.numerics == PUBLISHED else f" ({best.numerics})"
    print(f"Best: {best.precision}{numerics}, {best.bops_saving:.2f} times fewer bit operations than FP16.")
    for place, heldout in (("Held-out articles", study.heldout), ("Second text", study.second_heldout)):
        if heldout is not None:
            print(f"{place}: {heldout.loss} after {heldout.blocks} blocks: {_decided(heldout.decision)}.")


def _decided(decision: str) -> str:
    return "undecided, more blocks needed" if decision == "undecided" else decision


def _exhaustive(
    searching: "PrecisionSearch", study: "PrecisionStudy", widths: Sequence[int], quiet: bool
) -> dict[str, Any]:
    """The optimum of the range, and how far above it the search ended."""
    from ..progress import stage

    with stage(f"all precisions of {widths[0]} to {widths[-1]} bits", len(widths) ** 4) as advance:
        searching.on_step = lambda _: advance(1)
        optimum = searching.exhaustive(widths)
    best, found = optimum.best, study.best
    excess = None if best is None or found is None else found.step.cost / best.step.cost - 1
    if not quiet:
        told = "nothing within the tolerance" if best is None else f"the optimum is {best.precision}"
        gap = "" if excess is None else f"; the search ended {100 * excess:.1f} % above it"
        print(
            f"All precisions of {widths[0]} to {widths[-1]} bits, the cheapest first ({len(optimum.history)}): {told}{gap}."
        )
    whole = optimum.record()
    kept = (
        "best",
        "numerics",
        "cost",
        "loss",
        "loss_standard_error",
        "decision",
        "bops_saving",
        "heldout",
        "iterations",
    )
    return {"bits": [widths[0], widths[-1]], "excess_cost": excess} | {key: whole[key] for key in kept}


def _print_layers(study: "LayerStudy", start: "StudyStep") -> None:
    gain = 100 * (1 - study.cost / start.step.cost)
    print(f"By layer: {study.bops_saving:.2f} times fewer bit operations, {gain:.1f} % less than {start.precision}.")
    print(f"Calibration {study.verdict.loss}; held-out {study.heldout.loss}: {_decided(study.heldout.decision)}.")
    for layer, precision in enumerate(study.layers):
        print(f"  layer {layer:>2}: {precision}")
