"""Measurements of the studies, one frame each."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from ...formats import Int4Weights
from ...formats.activations.registry import activation_format
from ...formats.checks import check_choice, check_integer
from ...formats.numeric.alignment import GROUP_SIZE
from ...formats.options import GroupSum
from ...workloads import (
    MODULES,
    AndaActivations,
    FormatActivations,
    Fp16Activations,
    LanguageModel,
    ModuleActivations,
    PairedLoss,
    Precision,
    TextBlocks,
    evaluate,
    evaluator,
    load_decoder,
    paired_loss,
)
from ...workloads.evaluation.scores import ScoreComparison, Scorer, TokenScores, Workers, compare_scores
from ...workloads.inference.decoder import Hook
from ...workloads.models.gemms import FP16_BITS
from ..inputs import TRANSFORMERS, as_model, as_scored, evaluation_cache
from ..options.parse import several
from ..options.precision import StudyOptions
from ..options.question import question
from ..options.result import FrameResult
from ..parallel.cluster import evaluation_workers
from ..precision_search.loss import Texts
from ..precision_search.precision_study import PrecisionSearch
from ..precision_search.search_space import Numerics
from ..progress import Advance, stage
from ..report.points import measure_columns

if TYPE_CHECKING:
    from matplotlib.figure import Figure

GROUP_SIZES = (8, 16, 32, 64, 128)
GROUP_MANTISSA_BITS = range(4, 10)
MODEL_MANTISSA_BITS = range(4, 14)
MODULE_MANTISSA_BITS = range(4, 9)
ARITHMETIC_MANTISSA_BITS = (5, 7, 9)
POSITION_MANTISSA_BITS = (6, 7, 8)
TOLERANCES = {"Anda 0.1 %": 0.001, "Anda 1 %": 0.01}
FORMATS = {"FIGNA": ("figna", {"mantissa_bits": 13}, 13), "VS-Quant": ("vs-quant", {}, 4)}
"""Registered name and parameters of each format, and the mantissa bits that enter a multiplication."""

Row = dict[str, Any]


@dataclass(frozen=True)
class StudyResult(FrameResult):
    """Result of `study`.

    Attributes
    ----------
    name
        Name of the study.
    frame
        One row for each measured point. Columns: ``model``; the varied quantities (``group_size``, ``module``,
        ``mantissa_bits``, or ``method`` and ``precision``); ``loss_percent``, ``standard_error_percent``, ``perplexity``,
        ``tokens``, ``interval_95_percent`` (half of the t interval), ``blocks``, ``block_tokens``, ``kl_nats``,
        ``top1_disagreement_percent``, ``tempered_loss_percent``. ``position`` has ``first_position`` and ``end_position``
        of the tokens of a row. ``table2`` adds ``bops_saving`` (16 over the mean mantissa bits) and ``decision`` (``within`` or
        ``beyond`` the tolerance, or ``undecided``). ``arithmetic`` adds the paired difference from float sums,
        ``difference_percent``, and its standard error.
    """

    name: str

    def to_dict(self) -> list[dict[str, Any]]:
        """The document that ``anda study --json -`` prints."""
        return self.frame.astype(object).where(self.frame.notna(), None).to_dict("records")  # pyright: ignore[reportReturnType]

    def figure(self) -> Figure:
        """Loss against the varied quantity."""
        from .figures import study_figure

        return study_figure(self.name, self.frame)


@question(StudyOptions)
def study(options: StudyOptions) -> StudyResult:
    """Measure the loss of perplexity by group size, mantissa bits, single module, format or type of the circuit's sums.

    Returns
    -------
    StudyResult
        One row for each measured point.

    Raises
    ------
    InputError
        The study, a model, the text or the backend is unknown, or there are too few blocks.
    """
    import pandas as pd

    check_choice("study", options.name, STUDIES)
    check_integer("blocks", options.blocks, 2)
    measure, evaluations = STUDIES[options.name]
    models = several(options.model)
    rows: list[Row] = []
    with stage(f"{options.name} of {len(models)} models", len(models) * evaluations * options.blocks) as advance:
        for model in models:
            decoder = as_model(model, options)
            with evaluation_workers(options.dask, model, decoder, options) as workers:
                rows += measure(_Model(model, decoder, options, advance, workers))
    return StudyResult(pd.DataFrame(rows), options.name)


class _Model:
    """A model, its held-out blocks, and its negative log-likelihoods on them with FP16 activations."""

    def __init__(
        self,
        model: str | Path | LanguageModel,
        decoder: LanguageModel,
        options: StudyOptions,
        advance: Advance,
        workers: Workers | None,
    ) -> None:
        self.options, self._advance = options, advance
        self._folder = Path(model) if isinstance(model, str | Path) else None
        self._cache = evaluation_cache()
        self.decoder, self._workers = decoder, workers
        self.name = self.decoder.shape.name
        self._evaluator = as_scored(self.decoder, options)
        self.heldout = self.blocks("heldout")
        self._scorer = Scorer(self._evaluator, self._cache, workers=workers)
        self.reference = self.scores(Fp16Activations())

    def blocks(self, split: str) -> TextBlocks:
        options = self.options
        return self.decoder.blocks(str(options.text), split, options.tokens, options.blocks)

    def row(self, hook: Hook, **varied: Any) -> Row:
        """Row of a point: the varied quantities and the loss of these activations."""
        comparison = compare_scores(self.scores(hook), self.reference)
        return self.loss_row(comparison.loss, comparison, **varied)

    def rows(self, points: Iterable[tuple[Hook, Row]]) -> Iterator[Row]:
        """Rows of several points, each of activations and the varied quantities."""
        listed = list(points)
        self.prepare(hook for hook, _ in listed)
        for hook, varied in listed:
            yield self.row(hook, **varied)

    def prepare(self, hooks: Iterable[Hook]) -> None:
        """Let the workers, if there are any, evaluate several activations at once."""
        self._scorer.prepare((self.heldout, hook) for hook in hooks)

    def loss_row(self, loss: PairedLoss, comparison: ScoreComparison | None = None, **varied: Any) -> Row:
        return {
            "model": self.name,
            **varied,
            "loss_percent": 100 * loss.loss,
            "standard_error_percent": 100 * loss.standard_error,
            "perplexity": loss.perplexity,
            "tokens": loss.tokens,
            "interval_95_percent": 100 * loss.estimate.half_width(),
            "blocks": loss.blocks,
            "block_tokens": self.options.tokens,
            **measure_columns(comparison),
        }

    def float_weights(self) -> PairedLoss | None:
        """Loss of the file's unrounded weights; None if the model's weights are not rounded."""
        if self._folder is None or not self._folder.exists() or self.options.backend == TRANSFORMERS:
            return None
        original = load_decoder(str(self._folder), group_size=None)
        linears = (linear for layer in original.weights.layers for linear in layer.linears.values())
        if original.sha256 == self.decoder.sha256 or all(isinstance(linear.weights, Int4Weights) for linear in linears):
            return None
        own = evaluator(original, self.options.backend)
        nll = evaluate(own, self.heldout, Fp16Activations(), self._cache)
        return paired_loss(nll, self.reference.nll)

    def search(self, tolerance: float) -> tuple[Precision, float, PairedLoss, str] | None:
        """Best precision of a search, its saving of bit operations, and its loss and decision on the held-out blocks."""
        texts = Texts(self.blocks("calibration"), self.heldout)
        study = PrecisionSearch(
            self._evaluator, texts, tolerance, cache_dir=self._cache, accept="measured", workers=self._workers
        ).search()
        if study.best is None or study.heldout is None:
            return None
        return study.best.precision, study.best.bops_saving, study.heldout.loss, study.heldout.decision

    def scores(self, hook: Hook) -> TokenScores:
        return self._scorer.score(self.heldout, hook, progress=lambda *_: self._advance(1))


def _uniform(bits: int, group_size: int = GROUP_SIZE) -> AndaActivations:
    return AndaActivations(Precision.uniform(bits), group_size=group_size)


def _fig5(model: _Model) -> Iterator[Row]:
    points = itertools.product(GROUP_SIZES, GROUP_MANTISSA_BITS)
    return model.rows((_uniform(bits, size), {"group_size": size, "mantissa_bits": bits}) for size, bits in points)


def _fig6(model: _Model) -> Iterator[Row]:
    return model.rows((_uniform(bits), {"mantissa_bits": bits}) for bits in MODEL_MANTISSA_BITS)


def _fig7(model: _Model) -> Iterator[Row]:
    return model.rows(
        (ModuleActivations(Fp16Activations(), {module: _uniform(bits)}), {"module": module, "mantissa_bits": bits})
        for module, bits in itertools.product(MODULES, MODULE_MANTISSA_BITS)
    )


def _arithmetic(model: _Model) -> Iterator[Row]:
    for bits in ARITHMETIC_MANTISSA_BITS:
        precision = Precision.uniform(bits)
        fast = model.scores(AndaActivations(precision)).nll
        for sums in get_args(GroupSum):
            hook = Numerics(partial=sums).activations(precision)
            change = paired_loss(model.scores(hook).nll, fast)
            yield model.row(hook, sums=sums, mantissa_bits=bits) | {
                "difference_percent": 100 * change.loss,
                "difference_standard_error_percent": 100 * change.standard_error,
            }


def _position(model: _Model) -> Iterator[Row]:
    """Loss of the tokens at positions from 1, 64, 128, 256, ... on, up to the next of these."""
    length = model.options.tokens
    bounds = [1, *itertools.takewhile(lambda bound: bound < length, (64 * 2**i for i in range(32))), length]
    model.prepare(_uniform(bits) for bits in POSITION_MANTISSA_BITS)
    for bits in POSITION_MANTISSA_BITS:
        scores = model.scores(_uniform(bits))
        for first, end in itertools.pairwise(bounds):
            part = slice(first - 1, end - 1)
            loss = paired_loss(scores.nll[:, part], model.reference.nll[:, part])
            yield model.loss_row(loss, mantissa_bits=bits, first_position=first, end_position=end)


def _table2(model: _Model) -> Iterator[Row]:
    def varied(method: str, saving: float, precision: Precision | None = None, decision: str | None = None) -> Row:
        text = None if precision is None else str(precision)
        return {"method": method, "precision": text, "bops_saving": saving, "decision": decision}

    if original := model.float_weights():
        yield model.loss_row(original, **varied("FP16 weights", 1.0))
    yield model.row(Fp16Activations(), **varied("INT4 weights only", 1.0))
    for method, (name, parameters, bits) in FORMATS.items():
        hook = FormatActivations(activation_format(name, **parameters))
        yield model.row(hook, **varied(method, FP16_BITS / bits))
    for method, tolerance in TOLERANCES.items():
        if found := model.search(tolerance):
            precision, saving, loss, decision = found
            yield model.loss_row(loss, **varied(method, saving, precision, decision))


STUDIES: dict[str, tuple[Callable[[_Model], Iterator[Row]], int]] = {
    "fig5": (_fig5, 1 + len(GROUP_SIZES) * len(GROUP_MANTISSA_BITS)),
    "fig6": (_fig6, 1 + len(MODEL_MANTISSA_BITS)),
    "fig7": (_fig7, 1 + len(MODULES) * len(MODULE_MANTISSA_BITS)),
    "table2": (_table2, 2 + len(FORMATS)),
    "arithmetic": (_arithmetic, 1 + len(ARITHMETIC_MANTISSA_BITS) * (1 + 2 * len(get_args(GroupSum)))),
    "position": (_position, 1 + len(POSITION_MANTISSA_BITS)),
}
"""Each study with its evaluations of all blocks, the reference included; searches are not counted."""
