"""`anda quantize`: quantise the weights of a real model, and measure size and perplexity."""

from typing import TYPE_CHECKING

from ...options.reports import QuantizationOptions
from ..command import Given, command
from ..output import JsonOption, note, print_table, write_json

if TYPE_CHECKING:
    from ...formats.quantize import QuantizationResult

COLUMNS = ("method", "parameters", "bits by formula", "bits by bytes", "perplexity", "loss %", "± %")


@command(QuantizationOptions, plugins=True)
def quantize(given: Given, *, json: JsonOption = None) -> None:
    """Quantise all linear layers of a model; print bits per weight and perplexity, and write a folder if asked to."""
    from ...formats.quantize import quantize as answer

    answers = answer(**given)
    if given["out"] is not None:
        note(f"wrote {given['out']}")
    if write_json(answers, json):
        return
    results = answers.results
    as_given = f"perplexity as given {results[0].loss.reference_perplexity:.3f}"
    text = f"{given['blocks']} held-out blocks of {given['tokens']} tokens, ± half the 95 % t interval"
    print_table(f"Weights of {answers.model}, {text}, {as_given}", COLUMNS, [_row(result) for result in results])


def _row(result: "QuantizationResult") -> tuple[str, ...]:
    return (
        result.method,
        " ".join(f"{name}={value}" for name, value in result.parameters.items()),
        f"{result.bits_by_formula:.3f}",
        "" if result.bits_by_bytes is None else f"{result.bits_by_bytes:.3f}",
        f"{result.loss.perplexity:.3f}",
        f"{100 * result.loss.loss:+.2f}",
        f"{100 * result.loss.estimate.half_width():.2f}",
    )
