"""Sweeps: `sweep` simulates every point of one, `results` asks questions about its rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..formats import InputError
from .files import require_new_picture
from .options.question import question
from .options.result import FrameResult, Result
from .options.sweep import ResultsOptions, SweepOptions
from .parallel.executors import make_executor
from .sweep.evaluation import MEASURED_COLUMNS
from .sweep.points import model_version
from .sweep.run import finish_sweep, left_out_of
from .sweep.spec import SweepSpec, load_spec
from .sweep_results.circuits import with_circuits
from .sweep_results.pairs import pair_frame
from .sweep_results.results import load_results, pareto_figure, pareto_front, query_frame
from .sweep_results.wins import win_frame

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class SweepResult(Result):
    """The rows of a sweep, one a point; they are read from the disk when they are asked for.

    Attributes
    ----------
    file
        The Parquet file of the rows.
    spec
        The sweep.
    """

    file: Path
    spec: SweepSpec

    @cached_property
    def frame(self) -> pd.DataFrame:
        """One row a point."""
        import pandas as pd

        return pd.read_parquet(self.file)

    @cached_property
    def left_out(self) -> Mapping[str, int]:
        """Reasons why combinations are not among the rows, such as a buffer too small, with their numbers."""
        return left_out_of(self.file)

    def to_dict(self) -> list[dict[str, Any]]:
        """The rows as plain data; None for a missing number."""
        return FrameResult(self.frame).to_dict()

    def to_frame(self) -> pd.DataFrame:
        """The frame."""
        return self.frame


@question(SweepOptions)
def sweep(options: SweepOptions) -> SweepResult:
    """Simulate every point of a sweep that its folder does not hold yet; write the results as Parquet and CSV.

    The result does not depend on the number of workers, nor on how often the run was interrupted.

    Returns
    -------
    SweepResult
        One row a point.

    Raises
    ------
    InputError
        The file or a value in it is bad, the folder holds something else, or no row meets the constraints.
    """
    spec = options.file if isinstance(options.file, SweepSpec) else load_spec(str(options.file))
    executor = make_executor(options.workers, options.dask, model_version)
    return SweepResult(finish_sweep(spec, options.out, executor), spec)


@question(ResultsOptions)
def results(options: ResultsOptions) -> FrameResult:
    """Query the results of a sweep with SQL, or show the points that no other beats.

    Returns
    -------
    FrameResult
        The rows that were asked for.

    Raises
    ------
    InputError
        The folder holds no results, the query is wrong, or a column does not exist.
    """
    require_new_picture("plot", options.plot)
    for compared, asked in (("wins", options.wins), ("pairs", options.pairs)):
        for name, value in (("pareto", options.pareto), ("plot", options.plot), ("pairs", options.pairs)):
            if asked is not None and value and name != compared:
                raise InputError(f"{name}: cannot be combined with {compared}; leave one of them out")
    frame = load_results(options.folder)
    if options.circuits is not None:
        frame = with_circuits(frame, options.circuits)
    if options.sql is not None:
        frame = query_frame(frame, options.sql)
    if options.wins is not None:
        return FrameResult(win_frame(frame, *read_wins(options.wins)))
    if options.pairs is not None:
        return FrameResult(pair_frame(frame, options.pairs))
    return FrameResult(_front(frame, options))


def read_wins(text: str) -> tuple[str, str]:
    """The architecture and the column of ``ARCH:COLUMN``.

    Raises
    ------
    InputError
        The text names no column.
    """
    winner, colon, column = text.partition(":")
    if not colon:
        raise InputError(f"wins: {text!r} names no column; write ARCH:COLUMN, such as anda:energy_total_pj")
    return winner, column


def _front(frame: pd.DataFrame, options: ResultsOptions) -> pd.DataFrame:
    """The rows that no other beats, if columns are named, drawn if a picture is asked for."""
    names = list(options.pareto or ())
    if options.plot is not None:
        if len(names) < 2:
            raise InputError("plot: needs two columns or more; name them with pareto, such as X,Y")
        x, y = (name.removeprefix("-") for name in names[:2])
        pareto_figure(frame, x, y, names).savefig(options.plot, dpi=160)
    if not names:
        return frame
    front = frame[pareto_front(frame, names)].sort_values(names[0].removeprefix("-"))
    negative = [name for name in names if name in MEASURED_COLUMNS and (front[name] < 0).any()]
    return front.assign(**{f"{name}_counts_as_zero": front[name] < 0 for name in negative})
