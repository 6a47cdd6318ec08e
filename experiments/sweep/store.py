"""The folder of a sweep: finished points in Parquet parts that appear whole or not at all.

A point is found again by its key, which names its input and the program's version. So a run that was killed loses the
points in flight and nothing else, and a rerun computes what is missing.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...formats import InputError
from ..folder import is_free, make_folder

if TYPE_CHECKING:
    import pandas as pd

MANIFEST = "manifest.json"


class SweepStore:
    """Reads and writes one sweep's folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @contextmanager
    def opened(self, sweep: dict[str, Any]) -> Generator[None]:
        """Claim the folder for a sweep, for as long as the context lasts.

        Raises:
            InputError: the folder holds something else, or another run is at work in it.
        """
        self._claim(sweep)
        with (self.folder / ".lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise InputError(f"out: another run is at work in {self.folder}; wait for it or name another") from None
            yield

    def _claim(self, sweep: dict[str, Any]) -> None:
        manifest = self.folder / MANIFEST
        if manifest.is_file():
            if _read_manifest(manifest) != sweep:
                raise InputError(f"out: {self.folder} holds another sweep and is not overwritten; name another folder")
            return
        if not is_free(self.folder):
            raise InputError(f"out: {self.folder} is not empty and holds no sweep; name another folder")
        make_folder(self.folder)
        write_atomically(manifest, json.dumps(sweep, indent=2).encode())

    def finished(self) -> dict[str, dict[str, Any]]:
        """Rows of all finished points by key, from the parts.

        Raises:
            InputError: a part cannot be read.
        """
        rows: dict[str, dict[str, Any]] = {}
        for part in sorted(self.folder.glob("part-*.parquet")):
            rows |= {row["key"]: row for row in _read_part(part)}
        return rows

    def append(self, rows: Sequence[dict[str, Any]]) -> None:
        """Keep finished points."""
        import io

        import pandas as pd

        buffer = io.BytesIO()
        pd.DataFrame(rows).to_parquet(buffer, index=False)
        write_atomically(self.folder / f"part-{rows[0]['key']}.parquet", buffer.getvalue())

    def publish(self, frame: pd.DataFrame) -> None:
        """Write the whole result, ``results.parquet`` and ``results.csv``."""
        import io

        buffer = io.BytesIO()
        frame.to_parquet(buffer, index=False)
        write_atomically(self.folder / "results.parquet", buffer.getvalue())
        write_atomically(self.folder / "results.csv", frame.to_csv(index=False).encode())


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file that appears under its name only when it is complete."""
    part = path.with_name(f".{path.name}.{os.getpid()}")
    part.write_bytes(content)
    part.replace(path)


def _read_manifest(path: Path) -> Any:
    try:
        return json.loads(path.read_text("utf-8"))
    except ValueError:
        raise InputError(f"out: {path} is damaged; name another folder") from None


def _read_part(path: Path) -> list[dict[str, Any]]:
    import pandas as pd
    import pyarrow as pa

    try:
        return pd.read_parquet(path).to_dict("records")  # pyright: ignore[reportReturnType]
    except (OSError, ValueError, pa.ArrowInvalid):
        raise InputError(f"out: {path} is damaged; remove it and run the sweep again") from None
