"""Perplexity measurements of the main job: each planned precision, paired with FP16 activations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ...formats import InputError
from ...workloads import Fp16Activations, ScoredModel, TextBlocks
from ...workloads.evaluation.scores import ScoreComparison, Scorer, TokenScores, Workers, compare_scores
from ...workloads.inference.decoder import Hook
from ..inputs import evaluation_cache
from ..progress import stage
from .plan import PlannedPoint

Measured: TypeAlias = tuple[PlannedPoint, ScoreComparison]
"""Planned activations and their measured loss."""


TRIAL_TOKENS = 64
"""Tokens on which a format is tried."""


def try_formats(decoder: ScoredModel, blocks: TextBlocks, plan: Sequence[PlannedPoint]) -> None:
    """Run the model on the first tokens in each format, so that one that fails is known before a report is begun.

    Raises
    ------
    InputError
        A format fails.
    """
    for point in plan:
        if point.format is None:
            continue
        try:
            decoder.hidden(blocks.tokens[0, :TRIAL_TOKENS], point.hook)
        except Exception as error:  # a user's class may do anything
            reason = str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {error}"
            raise InputError(
                f"activations: {point.format.text!r} fails on activations of the model ({reason}); correct its class"
            ) from None


def measure_points(
    decoder: ScoredModel, blocks: TextBlocks, plan: Sequence[PlannedPoint], workers: Workers | None = None
) -> list[Measured]:
    """Evaluate FP16 activations on all blocks, and every planned point on its number of blocks."""
    count = len(blocks.tokens)
    parts = [TextBlocks(blocks.tokens[_spread(point.blocks, count)]) for point in plan]
    scorer = Scorer(decoder, evaluation_cache(), workers=workers)
    hooks = [point.hook for point in plan]
    scorer.prepare([(blocks, Fp16Activations()), *zip(parts, hooks, strict=True)])
    work = count + sum(point.blocks for point in plan)
    with stage(f"perplexity of {len(plan)} points and FP16 ({work} blocks)", work) as advance:

        def finished(_done: int, _all: int) -> None:
            advance(1)

        reference = scorer.score(blocks, Fp16Activations(), finished)
        measured: list[Measured] = []
        known: dict[tuple[Hook, int], TokenScores] = {(Fp16Activations(), count): reference}
        for point, part in zip(plan, parts, strict=True):
            same = (point.hook, point.blocks) if point.format is None else None
            scores = known.get(same) if same else None
            if scores is None:
                scores = scorer.score(part, point.hook, finished)
                if same:
                    known[same] = scores
            else:
                advance(point.blocks)
            measured.append((point, compare_scores(scores, reference[_spread(point.blocks, count)])))
        return measured


def _spread(count: int, blocks: int) -> NDArray[np.intp]:
    """Indices of `count` evenly spaced blocks of the reference."""
    return np.arange(count) * blocks // count
