"""Runs a sweep: simulates the missing points on any executor, and returns all rows in the order of the file."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...formats import InputError
from ..progress import stage
from .executors import Executor, LocalExecutor
from .points import Point
from .search import search_points
from .spec import SweepSpec, load_spec
from .store import SweepStore

if TYPE_CHECKING:
    import pandas as pd

BATCH_LIMIT = 256
BATCHES = 64
"""Number of batches of a sweep, if they have at most `BATCH_LIMIT` points."""


def run_sweep(sweep: SweepSpec | Path | str, out: Path | str, executor: Executor | int = 1) -> pd.DataFrame:
    """Simulate every point that `out` does not hold yet, and return all rows.

    The result does not depend on the executor, nor on how often the run was interrupted.

    Parameters
    ----------
    sweep
        A specification, the path of its YAML file, or the name of a built-in question.
    out
        A new or empty folder, or one that holds this sweep.
    executor
        Where to simulate; a number means so many processes.

    Raises
    ------
    InputError
        The file or a value in it is bad, the folder holds something else, or no row meets the constraints.
    """
    chosen = LocalExecutor(executor) if isinstance(executor, int) else executor
    spec = sweep if isinstance(sweep, SweepSpec) else load_spec(sweep)
    searching = spec.sampling.method == "search"
    points = [] if searching else spec.points()
    store = SweepStore(Path(out))
    with chosen, store.opened(spec.model_dump(mode="json", by_alias=True)):
        work = _Work(store, chosen)
        if searching:
            points = search_points(spec, lambda asked: with_derived_columns(spec, work.rows(asked)))
        frame = with_derived(spec, work.rows(points))
        store.publish(frame)
        return frame


class _Work:
    """Rows of a store, and the rows that an executor adds to it."""

    def __init__(self, store: SweepStore, executor: Executor) -> None:
        self._store, self._executor = store, executor
        self._frames = [store.finished()]

    def rows(self, points: Sequence[Point]) -> pd.DataFrame:
        """The rows of points, in their order; missing ones are simulated.

        Raises
        ------
        InputError
            A worker, which loads the program on its own, found another version of it.
        """
        import pandas as pd

        keyed = {point.key: point for point in points}
        known = {key for frame in self._frames for key in frame.index}
        missing = [point for key, point in keyed.items() if key not in known]
        with (
            stage(f"simulating {len(missing)} of {len(keyed)} points", len(missing)) as advance,
            closing(self._executor.run(batches(missing))) as finished,
        ):
            for rows in finished:
                self._frames.append(self._store.append(rows))
                advance(len(rows))
        self._frames = [pd.concat([frame for frame in self._frames if len(frame)])]
        if not set(keyed) <= set(self._frames[0].index):
            raise InputError("sweep: the program's files changed during the run; run it again")
        return self._frames[0].loc[list(keyed)].reset_index()


def batches(points: Sequence[Point]) -> list[Sequence[Point]]:
    """Points cut into batches; a worker computes one batch, which becomes one part of the store."""
    size = min(BATCH_LIMIT, max(1, len(points) // BATCHES))
    return [points[start : start + size] for start in range(0, len(points), size)]


def with_derived(spec: SweepSpec, frame: pd.DataFrame) -> pd.DataFrame:
    """A result with its derived columns, restricted to the rows that meet all constraints.

    Raises
    ------
    InputError
        No row does.
    """
    frame = with_derived_columns(spec, frame)
    for formula in spec.constraint_formulas():
        kept = formula.holds({str(name): frame[name].to_numpy() for name in frame.columns})
        frame = frame[np.broadcast_to(kept, len(frame))].reset_index(drop=True)
        if frame.empty:
            raise InputError(f"constraints: no point meets {formula.text!r}; loosen it or vary more")
    return frame


def with_derived_columns(spec: SweepSpec, frame: pd.DataFrame) -> pd.DataFrame:
    """A result with its derived columns."""
    columns = {str(name): frame[name].to_numpy() for name in frame.columns}
    for name, formula in spec.derived_formulas().items():
        columns[name] = formula.evaluate(columns)
        frame = frame.assign(**{name: columns[name]})
    return frame


def undefined_metrics(spec: SweepSpec, frame: pd.DataFrame) -> dict[str, int]:
    """Derived columns that are not a finite number everywhere, with the number of rows where they are not."""
    import numpy as np

    numbers = frame[[name for name in spec.derived if frame[name].dtype.kind == "f"]]
    counts = (~np.isfinite(numbers)).sum()
    return {str(name): int(count) for name, count in counts.items() if count}
