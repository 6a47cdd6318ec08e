"""Sequential test: is a loss within a tolerance? It uses no more blocks than the decision needs."""

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
"""Numbers of blocks after which the test looks at the loss."""
THRESHOLD = 3.0
"""Distance of loss and tolerance that decides, in standard errors. A distance of 3 is wrong in 1 of 50 cases with 8 blocks
(Student's t with 7 degrees of freedom, two-sided), and in 1 of 190 with 32 blocks."""

Decision = Literal["within", "beyond", "undecided"]


@dataclass(frozen=True)
class Verdict:
    """Result of a sequential test: is the loss within the tolerance?"""

    decision: Decision
    """``"within"``, ``"beyond"``, or ``"undecided"`` if there are too few blocks to decide."""
    loss: PairedLoss
    """Loss on the blocks used."""
    tolerance: float
    blocks: int
    """Number of blocks used."""

    @property
    def margin(self) -> float:
        """Distance from the loss up to the tolerance, in standard errors; negative beyond the tolerance."""
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
        All blocks that may be used. Each stage takes some of them, spread over the whole.
    hook
        The number format of the activations.
    tolerance
        The largest accepted loss, as a fraction.
    stages
        Numbers of blocks after which to decide. The last decision is on all blocks.
    cache_dir
        Folder that keeps evaluated blocks (see `evaluate`); without it FP16 is evaluated again.
    progress
        Called with the number of finished blocks and the number of all blocks.

    Raises
    ------
    InputError
        There are fewer than two blocks, which give no standard error.
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
    """Order of 0 .. count - 1 by reversed bits; the first n indices are spread over the whole for every n."""
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
