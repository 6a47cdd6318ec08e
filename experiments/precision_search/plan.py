"""Plan of a search: the text that a decision takes at a model's measured spread, before anything is searched."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import Any

from ...formats import InputError
from ...workloads import AndaActivations, Precision, TextBlocks
from ...workloads.evaluation.sequential import LEAST_BLOCKS, MOST_BLOCKS, blocks_needed, spread_order
from .loss import MeasuredLoss

PLAN_PRECISION = Precision.uniform(7)
"""Precision at which the spread is measured: near 1 % on the models of the paper."""


@dataclass(frozen=True)
class SearchPlan:
    """Text that it takes to tell half the tolerance from the tolerance, in 4 of 5 cases."""

    tolerance: float
    spread: float
    """Standard deviation of the measure over blocks at `PLAN_PRECISION`."""
    block_tokens: int
    blocks: int | None
    """Blocks of a decision; None if there are more than `MOST_BLOCKS`."""
    text_tokens: int | None
    """Tokens of the calibration text; None if not known."""

    @property
    def tokens(self) -> int:
        """Tokens of a decision; the largest number considered if it takes more."""
        return self.block_tokens * (self.blocks or MOST_BLOCKS)

    def record(self) -> dict[str, Any]:
        """The plan as JSON."""
        return {
            "spread": self.spread,
            "blocks": self.blocks,
            "tokens": None if self.blocks is None else self.tokens,
            "text_tokens": self.text_tokens,
        }

    def __str__(self) -> str:
        more = "" if self.blocks else "more than "
        return (
            f"at M = {PLAN_PRECISION[0]} blocks of {self.block_tokens} tokens spread by {self.spread:.3g}; to tell half the "
            f"tolerance from {self.tolerance:g} takes {more}{self.tokens:,} tokens"
        )

    def check(self) -> None:
        """Raise `InputError` if the text is too short for a decision."""
        if self.text_tokens is not None and self.tokens > self.text_tokens:
            raise InputError(
                f"tolerance: {self} and the text has {self.text_tokens:,}; use a larger tolerance or a longer text, or "
                "accept 'measured', which decides by the measured loss"
            )


def plan_search(loss: MeasuredLoss) -> SearchPlan | None:
    """Measure the spread on the blocks of the first look; None if there are fewer than a verdict needs, or no spread."""
    blocks = loss.texts.calibration
    if len(blocks.tokens) < LEAST_BLOCKS or not loss.tolerance > 0:
        return None
    first = TextBlocks(blocks.tokens[spread_order(len(blocks.tokens))[:LEAST_BLOCKS]])
    estimate = loss.test(AndaActivations(PLAN_PRECISION), first).estimate
    spread = estimate.standard_error * sqrt(estimate.blocks)
    if not spread > 0:
        return None
    needed = blocks_needed(spread, loss.tolerance / 2)
    return SearchPlan(loss.tolerance, spread, blocks.tokens.shape[1], needed, blocks.text_tokens)
