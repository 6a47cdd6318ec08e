"""Results of a sweep: loading, SQL, and Pareto fronts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...formats import InputError
from ...sim.output.palette import COLORS, GREY
from ..sweep.points import TASK_COLUMNS
from ..sweep.search import cost_column
from ..sweep.store import RESULTS, is_as_published
from .errors import PairedErrors, rank_values

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


def load_results(folder: Path | str) -> pd.DataFrame:
    """The rows of a finished sweep.

    Raises
    ------
    InputError
        The folder holds no results, or they cannot be read.
    """
    import pandas as pd
    import pyarrow as pa

    path = _results_file(folder)
    try:
        if is_as_published(path):
            return pd.read_parquet(path)
    except (OSError, ValueError, pa.ArrowException):
        pass
    raise InputError(f"results: {path} is damaged; run the sweep again, which writes it anew")


def query_frame(frame: pd.DataFrame, sql: str) -> pd.DataFrame:
    """Ask the table ``results`` with DuckDB, where the table is the frame.

    Raises
    ------
    InputError
        The query is wrong.
    """
    import duckdb

    with duckdb.connect(config={"enable_external_access": "false"}) as connection:
        connection.register("results", frame)
        try:
            answer: Any = connection.sql(sql)  # None for a statement without an answer
            if answer is None:
                raise InputError("sql: the query has no answer; write a SELECT over the table results")
            return answer.df()
        except duckdb.Error as error:
            first = str(error).splitlines()[0]
            raise InputError(f"sql: {first}; the table is results, its columns {', '.join(frame.columns)}") from None


def pareto_front(frame: pd.DataFrame, minimise: Sequence[str]) -> pd.Series:
    """True for rows that are not dominated: no other row of the task is at least as good everywhere and better somewhere.

    A task has one value in each of `points.TASK_COLUMNS`: the prefill of a smaller model is no better than that of a larger
    one. Equal rows do not dominate each other. A row without a number in one of the columns is not on the front. Two losses
    are equal if their difference is within its error on the same blocks, and a negative loss counts as zero.

    Parameters
    ----------
    frame
        Results of a sweep.
    minimise
        Columns of numbers, the smaller the better; ``-name`` means the larger the better.

    Returns
    -------
    pd.Series
        Booleans with the frame's index.

    Raises
    ------
    InputError
        A column does not exist or holds no numbers.
    """
    import pandas as pd

    costs = np.column_stack([rank_values(cost_column(frame, name), name) for name in minimise])
    errors = [PairedErrors(frame, name) for name in minimise]
    tasks = task_numbers(frame)
    front = np.zeros(len(frame), dtype=np.bool_)
    for task in range(tasks.max(initial=-1) + 1):
        rows = np.flatnonzero(tasks == task)
        if any(errors):
            front[rows] = _uncertain_front(costs, errors, rows)
            continue
        unique, inverse = np.unique(costs[rows], axis=0, return_inverse=True)
        front[rows] = _unique_front(unique)[inverse.reshape(-1)]
    return pd.Series(front & ~np.isnan(costs).any(axis=1), index=frame.index, name="pareto")


def task_numbers(frame: pd.DataFrame) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Number of the task of each row, from 0 in the order of appearance."""
    columns = [name for name in TASK_COLUMNS if name in frame and frame[name].nunique() > 1]
    if not columns:
        return np.zeros(len(frame), dtype=np.int64)
    return frame.groupby(columns, sort=False).ngroup().to_numpy().astype(np.int64)


def pareto_figure(frame: pd.DataFrame, x: str, y: str, minimise: Sequence[str] = ()) -> Figure:
    """Two columns against each other: the front of `minimise` (or of both) drawn, dominated points in grey.

    Raises
    ------
    InputError
        A column does not exist or holds no numbers.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import EngFormatter

    front = pareto_front(frame, minimise or (x, y))
    figure = Figure(figsize=(7.0, 4.6), layout="constrained")
    axes = figure.subplots()
    x_values, y_values = cost_column(frame, x), cost_column(frame, y)
    axes.plot(x_values[~front], y_values[~front], "x", color=GREY, markersize=4, label="dominated")
    for index, (arch, rows) in enumerate(frame[front].sort_values(x).groupby("arch", sort=True)):
        axes.plot(
            rows[x], rows[y], MARKERS[index % len(MARKERS)], color=COLORS[index % len(COLORS)], markersize=7,
            markeredgecolor="white", label=f"{arch}, on the front",
        )  # fmt: skip
    for axis, name, values in (("x", x, x_values), ("y", y, y_values)):
        axes.set(**{f"{axis}label": name, f"{axis}scale": "log" if _is_wide(values) else "linear"})
        if np.nanmax(np.abs(values), initial=0.0) >= LARGE:
            getattr(axes, f"{axis}axis").set_major_formatter(EngFormatter())
    figure.legend(loc="outside lower center", ncols=4, frameon=False, fontsize=9)
    return figure


MARKERS = "^sDovP*"


def _is_wide(values: np.ndarray[tuple[int], np.dtype[np.float64]]) -> bool:
    """True for positive values of several magnitudes, which a logarithmic axis shows better."""
    finite = values[np.isfinite(values)]
    return bool(len(finite) and finite.min() > 0 and finite.max() > WIDE * finite.min())


WIDE, LARGE = 30, 1e4
"""Ratio of values from which an axis is logarithmic, and size from which its numbers have prefixes (k, M, G, T)."""


def _unique_front(
    costs: np.ndarray[tuple[int, int], np.dtype[np.float64]],
) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """The front of distinct rows in lexicographic order, in which a row can be dominated by earlier ones alone."""
    front = np.zeros(len(costs), dtype=bool)
    kept = np.empty_like(costs)
    count = 0
    for index, cost in enumerate(costs):
        if not (kept[:count] <= cost).all(axis=1).any():
            kept[count] = cost
            count += 1
            front[index] = True
    return front


def _uncertain_front(
    costs: np.ndarray[tuple[int, int], np.dtype[np.float64]],
    errors: Sequence[PairedErrors],
    rows: np.ndarray[tuple[int], np.dtype[np.intp]],
) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """The front of some rows, of which columns have errors: within them, values are equal."""
    front = np.zeros(len(rows), dtype=bool)
    for place, row in enumerate(rows):
        gains = costs[row] - costs[rows]
        margins = np.column_stack([own.of(int(row))[rows] if own else np.zeros(len(rows)) for own in errors])
        front[place] = not ((gains >= -margins).all(axis=1) & (gains > margins).any(axis=1)).any()
    return front


def _results_file(folder: Path | str) -> Path:
    path = Path(folder) / RESULTS
    if not path.is_file():
        raise InputError(f"results: {folder} holds no {RESULTS}; finish a sweep there with `anda sweep`")
    return path
