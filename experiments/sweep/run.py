"""Runs a sweep: what is missing, on one process or several, in the order of the file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...formats import InputError
from ...workloads import Precision
from ..progress import stage
from ..simulation import simulate_model
from .spec import Point, SweepSpec, load_spec
from .store import SweepStore

if TYPE_CHECKING:
    import pandas as pd

BATCH = 16
"""Points that a worker computes, and a part of the store holds."""
BEST = 10


def run_sweep(sweep: SweepSpec | Path | str, out: Path | str, workers: int = 1) -> pd.DataFrame:
    """Simulate every point that `out` does not hold yet, and return all rows.

    The result does not depend on `workers`, nor on how often the run was interrupted.

    Args:
        sweep: a specification or the path of its YAML file.
        out: a new or empty folder, or one that holds this sweep.
        workers: processes.

    Raises:
        InputError: the file or a value in it is bad, or the folder holds something else.
    """
    import pandas as pd

    if workers < 1:
        raise InputError(f"workers: {workers} is too few; use 1 or more")
    spec = sweep if isinstance(sweep, SweepSpec) else load_spec(sweep)
    points = spec.points()
    store = SweepStore(Path(out))
    with store.opened(spec.model_dump(mode="json", by_alias=True)):
        rows = store.finished()
        missing = [point for point in points if point.key not in rows]
        with stage(f"simulating {len(missing)} of {len(points)} points", len(missing)) as advance:
            for batch in _results(_batches(missing), workers):
                store.append(batch)
                rows |= {row["key"]: row for row in batch}
                advance(len(batch))
        frame = pd.DataFrame([rows[point.key] for point in points])
        store.publish(frame)
        return frame


def summary_rows(frame: pd.DataFrame) -> tuple[Sequence[str], list[tuple[str, ...]]]:
    """Columns and rows of the points of least energy, for a terminal."""
    columns = ("model", "arch", "precision", "phase", "tokens", "cycles", "energy mJ", "DRAM MiB")
    best = frame.sort_values("energy_total_pj").head(BEST)
    rows = [
        (
            row["model"],
            row["arch"],
            row["precision"],
            row["phase"],
            str(row["tokens"]),
            f"{row['cycles']:,}",
            f"{row['energy_total_pj'] / 1e9:,.2f}",
            f"{row['dram_bytes'] / 2**20:,.1f}",
        )
        for row in best.to_dict("records")
    ]
    return columns, rows


def simulate_batch(points: Sequence[Point]) -> list[dict[str, Any]]:
    """Simulate points: one flat row each, the key first."""
    return [_row(point) for point in points]


def _row(point: Point) -> dict[str, Any]:
    arguments = asdict(point)
    if point.precision is not None:
        arguments["precision"] = Precision.parse(point.precision)
    record = simulate_model(**arguments)
    energy = record.pop("energy_pj")
    del record["gemms"]
    record["precision"] = ",".join(map(str, record["precision"]))
    return {
        "key": point.key,
        **record,
        "context": point.context,
        **{f"energy_{part}_pj": value for part, value in energy.items()},
    }


def _batches(points: Sequence[Point]) -> list[Sequence[Point]]:
    return [points[start : start + BATCH] for start in range(0, len(points), BATCH)]


def _results(batches: Sequence[Sequence[Point]], workers: int) -> Iterator[list[dict[str, Any]]]:
    """Rows of the batches, as they finish."""
    if workers == 1 or len(batches) < 2:
        yield from map(simulate_batch, batches)
        return
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor, as_completed

    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        for done in as_completed([pool.submit(simulate_batch, batch) for batch in batches]):
            yield done.result()
