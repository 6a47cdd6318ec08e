"""Tables I and II, Figs. 9 and 14: number formats, precision tuples and their savings."""

from __future__ import annotations

from collections.abc import Iterator

from ....formats.activations.boost import FRACTION_BITS as BOOST_BITS
from ....formats.activations.registry import activation_format_modes
from ....workloads import Precision, bops, bops_saving, model_shape
from ...precision_search.search import SearchProblem
from ...precision_search.search_space import Choice, start_choices
from .comparison import Comparison, FigureResult
from .options import FigureOptions
from .published import DATASET, PrecisionSets, published

REGISTRY = {"VS-Quant": "vs-quant", "Lian et al.": "lian", "Fan et al.": "fan"}
"""Registry names of formats of Table I, if they are not the lower-case name."""
SEARCH_MODEL = "OPT-125M"


def table1(_: FigureOptions) -> FigureResult:
    """Mantissa lengths of the formats, from their encoders here."""
    comparisons = [
        Comparison("table1", "mantissa bits", name, _plain(lengths), _plain(_lengths(name)), "derived")
        for name, _, lengths, _, _ in published()["table1_formats"]
    ]
    notes = (
        "Ours are the lengths of the encoders in formats/, which are built from the formats' own papers; where the table "
        "counts a sign as part of the length, so does this comparison.",
        "Computation style and storage scheme are words; `anda formats` lists bits per value and cycles of each.",
    )
    return FigureResult("table1", "Formats and their mantissa lengths", tuple(comparisons), notes, drawing="lengths")


def _lengths(name: str) -> str:
    """Mantissa lengths of a format, such as ``2/4``, or ``1..16`` for many."""
    key = REGISTRY.get(name, name.lower())
    if key == "boost":
        return str(BOOST_BITS)
    lengths = [int(fmt.parameters["mantissa_bits"]) for fmt in activation_format_modes(key)]
    if key == "figna":
        return str(lengths[0] + 1)  # the table counts the sign; the shorter variants are of the Anda paper itself
    return f"{lengths[0]}..{lengths[-1]}" if len(lengths) > 4 else "/".join(map(str, lengths))


def _plain(lengths: str) -> int | str:
    return int(lengths) if lengths.isdigit() else lengths


def table2_savings(precisions: PrecisionSets) -> Iterator[Comparison]:
    """BOPs savings of precision tuples."""
    data = published()["wikitext2"]
    for dataset, tuples in precisions.sets.items():
        for tolerance, models in tuples.items():
            values = data.get(f"bops_saving_{tolerance}", {}) if dataset == DATASET else {}
            for model, bits in models.items():
                ours = bops_saving(model_shape(model), bits)
                panel = f"BOPs saving at {tolerance} ({dataset})"
                yield Comparison("table2", panel, model, values.get(model), ours, "derived")
    for label, key, bits in (("FIGNA", "bops_saving_figna", 13), ("VS-Quant 4b", "bops_saving_vsquant", 4)):
        ours = bops_saving(model_shape("OPT-1.3B"), Precision.uniform(bits))
        yield Comparison("table2", "BOPs saving, all models", label, data[key], ours, "derived")


def table2_published_perplexities() -> Iterator[Comparison]:
    """Published perplexities; reproducing them needs the original models."""
    for scheme, models in published()["wikitext2"]["perplexity"].items():
        for model, value in models.items():
            yield Comparison("table2", f"WikiText2 perplexity, {scheme}", model, value, None, "unavailable")


def fig9_replay() -> Iterator[Comparison]:
    """Visits of the search in order, if every evaluation has the outcome published for OPT-125M."""
    printed = published()["fig9_opt125m_search_1%"]
    shape = model_shape(SEARCH_MODEL)
    within = {Precision(*map(int, text[:4])) for text in printed if text.endswith("*")}
    problem = SearchProblem[Choice](
        cost=lambda choice: bops(shape, choice.precision),
        loss=lambda choice: 0.0 if choice.precision in within else 1.0,
        tolerance=0.01,
    )
    result = problem.best_first(start_choices(), Choice.neighbours)
    visits = ["".join(map(str, step.candidate.precision)) + "*" * step.best for step in result.history]
    for number, text in enumerate(printed):
        ours = visits[number] if number < len(visits) else "none"
        yield Comparison("fig9", SEARCH_MODEL, f"visit {number + 1}", text, ours, "derived", x=number + 1)


def fig14_published(precisions: PrecisionSets) -> Iterator[Comparison]:
    """Published precision tuples; reproducing them needs the original models."""
    for tolerance, models in precisions.sets[DATASET].items():
        for model, bits in models.items():
            panel = f"precision at {tolerance}"
            yield Comparison("fig14", panel, model, str(bits), None, "unavailable")
