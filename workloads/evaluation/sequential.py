"""Sequential test: is a loss within a tolerance? It uses no more blocks than the decision needs."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import inf, isfinite, sqrt
from pathlib import Path
from statistics import NormalDist
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ...formats import InputError
from ...formats.checks import check_choice
from ..inference.decoder import Hook
from ..inference.hooks import Fp16Activations
from ..text.blocks import TextBlocks
from .perplexity import Evaluator, PairedLoss, evaluate, paired_loss
from .scores import MEASURES, ScoreComparison, Scorer, TokenScores, compare_scores
from .statistics import (
    Estimate,
    is_skewed,
    johnson_margin,
    relative_increases,
    student_quantile,
    with_worse_block,
    worst_share,
)

STAGES = (8, 32, 64)
"""Numbers of blocks after which the test looks at the loss."""
LEAST_BLOCKS = 8
"""Fewest blocks of a verdict: of fewer, the spread is not known well enough."""
ERROR = 0.01
"""Probability of a wrong verdict when the true loss is the tolerance; all looks together, both sides."""
FIT_BLOCKS = 8
"""Most calibration blocks to which a temperature is fitted."""

MOST_BLOCKS = 2**20
"""Largest number of blocks that a plan considers; no text has so many."""

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
    measure: str = "loss"
    """Measure that the tolerance is set on, one of `MEASURES`."""
    comparison: ScoreComparison | None = field(default=None, compare=False)
    """All measures on the blocks used; None if only the loss was measured."""
    second_opinion: Decision = "undecided"
    """The same by Johnson's t, which allows for skew, with one more block twice as bad as the worst."""
    warnings: tuple[str, ...] = ()
    """Reasons to distrust the verdict, such as few blocks that carry the loss."""

    @property
    def estimate(self) -> Estimate:
        """The measure that the tolerance is set on."""
        return self.loss.estimate if self.comparison is None else self.comparison.estimate(self.measure)

    @property
    def margin(self) -> float:
        """Distance from the measure up to the tolerance, in standard errors; negative beyond the tolerance."""
        return _margin(self.estimate, self.tolerance)

    @property
    def accepted(self) -> bool:
        """True if the one-sided 95 % bound (measure + t x standard error) is within the tolerance."""
        return is_accepted(self.estimate, self.tolerance)


def is_accepted(estimate: Estimate, tolerance: float) -> bool:
    """True if ``value + t * standard_error <= tolerance``, where t is Student's one-sided 95 % quantile."""
    return estimate.upper_bound() <= tolerance


def critical_value(blocks: int, looks: int = 1) -> float:
    """Distance from the tolerance that decides, in standard errors: `ERROR` shared evenly by all looks (Bonferroni).

    >>> [round(critical_value(blocks, looks=3), 2) for blocks in (8, 32, 64)]
    [4.36, 3.18, 3.05]
    """
    return student_quantile(1 - ERROR / (2 * looks), blocks - 1) if blocks >= LEAST_BLOCKS else inf


def decide(estimate: Estimate, tolerance: float, looks: int = 1) -> Decision:
    """Verdict on a mean of independent blocks; a value that is not a number is beyond every tolerance."""
    if estimate.blocks < LEAST_BLOCKS:
        return "undecided"
    return _decide(_margin(estimate, tolerance), critical_value(estimate.blocks, looks))


def looks_of(blocks: int, stages: Sequence[int] = STAGES) -> list[int]:
    """Numbers of blocks at which a test of at most this many blocks looks."""
    return sorted({min(max(stage, 2), blocks) for stage in (*stages, blocks)})


def blocks_needed(spread: float, distance: float, looks: int = len(STAGES), power: float = 0.8) -> int | None:
    """Blocks after which a verdict is expected; None if more than `MOST_BLOCKS`.

    Parameters
    ----------
    spread
        Standard deviation of the measure over blocks.
    distance
        Distance of the true value from the tolerance.
    looks
        Number of looks that share the error.
    power
        Probability of a verdict after these blocks.
    """

    def decides(blocks: int) -> bool:
        return (critical_value(blocks, looks) + NormalDist().inv_cdf(power)) * spread <= distance * sqrt(blocks)

    if not isfinite(spread) or not distance > 0 or not decides(MOST_BLOCKS):
        return None
    return bisect_left(range(MOST_BLOCKS), True, lo=LEAST_BLOCKS, key=decides)


def sequential_test(
    decoder: Evaluator,
    blocks: TextBlocks,
    hook: Hook,
    tolerance: float,
    *,
    stages: Sequence[int] = STAGES,
    cache_dir: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
    measure: str = "loss",
    scorer: Scorer | None = None,
    fitted_on: TextBlocks | None = None,
) -> Verdict:
    """Compare with FP16 activations on more and more blocks until the distance from the tolerance decides.

    Student's t decides, with the probability of a wrong verdict (1 %) shared by all looks: 4.36, 3.18 and 3.05 standard
    errors after 8, 32 and 64 blocks. Fewer than 8 blocks give no verdict. If the blocks are skewed towards high
    losses, ``"within"`` also needs the second opinion.

    Parameters
    ----------
    decoder
        The model.
    blocks
        All blocks that may be used. Each stage takes some of them, spread over the whole.
    hook
        The number format of the activations.
    tolerance
        The largest accepted value of the measure; a loss is a fraction.
    stages
        Numbers of blocks after which to decide. The last decision is on all blocks.
    cache_dir
        Folder that keeps evaluated blocks (see `evaluate`); without it FP16 is evaluated again.
    progress
        Called with the number of finished blocks and the number of all blocks.
    measure
        What the tolerance is set on, one of `MEASURES`.
    scorer
        Measures all of `MEASURES`; None measures the loss alone, which is faster.
    fitted_on
        Calibration blocks to which temperatures are fitted; None: see `compare_scores`.

    Raises
    ------
    InputError
        There are fewer than two blocks, which give no standard error, or the measure is unknown.
    """
    check_choice("measure", measure, MEASURES)
    order = spread_order(len(blocks.tokens))
    if len(order) < 2:
        raise InputError("blocks: 1 gives no standard error; use 2 or more")
    if scorer is None and measure != "loss":
        scorer = Scorer(decoder, cache_dir)
    values = _Values(decoder, hook, scorer, cache_dir, fitted_on)
    looks = looks_of(len(order), stages)
    done, verdict = 0, None
    for stop in looks:
        values.add(TextBlocks(blocks.tokens[order[done:stop]]))
        done = stop
        if progress:
            progress(done, len(order))
        verdict = values.verdict(tolerance, measure, sum(look >= LEAST_BLOCKS for look in looks))
        if verdict.decision != "undecided":
            break
    assert verdict is not None
    return verdict


