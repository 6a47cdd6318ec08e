"""`anda search`: the fewest mantissa bits within a loss of perplexity."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from ..options.precision import SearchOptions
from .command import Given, command
from .output import JsonOption, plot_option, write_figure, write_json
from .train import note_limits

if TYPE_CHECKING:
    from ..precision_search.precision_study import PrecisionStudy, StudyStep
    from ..precision_search.run import FoundPrecision

_ROW = "{:>4}  {:<12} {:>10} {:>8} {:>7} {:>7}  {:<10} {}"
PlotOption = Annotated[Path | None, plot_option("the search")]


@command(SearchOptions)
def search(given: Given, *, plot: PlotOption = None, json: JsonOption = None) -> None:
    """Search the mantissa bits of qkv, o, u and d on calibration articles; test the best on held-out articles."""
    from ..precision_search.run import search as answer

    note_limits(given["model"])
    several = any(len(given[name]) > 1 for name in ("reconstruct", "group_size", "partial"))
    found = answer(**given, on_step=_Rows(show_numerics=several) if json is None else None)
    write_figure(found.figure, plot)
    if not write_json(found, json):
        _print_result(found.study)
        _print_optimum(found)
        _print_layers(found)


class _Rows:
    """Prints a row of the table for each finished step."""

    def __init__(self, show_numerics: bool = False) -> None:
        self._number, self._show_numerics = 0, show_numerics

    def __call__(self, step: "StudyStep") -> None:
        if not self._number:
            print(_ROW.format("", "qkv,o,u,d", "BOPs saving", "loss %", "± %", "blocks", "decision", ""))
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
        print(f"No evaluated precision is within {100 * study.tolerance:g} %.")
        return
    numerics = "" if best.numerics == PUBLISHED else f" ({best.numerics})"
    print(f"Best: {best.precision}{numerics}, {best.bops_saving:.2f} times fewer bit operations than FP16.")
    for place, heldout in (("Held-out articles", study.heldout), ("Second text", study.second_heldout)):
        if heldout is not None:
            print(f"{place}: {heldout.loss} after {heldout.blocks} blocks: {_decided(heldout.decision)}.")


def _decided(decision: str) -> str:
    return "undecided, more blocks needed" if decision == "undecided" else decision


def _print_optimum(found: "FoundPrecision") -> None:
    optimum = found.optimum
    if optimum is None:
        return
    best, widths, excess = optimum.study.best, optimum.widths, optimum.excess_cost
    answer = "none is within the tolerance" if best is None else f"the optimum is {best.precision}"
    gap = "" if excess is None else f"; the search ended {100 * excess:.1f} % above it"
    evaluated = f"the cheapest first ({len(optimum.study.history)})"
    print(f"All precisions of {widths[0]} to {widths[-1]} bits, {evaluated}: {answer}{gap}.")


def _print_layers(found: "FoundPrecision") -> None:
    layers, start = found.layers, found.study.best
    if layers is None or start is None:
        return
    gain = 100 * (1 - layers.cost / start.step.cost)
    print(f"By layer: {layers.bops_saving:.2f} times fewer bit operations, {gain:.1f} % less than {start.precision}.")
    print(f"Calibration {layers.verdict.loss}; held-out {layers.heldout.loss}: {_decided(layers.heldout.decision)}.")
    for layer, precision in enumerate(layers.layers):
        print(f"  layer {layer:>2}: {precision}")
