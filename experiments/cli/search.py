"""`anda search`: the fewest mantissa bits within a loss of perplexity."""

from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from ..options.precision import SearchOptions
from .command import Given, command
from .output import JsonOption, plot_option, write_figure, write_json
from .train import note_limits

if TYPE_CHECKING:
    from ...workloads.evaluation.scores import ScoreComparison
    from ..precision_search.precision_study import PrecisionStudy, StudyStep
    from ..precision_search.run import FoundPrecision

_ROW = "{:>4}  {:<12} {:>10} {:>8} {:>7} {:>7}  {:<10} {:<5}"
_MEASURES = " {:>9} {:>8} {:>10}"
PlotOption = Annotated[Path | None, plot_option("the search")]


@command(SearchOptions, plugins=True)
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
        _print_format(found)


class _Rows:
    """Prints a row of the table for each finished step."""

    def __init__(self, show_numerics: bool = False) -> None:
        self._number, self._show_numerics, self._form = 0, show_numerics, _ROW

    def __call__(self, step: "StudyStep") -> None:
        if not self._number:
            measured = step.verdict.comparison is not None and isfinite(step.verdict.comparison.kl.value)
            self._form = _ROW + _MEASURES * measured
            titles = ("", "qkv,o,u,d", "BOPs saving", "loss %", "± %", "blocks", "decision", "")
            print(self._form.format(*titles, "KL nats", "top-1 %", "tempered %").rstrip())
        self._number += 1
        loss = step.verdict.loss
        remarks = ["best"] if step.step.best else []
        remarks += [str(step.numerics)] if self._show_numerics else []
        if step.verdict.decision == "within" and step.verdict.second_opinion != "within":
            remarks.append(f"second opinion {step.verdict.second_opinion}")
        row = self._form.format(
            self._number,
            str(step.precision),
            f"{step.bops_saving:.3f}",
            f"{100 * loss.loss:+.2f}",
            f"{100 * loss.estimate.half_width():.2f}",
            step.verdict.blocks,
            step.verdict.decision,
            "; ".join(remarks),
            *_measure_texts(step.verdict.comparison),
        )
        print(row.rstrip(), flush=True)
        for warning in step.verdict.warnings:
            print(f"      {warning}", flush=True)


def _measure_texts(comparison: "ScoreComparison | None") -> tuple[str, ...]:
    if comparison is None:
        return ("",) * 3
    return (
        f"{comparison.kl.value:.5f}",
        f"{100 * comparison.top1.value:.2f}",
        f"{100 * comparison.tempered.value:+.2f}",
    )


def _print_result(study: "PrecisionStudy") -> None:
    from ..precision_search.search_space import PUBLISHED

    best = study.best
    limit = _limit(study)
    if study.waiting:
        waiting = f"{study.waiting} {'cheaper ' * any(step.step.best for step in study.history)}precisions waiting"
        print(f"Stopped after {len(study.history)} evaluations with {waiting}; raise --iterations.")
    for step, verdict in study.rejected:
        print(f"{step.precision} failed on held-out text: {verdict.loss} after {verdict.blocks} blocks.")
    if best is None or study.heldout is None:
        if study.rejected:
            print(f"None of the {len(study.rejected)} cheapest accepted precisions passed; no more are tested.")
        print(f"No evaluated precision is within {limit}.")
        return
    numerics = "" if best.numerics == PUBLISHED else f" ({best.numerics})"
    print(f"Best: {best.precision}{numerics}, {best.bops_saving:.2f} times fewer bit operations than FP16.")
    for place, heldout in (("Held-out articles", study.heldout), ("Second text", study.second_heldout)):
        if heldout is not None:
            print(f"{place}: {heldout.loss} after {heldout.blocks} blocks: {_decided(heldout.decision)}.")


def _limit(study: "PrecisionStudy") -> str:
    """The tolerance with its unit."""
    if study.tolerance_on == "kl":
        return f"{study.tolerance:g} nats of KL divergence"
    words = {"loss": "", "tempered": " of tempered loss", "top1": " of top-1 disagreement"}
    return f"{100 * study.tolerance:g} %{words[study.tolerance_on]}"


def _decided(decision: str) -> str:
    return "undecided, more blocks needed" if decision == "undecided" else decision


def _print_optimum(found: "FoundPrecision") -> None:
    optimum = found.optimum
    if optimum is None:
        return
    best, widths, excess = optimum.study.best, optimum.widths, optimum.excess_cost
    answer = "none is within the tolerance" if best is None else f"the optimum is {best.precision}"
    if excess is None:
        gap = ""
    elif excess < 0:
        gap = f"; the search found one {-100 * excess:.1f} % cheaper, outside of this range"
    else:
        gap = f"; the search ended {100 * excess:.1f} % above it"
    evaluated = f"the cheapest first ({len(optimum.study.history)})"
    print(f"All precisions of {widths[0]} to {widths[-1]} bits, {evaluated}: {answer}{gap}.")


def _print_format(found: "FoundPrecision") -> None:
    other = found.activations
    if other is None:
        return
    verdict = "within" if other["within_tolerance"] else "not within"
    print(
        f"{other['name']}, {other['bits_per_value']:g} bits a value: loss {other['loss_percent']:+.2f} % "
        f"± {other['loss_interval_percent']:.2f} (95 % t interval, {other['blocks']} blocks), {verdict} the tolerance; "
        f"{other['speedup']:.2f} times faster than FP16 on anda, "
        f"energy of FP16 over its own {other['energy_ratio']:.2f}."
    )


def _print_layers(found: "FoundPrecision") -> None:
    layers, start = found.layers, found.study.best
    if layers is None or start is None:
        return
    gain = 100 * (1 - layers.cost / start.step.cost)
    print(f"By layer: {layers.bops_saving:.2f} times fewer bit operations, {gain:.1f} % less than {start.precision}.")
    print(f"Calibration {layers.verdict.loss}; held-out {layers.heldout.loss}: {_decided(layers.heldout.decision)}.")
    for layer, precision in enumerate(layers.layers):
        print(f"  layer {layer:>2}: {precision}")
