"""Perplexity measurements of the main job: each planned precision, paired with FP16 activations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ...workloads import (
    AndaActivations,
    Decoder,
    Fp16Activations,
    PairedLoss,
    TextBlocks,
    evaluate,
    paired_loss,
)
from ..inputs import evaluation_cache
from ..progress import stage
from .plan import PlannedPoint

Measured: TypeAlias = tuple[PlannedPoint, PairedLoss]
"""A planned precision and its measured loss."""


def measure_points(decoder: Decoder, blocks: TextBlocks, plan: Sequence[PlannedPoint]) -> list[Measured]:
    """Evaluate FP16 activations on all blocks, and every planned point on its number of blocks."""
    count = len(blocks.tokens)
    work = count + sum(point.blocks for point in plan)
    with stage(f"perplexity of {len(plan)} precisions and FP16 ({work} blocks)", work) as advance:
        cache = evaluation_cache()

        def finished(_done: int, _all: int) -> None:
            advance(1)

        reference = evaluate(decoder, blocks, Fp16Activations(), cache, finished)
        measured: list[Measured] = []
        for point in plan:
            chosen = _spread(point.blocks, count)
            part = TextBlocks(blocks.tokens[chosen])
            nll = evaluate(decoder, part, AndaActivations(point.precision), cache, finished)
            measured.append((point, paired_loss(nll, reference[chosen])))
        return measured


def _spread(count: int, blocks: int) -> NDArray[np.intp]:
    """Indices of `count` evenly spaced blocks of the reference."""
    return np.arange(count) * blocks // count
