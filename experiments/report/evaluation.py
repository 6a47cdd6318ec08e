"""Perplexity measurements of the main job: each planned precision, paired with FP16 activations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ...workloads import AndaActivations, Decoder, Fp16Activations, TextBlocks
from ...workloads.evaluation.scores import ScoreComparison, Scorer, compare_scores
from ..inputs import evaluation_cache
from ..progress import stage
from .plan import PlannedPoint

Measured: TypeAlias = tuple[PlannedPoint, ScoreComparison]
"""A planned precision and its measured loss."""


def measure_points(decoder: Decoder, blocks: TextBlocks, plan: Sequence[PlannedPoint]) -> list[Measured]:
    """Evaluate FP16 activations on all blocks, and every planned point on its number of blocks."""
    count = len(blocks.tokens)
    work = count + sum(point.blocks for point in plan)
    with stage(f"perplexity of {len(plan)} precisions and FP16 ({work} blocks)", work) as advance:
        scorer = Scorer(decoder, evaluation_cache())

        def finished(_done: int, _all: int) -> None:
            advance(1)

        reference = scorer.score(blocks, Fp16Activations(), finished)
        measured: list[Measured] = []
        for point in plan:
            chosen = _spread(point.blocks, count)
            part = TextBlocks(blocks.tokens[chosen])
            scores = scorer.score(part, AndaActivations(point.precision), finished)
            measured.append((point, compare_scores(scores, reference[chosen])))
        return measured


def _spread(count: int, blocks: int) -> NDArray[np.intp]:
    """Indices of `count` evenly spaced blocks of the reference."""
    return np.arange(count) * blocks // count
