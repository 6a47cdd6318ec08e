"""Deciding whether a loss is within a tolerance with no more blocks than the decision needs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ...formats import InputError
from ..inference.decoder import Hook
from ..inference.hooks import Fp16Activations
from ..text.blocks import TextBlocks
from .perplexity import Evaluator, PairedLoss, evaluate, paired_loss

STAGES = (8, 32, 64)
"""Blocks after which the test looks at the loss."""
THRESHOLD = 3.0
"""Standard errors between loss and tolerance that decide. With 8 blocks, 3 of them err in 1 of 50 cases (Student's t
with 7 degrees of freedom, two-sided), with 32 in 1 of 190."""

Decision = Literal["within", "beyond", "undecided"]


@dataclass(frozen=True)
class Verdict:
    """Whether a loss is within a tolerance."""

    decision: Decision
    """``"undecided"``: more blocks than there are would be needed."""
    loss: PairedLoss
    """Measured on the blocks used."""
    tolerance: float
    blocks: int
    """Blocks used."""

    @property
    def margin(self) -> float:
        """Standard errors from the loss up to the tolerance; negative beyond it."""
        return _margin(self.loss, self.tolerance)


def sequential_test(
    decoder: Evaluator,
    blocks: TextBlocks,
    hook: Hook,
    tolerance: float,
    *,
    stages: Sequence[int] = STAGES,
    cache_dir: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Verdict:
    """Compare with FP16 activations on more and more blocks until the loss is `THRESHOLD` standard errors away.

    Parameters
    ----------
    decoder
        The model.
    blocks
        All blocks that may be used; each stage takes some that are spread over all of them.
    hook
        The activations' number format.
    tolerance
        The largest loss to accept.
    stages
        Numbers of blocks after which to decide; the last decision is on all blocks.
    cache_dir
        Keeps what is evaluated, see `evaluate`; without it FP16 is evaluated anew.
    progress
        Called with the number of blocks finished and of all blocks.

    Raises
    ------
    InputError
        There are fewer than two blocks, so no standard error.
    """
    order = spread_order(len(blocks.tokens))
    if len(order) < 2:
        raise InputError("blocks: 1 gives no standard error; use 2 or more")
    nll = reference = np.empty((0, blocks.tokens.shape[1] - 1))
    for stop in sorted({min(max(stage, 2), len(order)) for stage in (*stages, len(order))}):
        more = TextBlocks(blocks.tokens[order[len(nll) : stop]])
        reference = np.concatenate([reference, evaluate(decoder, more, Fp16Activations(), cache_dir)])
        nll = np.concatenate([nll, evaluate(decoder, more, hook, cache_dir)])
        if progress:
            progress(len(nll), len(order))
        verdict = _verdict(nll, reference, tolerance)
        if verdict.decision != "undecided":
            return verdict
    return _verdict(nll, reference, tolerance)


def spread_order(count: int) -> NDArray[np.intp]:
    """An order of 0 .. count - 1 whose every beginning is spread over the whole: by bits in reverse."""
    width = max(count - 1, 0).bit_length()
    reverse = [int(f"{index:0{width}b}"[::-1], 2) for index in range(count)]
    return np.argsort(reverse)


def _verdict(nll: NDArray[np.float64], reference: NDArray[np.float64], tolerance: float) -> Verdict:
    loss = paired_loss(nll, reference)
    margin = _margin(loss, tolerance)
    decision: Decision = "undecided" if abs(margin) < THRESHOLD else "within" if margin > 0 else "beyond"
    return Verdict(decision, loss, tolerance, blocks=len(nll))


def _margin(loss: PairedLoss, tolerance: float) -> float:
    distance = tolerance - loss.loss
    if loss.standard_error == 0:
        return float("inf") if distance >= 0 else float("-inf")
    return distance / loss.standard_error
