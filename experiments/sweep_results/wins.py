"""Comparisons of architectures under uncertain constants: how often one needs less, and which constants decide."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ...formats import InputError
from ..sweep.evaluation import LOSS_COLUMNS
from ..sweep.points import RESULT_COLUMNS
from ..sweep.search import cost_column
from .errors import PairedErrors

if TYPE_CHECKING:
    import pandas as pd

Z95 = 1.959964
"""Standard normal quantile of two-sided 95 %."""


def win_frame(frame: pd.DataFrame, winner: str, column: str) -> pd.DataFrame:
    """How often an architecture has less of a quantity than each other one, at the same constants.

    One row each other architecture: ``samples``, ``wins``, ``probability`` of a win with its 95 % interval (Wilson)
    ``low`` and ``high``; ``ratio_least``, ``ratio_median``, ``ratio_most``, above 1 where the winner is better, NaN
    unless all values have one sign; ``difference_median`` of the other's quantity from the winner's; and ``ties``, of which
    losses that differ by less than their error are some.

    Parameters
    ----------
    frame
        A sweep whose points differ in architecture and technology constants, each at one precision at most.
    winner
        The architecture.
    column
        A quantity, the smaller the better; ``-name`` the larger the better.

    Raises
    ------
    InputError
        There is no such architecture or column, nothing to compare, or several rows of one architecture
        share their constants.
    """
    import pandas as pd

    pairs = win_pairs(frame, winner, column)
    rows: list[dict[str, Any]] = []
    for other, pair in pairs.items():
        gain, ratio = pair["other"] - pair["winner"], pair_ratio(pair)
        wins, samples = int((gain > pair["error"]).sum()), len(pair)
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
                # pandas 2.2 warns at the median of nothing
                "ratio_median": float(ratio.median()) if ratio.notna().any() else float("nan"),
                "ratio_most": float(ratio.max()),
                "difference_median": float(gain.median()),
                "ties": int((gain.abs() <= pair["error"]).sum()),
            }
        )
    return pd.DataFrame(rows)


def driver_frame(frame: pd.DataFrame, winner: str, other: str, column: str) -> pd.DataFrame:
    """Rank correlation of each constant with the ratio of two architectures, the strongest first.

    Where values have both signs, it is the correlation with the difference.
    """
    import pandas as pd

    pair = win_pairs(frame, winner, column)[other]
    ratio = pair_ratio(pair)
    if ratio.isna().any():
        ratio = pair["other"] - pair["winner"]
    inputs = ratio.index.to_frame(index=False)
    varied = [str(name) for name in inputs.columns if inputs[name].nunique() > 1 and inputs[name].dtype.kind in "if"]
    ranks = inputs[varied].rank()
    correlation = ranks.corrwith(ratio.reset_index(drop=True).rank())
    table = pd.DataFrame({"constant": varied, "rank_correlation": correlation.to_numpy()})
    order = table["rank_correlation"].abs().sort_values(ascending=False, kind="stable").index
    return table.loc[order].reset_index(drop=True)


def pair_ratio(pair: pd.DataFrame) -> pd.Series:
    """Ratio by which the winner is better, from costs of one sign; NaN where signs differ or a cost is zero."""
    import pandas as pd

    other, winner = pair["other"], pair["winner"]
    if (other > 0).all() and (winner > 0).all():
        return other / winner
    if (other < 0).all() and (winner < 0).all():
        return winner / other
    return pd.Series(float("nan"), index=pair.index)


def win_pairs(frame: pd.DataFrame, winner: str, column: str) -> dict[str, pd.DataFrame]:
    """Costs of each other architecture and of the winner, indexed by the constants that they share.

    Columns: ``other``, ``winner``, and ``error`` within which the two are equal.
    """
    import pandas as pd

    shared = constant_columns(frame)
    archs = list(dict.fromkeys(frame["arch"]))
    if winner not in archs:
        raise InputError(f"wins: {winner!r} is not an architecture of this sweep; use one of {', '.join(archs)}")
    if len(archs) < 2:
        raise InputError(f"wins: {winner} is the only architecture of this sweep; add others to compare with")
    costs = cost_column(frame, column, "wins")
    errors = PairedErrors(frame, column)
    places: dict[str, pd.Series] = {}
    for arch in archs:
        rows = np.flatnonzero(frame["arch"] == arch)
        index = pd.MultiIndex.from_frame(frame.iloc[rows][shared]) if shared else pd.Index([0] * len(rows))
        places[arch] = pd.Series(rows, index=index)
        if not places[arch].index.is_unique:
            raise InputError(f"wins: {arch} has several rows at the same constants; filter to one precision and model")
    pairs: dict[str, pd.DataFrame] = {}
    for arch in archs:
        if arch == winner:
            continue
        both = pd.DataFrame({"other": places[arch], "winner": places[winner]})
        if both.isna().any(axis=None):
            raise InputError(
                f"wins: {arch} and {winner} do not have rows at the same constants; sweep both over all of them"
            )
        other, own = (both[name].to_numpy(dtype=np.intp) for name in ("other", "winner"))
        error = [errors.of(int(a))[b] for a, b in zip(own, other, strict=True)] if errors else 0.0
        pairs[arch] = pd.DataFrame({"other": costs[other], "winner": costs[own], "error": error}, index=both.index)
    return pairs


def constant_columns(frame: pd.DataFrame) -> list[str]:
    """The input columns that rows of different architectures share, as far as they vary."""
    own = ("arch", "precision", "mantissa_bits_", "format_bits", *LOSS_COLUMNS)
    names = [str(name) for name in frame.columns[: _last_input(frame)]]
    return [n for n in names if n not in RESULT_COLUMNS and not n.startswith(own) and frame[n].nunique() > 1]


def _last_input(frame: pd.DataFrame) -> int:
    """Index of the first result column; inputs come first."""
    if missing := [name for name in ("arch", "cycles") if name not in frame]:
        raise InputError(
            f"sql: leaves out {', '.join(missing)}; comparisons need whole rows: select * from results where …"
        )
    return list(frame.columns).index("cycles")


def wilson_interval(wins: int, samples: int) -> Sequence[float]:
    """The 95 % interval of a probability of which `wins` of `samples` draws came true (Wilson, 1927)."""
    share, z2 = wins / samples, Z95**2
    middle = share + z2 / (2 * samples)
    half = Z95 * (share * (1 - share) / samples + z2 / (4 * samples**2)) ** 0.5
    return [max(0.0, (middle - half) / (1 + z2 / samples)), min(1.0, (middle + half) / (1 + z2 / samples))]
