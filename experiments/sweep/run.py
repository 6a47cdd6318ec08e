"""Runs a sweep: simulates the missing points on any executor, and writes all rows in the order of the file."""

from __future__ import annotations

import hashlib
import json
import math
import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...formats import InputError
from ...formats.plugins import registered
from ..parallel.executors import Executor, LocalExecutor
from ..progress import stage
from . import points as point_rows
from .batch import batch_table, is_covered, pays
from .points import Point
from .search import search_points
from .space.keys import KEY_CHARACTERS
from .spec import SweepSpec, load_spec
from .store import SweepStore
from .stream import PointStream

if TYPE_CHECKING:
    import pandas as pd

BATCH_LIMIT = 256
COMPILED_LIMIT = 1 << 13
"""Most points of a batch; of points that the compiled kernel computes."""
LEFT_OUT = "left_out"
"""Label of parts and results: reasons why points are not among the rows, with the numbers of points."""
BATCHES = 64
"""Number of batches of a sweep, if they are not too large."""


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
    import pandas as pd

    return pd.read_parquet(finish_sweep(sweep, out, executor))


def finish_sweep(sweep: SweepSpec | Path | str, out: Path | str, executor: Executor | int = 1) -> Path:
    """As `run_sweep`, but the rows stay on the disk: returns the Parquet file of the results."""
    chosen = LocalExecutor(executor) if isinstance(executor, int) else executor
    spec = sweep if isinstance(sweep, SweepSpec) else load_spec(sweep)
    searching = spec.sampling.method == "search"
    stream = None if searching else spec.stream()
    numbers = None if stream is None else stream.numbers()
    store = SweepStore(Path(out))
    with chosen, store.opened(spec.model_dump(mode="json", by_alias=True)):
        if stream is None or numbers is None:
            from .space.tables import frame_table

            work = _Work(store, chosen)
            found = search_points(spec, lambda asked: _calculated(spec, work.rows(asked)))
            rows = spec.formulas.finished([frame_table(work.rows(found))])
            store.publish(rows, label={LEFT_OUT: json.dumps(Counter(work.left_out.values()))})
        else:
            _run_stream(spec, stream, numbers, store, chosen)
    return store.results


@dataclass(frozen=True)
class PointChunk:
    """Points that a worker simulates together, and that become one part of the store."""

    spec: SweepSpec
    index: int
    numbers: NDArray[np.int64]
    compiled: bool
    """True if the compiled kernel computes the rows, which are the same either way."""


@dataclass(frozen=True)
class Part:
    """The rows of a chunk, as a Parquet file; its label says which points could not be simulated."""

    index: int
    points: int
    first_key: str
    content: bytes


def chunks(spec: SweepSpec, numbers: NDArray[np.int64]) -> list[PointChunk]:
    """All points, cut into chunks."""
    covered = is_covered(spec)
    limit = COMPILED_LIMIT if covered else BATCH_LIMIT
    compiled = covered and pays(len(numbers))
    return [PointChunk(spec, index, batch, compiled) for index, batch in enumerate(batches(numbers, limit))]


def simulate_chunk(chunk: PointChunk) -> Part:
    """The rows of a chunk."""
    from .space.tables import parquet_bytes, row_table

    block = _stream(chunk.spec.model_dump_json(by_alias=True), chunk.spec).block(chunk.numbers)
    if chunk.compiled:
        table, left_out = batch_table(block)
    else:
        found = point_rows.simulate_possible(list(block.points()))
        table, left_out = row_table(found.rows), found.left_out
    first_key = block.point(0).key
    if len(table) and first_key not in left_out:
        first_key = table.column("key")[0].as_py()
    if len(table):
        check_areas(chunk.spec, table.column("arch").to_pylist(), table.column("area_mm2").to_pylist())
    label = {LEFT_OUT: json.dumps(Counter(left_out.values()))}
    return Part(chunk.index, len(block), first_key, parquet_bytes(table, label))


def check_areas(spec: SweepSpec, archs: Sequence[str], areas: Sequence[float | None]) -> None:
    """Refuse a sweep that asks for areas where nothing states that of an element.

    Raises
    ------
    InputError
        A formula or an objective names the area, and that of an architecture is unknown.
    """
    unknown = next((arch for arch, area in zip(archs, areas, strict=True) if area is None or math.isnan(area)), None)
    if unknown is not None and spec.asks_for("area_mm2"):
        raise InputError(
            f"area_mm2: is unknown on {unknown}; add area to its processing_element, or leave area_mm2 out of constraints, "
            "derived and minimise"
        )


_STREAMS: dict[str, PointStream] = {}
"""The stream of the last sweep of a worker, with the columns that were found."""


def _stream(text: str, spec: SweepSpec) -> PointStream:
    if text not in _STREAMS:
        _STREAMS.clear()
        _STREAMS[text] = spec.stream()
    return _STREAMS[text]


