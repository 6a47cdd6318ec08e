"""The public function `search`: the fewest mantissa bits within a loss of perplexity."""

from __future__ import annotations

import itertools
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...formats import InputError
from ...formats.checks import check_integer, check_number
from ...formats.named_format import fixed_formats
from ...formats.numeric.alignment import MAX_MANTISSA_BITS
from ...workloads import LanguageModel, Verdict
from ...workloads.models.precision import MIN_MANTISSA_BITS
from ..formats.format_comparison import FormatComparison
from ..formats.machine_comparison import machine_figures
from ..inputs import as_model, as_scored, evaluation_cache
from ..options.parse import several
from ..options.precision import SearchOptions
from ..options.question import question
from ..options.result import Result
from ..parallel.cluster import evaluation_workers
from ..progress import stage
from .loss import Texts
from .plan import SearchPlan, plan_search
from .precision_study import LayerStudy, PrecisionSearch, PrecisionStudy
from .search_space import Numerics

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ...workloads.evaluation.scores import Workers
    from ...workloads.inference.decoder import Hook

_OPTIMUM_FIELDS = (
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


@dataclass(frozen=True)
class Optimum:
    """Best of all precisions of some mantissa bits.

    Attributes
    ----------
    widths
        The mantissa bits.
    study
        The exhaustive search; `PrecisionStudy.best` is the optimum.
    excess_cost
        Cost of the searched precision over the optimum, minus one; negative if the search found a cheaper one outside of
        the range; None if either search found none.
    """

    widths: tuple[int, ...]
    study: PrecisionStudy
    excess_cost: float | None

    def record(self) -> dict[str, Any]:
        """The optimum as JSON values."""
        whole = self.study.record()
        bits = [self.widths[0], self.widths[-1]]
        return {"bits": bits, "excess_cost": self.excess_cost} | {key: whole[key] for key in _OPTIMUM_FIELDS}


@dataclass(frozen=True)
class FoundPrecision(Result):
    """Result of `search`.

    Attributes
    ----------
    study
        The search: each step, the best precision and its loss on the held-out articles.
    optimum
        Result of the exhaustive search; None without ``exhaustive``.
    layers
        A precision for each layer; None without ``per_layer`` or if no precision was within the tolerance.
    plan
        Text that a decision takes at the measured spread; None if it was not planned.
    activations
        Record of the format that was asked for beside Anda; None without ``activations``.
    """

    study: PrecisionStudy
    optimum: Optimum | None = None
    layers: LayerStudy | None = None
    plan: SearchPlan | None = None
    activations: dict[str, Any] | None = None

    def to_dict(self) -> dict[str, Any]:
        """The document that ``anda search --json -`` prints."""
        document = self.study.record()
        if self.optimum is not None:
            document["exhaustive"] = self.optimum.record()
        if self.layers is not None:
            document["per_layer"] = self.layers.record()
        if self.plan is not None:
            document["plan"] = self.plan.record()
        if self.activations is not None:
            document["activations"] = self.activations
        return document

    def records(self) -> list[dict[str, Any]]:
        """One record for each precision that the search evaluated."""
        return [step.record() for step in self.study.history]

    def figure(self) -> Figure:
        """Loss against cost of all steps."""
        from .search_figure import search_figure

        return search_figure(self.study)


@question(SearchOptions)
def search(options: SearchOptions) -> FoundPrecision:
    """Search the mantissa bits of qkv, o, u and d on calibration articles, and test the best on held-out articles.

    Returns
    -------
    FoundPrecision
        The best precision and every step of the search, one row each.

    Raises
    ------
    InputError
        An option is unknown or out of its range, or the model or text was not fetched.
    """
    check_integer("iterations", options.iterations, 1)
    check_number("tolerance", options.tolerance, 0, sys.float_info.max)
    names = (several(options.reconstruct), several(options.group_size), several(options.partial))
    numerics = [Numerics(*own) for own in itertools.product(*names)]
    decoder = as_model(options.model, options)
    with evaluation_workers(options.dask, options.model, decoder, options) as workers:
        return _search(options, decoder, numerics, workers)


def _search(
    options: SearchOptions, decoder: LanguageModel, numerics: list[Numerics], workers: Workers | None
) -> FoundPrecision:
    second = options.second_text
    searching = PrecisionSearch(
        decoder=as_scored(decoder, options),
        texts=_texts(decoder, options.text, options),
        tolerance=options.tolerance,
        objective=options.objective,
        numerics=numerics,
        second=None if second is None else _texts(decoder, second, options),
        cache_dir=evaluation_cache(),
        on_step=options.on_step,
        tolerance_on=options.tolerance_on,
        accept=options.accept,
        workers=workers,
    )
    widths = None if options.exhaustive is None else tuple(several(options.exhaustive))
    if widths is not None:
        if not widths:
            raise InputError("exhaustive: is empty; give at least one width")
        for width in widths:
            check_integer("exhaustive", width, MIN_MANTISSA_BITS, MAX_MANTISSA_BITS)
    other = _other_format(options, searching)
    plan = plan_search(searching.loss) if options.accept == "bound" else None
    if plan is not None:
        print(f"anda: plan: {plan}", file=sys.stderr, flush=True)
        plan.check()
    study = searching.search(options.iterations)
    optimum = layers = None
    if widths is not None:
        optimum = _optimum(searching, study, widths)
    if options.per_layer and study.best is not None:
        with stage("sensitivity of each layer", 8 * decoder.shape.layers) as advance:
            layers = searching.by_layer(study.best, progress=lambda *_: advance(1))
    return FoundPrecision(study, optimum, layers, plan, activations=other)


def _other_format(options: SearchOptions, searching: PrecisionSearch) -> dict[str, Any] | None:
    """The format that is asked for beside Anda: on its machine, and measured on held-out text by the rule of the search."""
    if options.activations is None:
        return None
    (named,) = fixed_formats([options.activations], "activations")
    verdicts: list[Verdict] = []

    def loss_percent(hook: Hook) -> tuple[float, float, int]:
        verdicts.append(searching.loss.heldout(hook))
        loss = verdicts[0].loss
        return 100 * loss.loss, 100 * loss.standard_error, loss.blocks

    (figures,) = machine_figures([named.build()], "anda", searching.decoder.shape, loss_percent)
    record = FormatComparison(named.build(), {}, figures).record()
    return record | {
        "loss_interval_percent": figures.interval_percent,
        "within_tolerance": searching.accepts(verdicts[0]),
    }


def _texts(decoder: LanguageModel, text: str | Path, options: SearchOptions) -> Texts:
    return Texts.load(decoder, str(text), options.tokens, options.blocks)


def _optimum(searching: PrecisionSearch, study: PrecisionStudy, widths: tuple[int, ...]) -> Optimum:
    with stage(f"all precisions of {widths[0]} to {widths[-1]} bits", len(widths) ** 4) as advance:
        searching.on_step = lambda _: advance(1)
        optimum = searching.exhaustive(widths)
    best, found = optimum.best, study.best
    excess = None if best is None or found is None else found.step.cost / best.step.cost - 1
    return Optimum(widths, optimum, excess)
