"""The folder of a sweep: finished points in Parquet parts that appear whole or not at all.

A part is found again by its name, which says sweep, program's version and chunk; a point of a search by its key. So a run that
was killed loses the points in flight and nothing else, and a rerun computes what is missing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...formats import InputError
from ...formats.documents.border import border
from ...formats.documents.json_file import read_json
from ...workloads.files import LOCK, PART, file_sha256, locked, unfinished, whole_file
from ..folder import make_folder

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

MANIFEST = "manifest.json"
RESULTS = "results.parquet"
TEXT = "results.csv"
CHECKSUMS = "results.sha256"
SWEEP = "sweep"
"""Label of the results: the name of their parts."""
PARTS_LIMIT = 64
"""Parts that are merged into one when the folder is opened, so that a large sweep loads fast."""


class SweepStore:
    """Reads and writes one sweep's folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.results = folder / RESULTS

    @contextmanager
    def opened(self, sweep: dict[str, Any]) -> Generator[None]:
        """Claim the folder for a sweep, for as long as the context lasts.

        Raises
        ------
        InputError
            The folder holds something else, cannot be made, or another run is at work in it.
        """
        self._require_free_or_sweep()
        make_folder(self.folder)
        with locked(self.folder):
            self._claim(sweep)
            self._remove_remains()
            yield

    def _require_free_or_sweep(self) -> None:
        if not self.folder.exists() or (self.folder / MANIFEST).is_file():
            return
        if not self.folder.is_dir() or any(not _is_own_temporary(path) for path in self.folder.iterdir()):
            raise InputError(f"out: {self.folder} is not empty and holds no sweep; name another folder")

    def _claim(self, sweep: dict[str, Any]) -> None:
        """Write the manifest, or compare with it; under the lock, so that of two first runs one is refused."""
        manifest = self.folder / MANIFEST
        if not manifest.is_file():
            write_atomically(manifest, json.dumps(sweep, indent=2).encode())
        elif _read_manifest(manifest) != json.loads(json.dumps(sweep)):
            raise InputError(f"out: {self.folder} holds another sweep and is not overwritten; name another folder")

    def _remove_remains(self) -> None:
        """Remove the unfinished files of a killed run."""
        for path in unfinished(self.folder):
            path.unlink()

    def finished(self) -> pd.DataFrame:
        """Rows of all finished points, of any version of the program, by key; parts that are damaged are removed."""
        import pandas as pd

        parts = [part for part in sorted(self.folder.glob("part-*-*.parquet")) if _is_intact(part)]
        if not parts:
            return pd.DataFrame({"key": []}).set_index("key")
        frame = pd.concat(map(pd.read_parquet, parts), ignore_index=True).drop_duplicates("key")
        if len(parts) > PARTS_LIMIT:
            self._merge(parts, frame)
        return frame.set_index("key")

    def _merge(self, parts: Sequence[Path], frame: pd.DataFrame) -> None:
        """Merge part files into one. If a kill leaves both, their rows count once."""
        merged = self._write_part(frame)
        for part in parts:
            if part != merged:
                part.unlink()

    def append(self, rows: Sequence[dict[str, Any]]) -> pd.DataFrame:
        """Keep finished points; they are returned by key."""
        import pandas as pd

        frame = pd.DataFrame(rows)
        self._write_part(frame)
        return frame.set_index("key")

    def _write_part(self, frame: pd.DataFrame) -> Path:
        content = parquet_bytes(frame)
        path = self.folder / f"part-{frame['key'].iloc[0]}-{_digest(content)}.parquet"
        write_atomically(path, content)
        return path

    def parts(self, sweep: str) -> dict[int, Path]:
        """The finished chunks of a sweep by their number; parts that are damaged are removed."""
        found = self.folder.glob(f"part-{sweep}-*-*.parquet")
        return {int(part.stem.split("-")[-2]): part for part in found if _is_intact(part)}

    def write_part(self, sweep: str, chunk: int, content: bytes) -> Path:
        """Keep a finished chunk of a sweep."""
        path = self.folder / f"part-{sweep}-{chunk:06}-{_digest(content)}.parquet"
        write_atomically(path, content)
        return path

    def is_published(self, sweep: str) -> bool:
        """True if the results are those of a sweep, bit for bit."""
        from .space.tables import label_of

        if label_of(self.results, SWEEP) != sweep or not (self.folder / CHECKSUMS).is_file():
            return False
        files = self.results, self.folder / TEXT
        return all(path.is_file() and is_as_published(path) for path in files)

    def publish(self, tables: Iterable[pa.Table], sweep: str = "", label: Mapping[str, str] | None = None) -> None:
        """Write the whole result, ``results.parquet`` and ``results.csv``, and their checksums for ``sha256sum --check``.

        Parameters
        ----------
        tables
            All rows, in order.
        sweep
            Name of the parts.
        label
            Further labels of ``results.parquet``.

        Raises
        ------
        InputError
            A file cannot be written; what was there stays.
        """
        from .space.tables import write_results

        paths = self.results, self.folder / TEXT
        try:
            with whole_file(paths[0]) as parquet, whole_file(paths[1]) as text:
                write_results(tables, parquet, text, {SWEEP: sweep, **(label or {})})
        except OSError as error:
            raise _unwritable(self.results, error) from None
        lines = [f"{file_sha256(path)}  {path.name}\n" for path in paths]
        write_atomically(self.folder / CHECKSUMS, "".join(lines).encode())


def parquet_bytes(frame: pd.DataFrame) -> bytes:
    """A frame as a Parquet file, without its index."""
    from .space import tables

    return tables.parquet_bytes(tables.frame_table(frame))


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file that appears under its name only when it is complete.

    Raises
    ------
    InputError
        It cannot be written, as on a full disk; what was there stays.
    """
    try:
        with whole_file(path) as part:
            part.write_bytes(content)
    except OSError as error:
        raise _unwritable(path, error) from None


def _unwritable(path: Path, error: OSError) -> InputError:
    return InputError(f"out: {path} cannot be written ({error.strerror}); finished points are kept")


def _is_own_temporary(path: Path) -> bool:
    return path.name == LOCK or (path.name.startswith((".part-", f".{MANIFEST}.", ".results.")) and path.suffix == PART)


def _read_manifest(path: Path) -> Any:
    with border(f"out: {path} is damaged", "name another folder", with_reason=False):
        return read_json(path)


def is_as_published(results: Path) -> bool:
    """False if a file of results differs from its checksum; True if there is no checksum beside it."""
    checksums = results.with_name(CHECKSUMS)
    return not checksums.is_file() or f"{file_sha256(results)}  {results.name}" in checksums.read_text().splitlines()


def _digest(content: bytes) -> str:
    """Checksum of a part, in its name."""
    return hashlib.sha256(content).hexdigest()[:16]


def _is_intact(part: Path) -> bool:
    """True if a part is as it was written; otherwise it is removed, and its points are simulated again."""
    if _digest(part.read_bytes()) == part.stem.rpartition("-")[2]:
        return True
    part.unlink()
    return False
