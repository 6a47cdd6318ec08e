"""The folder of a sweep: finished points in Parquet parts that appear whole or not at all.

A point is found again by its key, which names its input and the program's version. So a run that was killed loses the
points in flight and nothing else, and a rerun computes what is missing.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...formats import InputError
from ...workloads.files import LOCK, PART, file_sha256, locked, unfinished, whole_file
from ..files import csv_text
from ..folder import make_folder

if TYPE_CHECKING:
    import pandas as pd

MANIFEST = "manifest.json"
RESULTS = "results.parquet"
CHECKSUMS = "results.sha256"
PARTS_LIMIT = 64
"""Parts that are merged into one when the folder is opened, so that a large sweep loads fast."""


class SweepStore:
    """Reads and writes one sweep's folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

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

    def publish(self, frame: pd.DataFrame) -> None:
        """Write the whole result, ``results.parquet`` and ``results.csv``, and their checksums for ``sha256sum --check``."""
        files = {RESULTS: parquet_bytes(frame), "results.csv": csv_text(frame).encode()}
        for name, content in files.items():
            write_atomically(self.folder / name, content)
        lines = [f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in files.items()]
        write_atomically(self.folder / CHECKSUMS, "".join(lines).encode())


def parquet_bytes(frame: pd.DataFrame) -> bytes:
    """A frame as a Parquet file, without its index."""
    buffer = io.BytesIO()
    frame.to_parquet(buffer, index=False)
    return buffer.getvalue()


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
        raise InputError(f"out: {path} cannot be written ({error.strerror}); finished points are kept") from None


def _is_own_temporary(path: Path) -> bool:
    return path.name == LOCK or (path.name.startswith((".part-", f".{MANIFEST}.", ".results.")) and path.suffix == PART)


def _read_manifest(path: Path) -> Any:
    try:
        return json.loads(path.read_text("utf-8"))
    except ValueError:
        raise InputError(f"out: {path} is damaged; name another folder") from None


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
