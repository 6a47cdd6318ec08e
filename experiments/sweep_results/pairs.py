"""Losses of the designs of a sweep compared in pairs, on the same blocks of text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ...formats import InputError
from ...workloads.evaluation.statistics import Estimate
from ..sweep.evaluation import BLOCKS_COLUMN, read_block_losses
from .wins import constant_columns

if TYPE_CHECKING:
    import pandas as pd

ALL = "all"
"""Reference that stands for every pair."""
ERROR = 0.05
"""Probability that any of the verdicts of a table is wrong, where two designs are equal."""


def pair_frame(frame: pd.DataFrame, reference: str = ALL) -> pd.DataFrame:
    """Differences of loss between designs, paired by blocks.

    Rows with the same losses are one design. One row each pair: ``design``, ``other``; ``loss_percent`` of the design, and
    its ``difference_percent`` from the other; half of the 95 % t interval of the difference, ``interval_percent``, and of
    the intervals that hold in all pairs together with 95 %, ``joint_percent`` (Bonferroni); ``blocks``, ``tokens`` of a
    block; and ``verdict``: ``better`` or ``worse`` if the difference is beyond the joint interval, or ``no difference``.

    Parameters
    ----------
    frame
        Results of a sweep with `evaluation`.
    reference
        The design with which all others are compared, as the table writes it; ``"all"`` compares every pair.

    Raises
    ------
    InputError
        Blocks were not evaluated, there are fewer than two designs, or there is no such reference.
    """
    import pandas as pd

    designs = _designs(frame)
    if len(designs) < 2:
        raise InputError(f"pairs: {len(designs)} design with a measured loss; sweep two or more with `evaluation`")
    names = list(designs)
    if reference == ALL:
        pairs = [(one, other) for place, one in enumerate(names) for other in names[place + 1 :]]
    elif reference in designs:
        pairs = [(one, reference) for one in names if one != reference]
    else:
        raise InputError(f"pairs: {reference!r} is not a design of this sweep; use {ALL}, or one of {'; '.join(names)}")
    tokens = int(frame["evaluation_tokens"].max())
    return pd.DataFrame([_pair(one, other, designs, tokens, len(pairs)) for one, other in pairs])


def _pair(one: str, other: str, designs: dict[str, np.ndarray[Any, Any]], tokens: int, pairs: int) -> dict[str, Any]:
    difference = Estimate.mean(designs[one] - designs[other])
    joint = difference.half_width(1 - ERROR / pairs)
    verdict = "better" if difference.value < -joint else "worse" if difference.value > joint else "no difference"
    return {
        "design": one,
        "other": other,
        "loss_percent": float(designs[one].mean()),
        "difference_percent": difference.value,
        "interval_percent": difference.half_width(1 - ERROR),
        "joint_percent": joint,
        "blocks": difference.blocks,
        "tokens": tokens,
        "verdict": verdict,
    }


def _designs(frame: pd.DataFrame) -> dict[str, np.ndarray[Any, Any]]:
    """Losses of the blocks of each design, by its name: the settings in which it differs from others."""
    if BLOCKS_COLUMN not in frame:
        raise InputError(f"pairs: there is no column {BLOCKS_COLUMN}; sweep with `evaluation`, and leave the column in")
    known = frame[frame[BLOCKS_COLUMN].notna() & (frame[BLOCKS_COLUMN] != "")]
    groups = dict(list(known.groupby(BLOCKS_COLUMN, sort=False)))
    settable = constant_columns(known)
    columns = [*(name for name in ("arch", "precision") if name in known), *settable]
    settings = [tuple("/".join(dict.fromkeys(rows[name].map(str))) for name in columns) for rows in groups.values()]
    told = [place for place in range(len(columns)) if len({own[place] for own in settings}) > 1]
    names = [", ".join(own[place] for place in told) for own in settings]
    if len(set(names)) < len(names):  # they differ in a column that SQL left out
        names = [f"{name} {place}" for place, name in enumerate(names)]
    return dict(zip(names, (np.array(read_block_losses(str(text))) for text in groups), strict=True))