def _run_stream(
    spec: SweepSpec, stream: PointStream, numbers: NDArray[np.int64], store: SweepStore, executor: Executor
) -> None:
    from .space.tables import common_schema, read_tables, row_count

    _note_fewer(spec, len(numbers))
    every = chunks(spec, numbers)
    name = sweep_name(spec, stream.first)
    kept = store.parts(name)
    missing = [chunk for chunk in every if chunk.index not in kept]
    left = sum(len(chunk.numbers) for chunk in missing)
    with (
        stage(f"simulating {left} of {len(numbers)} points", left) as advance,
        closing(executor.run(simulate_chunk, missing)) as finished,
    ):
        for part in finished:
            if part.first_key != _key(stream, every[part.index]):
                raise InputError("sweep: the program's files changed during the run; run it again")
            kept[part.index] = store.write_part(name, part.index, part.content)
            advance(part.points)
    if missing or not store.is_published(name):
        parts = [kept[index] for index in range(len(every))]
        left_out = sum((left_out_of(part) for part in parts), stream.left_out)
        if not any(map(row_count, parts)):
            raise InputError(next(iter(left_out)))
        rows = spec.formulas.finished(read_tables(parts, common_schema(parts)))
        store.publish(rows, name, {LEFT_OUT: json.dumps(left_out)})


def left_out_of(parquet: Path) -> Counter[str]:
    """Reasons why points of a sweep are not among its rows, with the numbers of points."""
    from .space.tables import label_of

    return Counter(json.loads(label_of(parquet, LEFT_OUT) or "{}"))


def _note_fewer(spec: SweepSpec, points: int) -> None:
    """Say on stderr if a sample has fewer points than asked for."""
    sampling = spec.sampling
    if sampling.method not in ("random", "latin-hypercube"):
        return
    sizes = {name: len(values) for name, values in spec.dimensions().items()}
    asked = (sampling.points or 0) * prod(sizes[name] for name in sampling.for_each)
    if points < asked:
        exist = prod(sizes.values())
        print(
            f"anda: sampling: {points:,} of {asked:,} points; {exist:,} combinations exist, of which equal ones and those "
            "that constraints forbid are left out",
            file=sys.stderr,
        )


def sweep_name(spec: SweepSpec, first: Point) -> str:
    """Name of the parts of a sweep: the hash of its file, of the files that it names, and of this version of the program."""
    named = [*spec.archs, *spec.technologies, *spec.memories, *spec.weights, *spec.architecture.get("weights", ())]
    named += [*spec.head, *(spec.precisions or ())]
    files = {str(name): point_rows.file_content(name) for name in named}
    files |= {model: point_rows.described_model(model) for model in spec.models}
    own = sorted({found.sha256 for found in registered() if found.sha256 is not None})
    text = json.dumps([spec.model_dump(mode="json", by_alias=True), files, own, first.key])
    return hashlib.sha256(text.encode()).hexdigest()[:KEY_CHARACTERS]


def _key(stream: PointStream, chunk: PointChunk) -> str:
    """Key of a chunk's first point."""
    return stream.block(chunk.numbers[:1]).point(0).key


def _calculated(spec: SweepSpec, frame: pd.DataFrame) -> pd.DataFrame:
    """Rows with their metrics and derived columns."""
    from .space.tables import frame_table

    check_areas(spec, list(frame["arch"]), list(frame["area_mm2"]))
    return spec.formulas.with_columns(frame_table(frame)).to_pandas()


class _Work:
    """Rows of a store, and the rows that an executor adds to it: points of a search, found again by their keys.

    Attributes
    ----------
    left_out
        Reasons why points cannot be simulated, by their keys.
    """

    def __init__(self, store: SweepStore, executor: Executor) -> None:
        self._store, self._executor = store, executor
        self.left_out: dict[str, str] = {}
        self._frames = [store.finished()]

    def rows(self, points: Sequence[Point]) -> pd.DataFrame:
        """The rows of points, in their order; missing ones are simulated, and those that cannot be are left out.

        Raises
        ------
        InputError
            No point can be simulated, or a worker, which loads the program on its own, found another version of it.
        """
        import pandas as pd

        keyed = {point.key: point for point in points}
        known = {key for frame in self._frames for key in frame.index}
        missing = [point for key, point in keyed.items() if key not in known | self.left_out.keys()]
        with (
            stage(f"simulating {len(missing)} of {len(keyed)} points", len(missing)) as advance,
            closing(self._executor.run(point_rows.simulate_possible, batches(missing))) as finished,
        ):
            for found in finished:
                self.left_out |= found.left_out
                if found.rows:
                    self._frames.append(self._store.append(found.rows))
                advance(len(found.rows) + len(found.left_out))
        wanted = [key for key in keyed if key not in self.left_out]
        if not wanted:
            raise InputError(next(iter(self.left_out.values())))
        self._frames = [pd.concat([frame for frame in self._frames if len(frame)])]
        if not set(wanted) <= set(self._frames[0].index):
            raise InputError("sweep: the program's files changed during the run; run it again")
        return self._frames[0].loc[wanted].reset_index()


def batches(points: Any, limit: int = BATCH_LIMIT) -> list[Any]:
    """Points cut into batches; a worker computes one batch, which becomes one part of the store."""
    size = min(limit, max(1, len(points) // BATCHES))
    return [points[start : start + size] for start in range(0, len(points), size)]


def undefined_metrics(spec: SweepSpec, frame: pd.DataFrame) -> dict[str, int]:
    """Metrics and derived columns that are not a finite number everywhere, with the number of rows where they are not."""
    numbers = frame[[name for name in spec.formulas.added if frame[name].dtype.kind == "f"]]
    counts = (~np.isfinite(numbers)).sum()
    return {str(name): int(count) for name, count in counts.items() if count}
