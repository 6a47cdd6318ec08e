"""Comparisons of architectures under uncertain constants: how often one needs less, and which constants decide."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ...formats import InputError
from ..sweep.points import RESULT_COLUMNS
from ..sweep.search import cost_column

if TYPE_CHECKING:
    import pandas as pd

Z95 = 1.959964
"""Standard normal quantile of two-sided 95 %."""


def win_frame(frame: pd.DataFrame, winner: str, column: str) -> pd.DataFrame:
    """How often an architecture has less of a quantity than each other one, at the same constants.

    One row each other architecture: ``samples``, ``wins``, ``probability`` with its 95 % interval (Wilson) ``low`` and
    ``high``, and ``ratio_least``, ``ratio_median``, ``ratio_most`` of the other's quantity over the winner's.

    Parameters
    ----------
    frame
        A sweep whose points differ in architecture and technology constants, each at one precision at most.
    winner
        The architecture.
    column
        A quantity, the smaller the better.

    Raises
    ------
    InputError
        There is no such architecture or column, nothing to compare, or several rows of one architecture
        share their constants.
    """
    import pandas as pd

    ratios = win_ratios(frame, winner, column)
    rows: list[dict[str, Any]] = []
    for other, ratio in ratios.items():
        wins, samples = int((ratio > 1).sum()), len(ratio)
        low, high = wilson_interval(wins, samples)
        rows.append(
            {
                "arch": other,
                "samples": samples,
                "wins": wins,
                "probability": wins / samples,
                "low": low,
                "high": high,
                "ratio_least": float(ratio.min()),
                "ratio_median": float(ratio.median()),
                "ratio_most": float(ratio.max()),
            }
        )
    return pd.DataFrame(rows)


def driver_frame(frame: pd.DataFrame, winner: str, other: str, column: str) -> pd.DataFrame:
    """Rank correlation of each constant with the ratio of two architectures, the strongest first."""
    import pandas as pd

    ratio = win_ratios(frame, winner, column)[other]
    inputs = ratio.index.to_frame(index=False)
    varied = [str(name) for name in inputs.columns if inputs[name].nunique() > 1 and inputs[name].dtype.kind in "if"]
    ranks = inputs[varied].rank()
    correlation = ranks.corrwith(ratio.reset_index(drop=True).rank())
    table = pd.DataFrame({"constant": varied, "rank_correlation": correlation.to_numpy()})
    order = table["rank_correlation"].abs().sort_values(ascending=False, kind="stable").index
    return table.loc[order].reset_index(drop=True)


def win_ratios(frame: pd.DataFrame, winner: str, column: str) -> dict[str, pd.Series]:
    """Ratio of each architecture's quantity to the winner's, indexed by the constants that they share."""
    import pandas as pd

    archs = list(dict.fromkeys(frame["arch"]))
    if winner not in archs:
        raise InputError(f"wins: {winner!r} is not an architecture of this sweep; use one of {', '.join(archs)}")
    if len(archs) < 2:
        raise InputError(f"wins: {winner} is the only architecture of this sweep; add others to compare with")
    shared = constant_columns(frame)
    series: dict[str, pd.Series] = {}
    for arch in archs:
        rows = frame[frame["arch"] == arch]
        index = pd.MultiIndex.from_frame(rows[shared]) if shared else pd.Index([0] * len(rows))
        series[arch] = pd.Series(cost_column(rows, column, "wins"), index=index)
        if not series[arch].index.is_unique:
            raise InputError(f"wins: {arch} has several rows at the same constants; filter to one precision and model")
    return {arch: series[arch] / series[winner] for arch in archs if arch != winner}


def constant_columns(frame: pd.DataFrame) -> list[str]:
    """The input columns that rows of different architectures share, as far as they vary."""
    own = ("arch", "precision", "mantissa_bits_", "format_bits", "loss_", "perplexity")
    names = [str(name) for name in frame.columns[: _last_input(frame)]]
    return [n for n in names if n not in RESULT_COLUMNS and not n.startswith(own) and frame[n].nunique() > 1]


def _last_input(frame: pd.DataFrame) -> int:
    """Index of the first result column; inputs come first."""
    return list(frame.columns).index("cycles")


def wilson_interval(wins: int, samples: int) -> Sequence[float]:
    """The 95 % interval of a probability of which `wins` of `samples` draws came true (Wilson, 1927)."""
    share, z2 = wins / samples, Z95**2
    middle = share + z2 / (2 * samples)
    half = Z95 * (share * (1 - share) / samples + z2 / (4 * samples**2)) ** 0.5
    return [max(0.0, (middle - half) / (1 + z2 / samples)), min(1.0, (middle + half) / (1 + z2 / samples))]
