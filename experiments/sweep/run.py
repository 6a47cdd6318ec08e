"""Runs a sweep: what is missing, on any executor, in the order of the file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ...formats import InputError
from ..progress import stage
from .executors import Executor, LocalExecutor
from .points import Point
from .spec import SweepSpec, load_spec
from .store import SweepStore

if TYPE_CHECKING:
    import pandas as pd

BATCH_LIMIT = 256
BATCHES = 64
"""Batches that a sweep is cut into, as far as they are not larger than `BATCH_LIMIT` points."""
BEST = 10


def run_sweep(sweep: SweepSpec | Path | str, out: Path | str, executor: Executor | int = 1) -> pd.DataFrame:
    """Simulate every point that `out` does not hold yet, and return all rows.

    The result does not depend on the executor, nor on how often the run was interrupted.

    Args:
        sweep: a specification, the path of its YAML file, or the name of a built-in question.
        out: a new or empty folder, or one that holds this sweep.
        executor: where to simulate; a number means so many processes.

    Raises:
        InputError: the file or a value in it is bad, the folder holds something else, or no row meets the constraints.
    """
    import pandas as pd

    chosen = LocalExecutor(executor) if isinstance(executor, int) else executor
    spec = sweep if isinstance(sweep, SweepSpec) else load_spec(sweep)
    points = {point.key: point for point in spec.points()}
    store = SweepStore(Path(out))
    with chosen, store.opened(spec.model_dump(mode="json", by_alias=True)):
        frames = [store.finished()]
        missing = [point for key, point in points.items() if key not in frames[0].index]
        with stage(f"simulating {len(missing)} of {len(points)} points", len(missing)) as advance:
            for rows in chosen.run(batches(missing)):
                frames.append(store.append(rows))
                advance(len(rows))
        known = pd.concat([frame for frame in frames if len(frame)])
        frame = with_derived(spec, known.loc[list(points)].reset_index())
        store.publish(frame)
        return frame


def batches(points: Sequence[Point]) -> list[Sequence[Point]]:
    """Points cut into batches; a batch is what a worker computes and a part of the store holds."""
    size = min(BATCH_LIMIT, max(1, len(points) // BATCHES))
    return [points[start : start + size] for start in range(0, len(points), size)]


def with_derived(spec: SweepSpec, frame: pd.DataFrame) -> pd.DataFrame:
    """A result with its derived columns, and the rows alone that meet all constraints.

    Raises:
        InputError: no row does.
    """
    columns = {str(name): frame[name].to_numpy() for name in frame.columns}
    for name, formula in spec.derived_formulas().items():
        columns[name] = formula.evaluate(columns)
        frame = frame.assign(**{name: columns[name]})
    for formula in spec.constraint_formulas():
        kept = formula.evaluate({str(name): frame[name].to_numpy() for name in frame.columns})
        frame = frame[kept].reset_index(drop=True)
        if frame.empty:
            raise InputError(f"constraints: no point meets {formula.text!r}; loosen it or vary more")
    return frame


def summary_rows(frame: pd.DataFrame) -> tuple[Sequence[str], list[tuple[str, ...]]]:
    """Columns and rows of the points of least energy, for a terminal."""
    best = frame.sort_values("energy_total_pj", kind="stable").head(BEST)
    return table_rows(best, varying_columns(frame))


def varying_columns(frame: pd.DataFrame) -> list[str]:
    """The columns that a person compares: those that vary, but for details of others."""
    details = ("key", "seconds", "macs", "mantissa_bits_", "energy_compute_pj", "energy_sram_pj", "energy_dram_pj")
    names = [str(name) for name in frame.columns if not str(name).startswith(details)]
    return [name for name in names if frame[name].nunique() > 1] or names


def table_rows(frame: pd.DataFrame, columns: Sequence[str]) -> tuple[Sequence[str], list[tuple[str, ...]]]:
    """Some columns as text."""
    rows = frame[list(columns)].itertuples(index=False)
    return columns, [tuple(f"{cell:.6g}" if isinstance(cell, float) else str(cell) for cell in row) for row in rows]