def spread_order(count: int) -> NDArray[np.intp]:
    """Order of 0 .. count - 1 by reversed bits; the first n indices are spread over the whole for every n."""
    width = max(count - 1, 0).bit_length()
    reverse = [int(f"{index:0{width}b}"[::-1], 2) for index in range(count)]
    return np.argsort(reverse)


def judge(values: NDArray[np.float64], tolerance: float, looks: int = 1) -> tuple[Decision, Decision, tuple[str, ...]]:
    """Verdict, second opinion and warnings on one value for each block ``[blocks]``."""
    if bad := int((~np.isfinite(values)).sum()):
        failed: Decision = "beyond" if len(values) >= LEAST_BLOCKS else "undecided"
        return failed, failed, (f"{bad} of {len(values)} blocks have no finite value",)
    estimate = Estimate.mean(values)
    decision, second = decide(estimate, tolerance, looks), _second_opinion(values, tolerance, looks)
    skewed = bool(is_skewed(values))
    if decision == "within" and skewed and second != "within":
        decision = "undecided"
    return decision, second, _warnings(values, skewed)


class _Values:
    """Blocks measured so far under one number format."""

    def __init__(
        self, decoder: Evaluator, hook: Hook, scorer: Scorer | None, cache: Path | None, fitted_on: TextBlocks | None
    ) -> None:
        self._decoder, self._hook, self._scorer, self._cache = decoder, hook, scorer, cache
        self._parts: list[tuple[TokenScores, TokenScores]] = []
        self._fitted_on = fitted_on

    def add(self, blocks: TextBlocks) -> None:
        """Measure more blocks."""
        self._parts.append(self._measure(blocks))

    def _measure(self, blocks: TextBlocks) -> tuple[TokenScores, TokenScores]:
        if self._scorer is not None:
            self._scorer.prepare([(blocks, self._hook), (blocks, Fp16Activations())])
            return self._scorer.score(blocks, self._hook), self._scorer.score(blocks, Fp16Activations())
        reference = evaluate(self._decoder, blocks, Fp16Activations(), self._cache)
        return TokenScores.of_nll(evaluate(self._decoder, blocks, self._hook, self._cache)), TokenScores.of_nll(
            reference
        )

    def verdict(self, tolerance: float, measure: str, looks: int) -> Verdict:
        """Verdict on all blocks so far."""
        own, reference = (TokenScores.join(parts) for parts in zip(*self._parts, strict=True))
        if self._scorer is None:
            comparison, loss = None, paired_loss(own.nll, reference.nll)
            values = relative_increases((own.nll - reference.nll).mean(axis=1))
        else:
            comparison = compare_scores(own, reference, self._fitted())
            loss, values = comparison.loss, comparison.blocks[measure]
        decision, second, warnings = judge(values, tolerance, looks)
        return Verdict(decision, loss, tolerance, len(own.nll), measure, comparison, second, warnings)

    def _fitted(self) -> tuple[TokenScores, TokenScores] | None:
        if self._fitted_on is None:
            return None
        order = spread_order(len(self._fitted_on.tokens))[:FIT_BLOCKS]
        return self._measure(TextBlocks(self._fitted_on.tokens[order]))


def _second_opinion(values: NDArray[np.float64], tolerance: float, looks: int) -> Decision:
    if len(values) < LEAST_BLOCKS:
        return "undecided"
    critical = critical_value(len(values), looks)
    upper = _decide(float(johnson_margin(with_worse_block(values), tolerance)), critical)
    lower = max(float(johnson_margin(values, tolerance)), _margin(Estimate.mean(values), tolerance))
    return "within" if upper == "within" else "beyond" if lower <= -critical else "undecided"


def _warnings(values: NDArray[np.float64], skewed: bool) -> tuple[str, ...]:
    count = max(1, len(values) // 16)
    if not skewed:
        return ()
    return (
        f"skewed: the worst {count} of {len(values)} blocks carry {100 * worst_share(values, count):.0f} % of the spread",
    )


def _decide(margin: float, critical: float) -> Decision:
    if abs(margin) < critical:
        return "undecided"
    return "within" if margin > 0 else "beyond"


def _margin(estimate: Estimate, tolerance: float) -> float:
    distance = tolerance - estimate.value
    if not isfinite(distance):
        return -inf
    if estimate.standard_error == 0:
        return inf if distance >= 0 else -inf
    return distance / estimate.standard_error
