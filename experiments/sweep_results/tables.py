"""Rows of a sweep as tables for people: the columns that vary, as many as fit a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..sweep.evaluation import BLOCKS_COLUMN
from ..sweep.points import setting_columns

if TYPE_CHECKING:
    import pandas as pd

BEST, ROWS = 10, 40
"""Rows of a summary: of least energy; the first ones if all energies are equal."""
ESSENTIAL = ("model", "arch", "precision", "cycles", "dram_bytes", "area_mm2", "energy_total_pj", "loss_percent")
"""Columns of a table if no column varies."""
WIDTH = 150
"""Most characters in a line of a table; columns of a wider one are left out, `LESS_WANTED` first."""
LESS_WANTED = (
    "bops_saving",
    "sram_bytes",
    "top1_disagreement_percent",
    "tempered_loss_percent",
    "loss_bound_percent",
    "loss_standard_error_percent",
    "kl_nats",
    "dram_bytes",
    "format_bits",
)


class StoredRows:
    """Rows of a Parquet file, of which only what is needed is read: footers tell which columns vary."""

    def __init__(self, file: Path) -> None:
        import pyarrow.parquet as pq

        self._file = pq.ParquetFile(file)
        self.count: int = self._file.metadata.num_rows
        self.columns: list[str] = self._file.schema_arrow.names

    def varies(self, name: str) -> bool:
        """True if a column has several values."""
        place, metadata = self.columns.index(name), self._file.metadata
        groups = (metadata.row_group(group).column(place).statistics for group in range(metadata.num_row_groups))
        return len({bound for found in groups if found and found.has_min_max for bound in (found.min, found.max)}) > 1

    def read(self, names: list[str]) -> pd.DataFrame:
        """Some columns of all rows."""
        return self._file.read(names).to_pandas()

    def least(self, name: str, count: int) -> list[dict[str, Any]]:
        """The rows with the least values in a column, the first ones of equal rows first."""
        groups = range(self._file.num_row_groups)
        chunks = [self._file.read_row_group(group, [name], use_threads=False).column(0).chunk(0) for group in groups]
        costs, start = np.concatenate([np.from_dlpack(chunk) for chunk in chunks]), 0  # without pandas, which is large
        taken = np.argsort(costs, kind="stable")[:count]
        found: dict[int, dict[str, Any]] = {}
        for group in groups:
            stop = start + self._file.metadata.row_group(group).num_rows
            if len(rows := np.sort(taken[(taken >= start) & (taken < stop)])):
                table = self._file.read_row_group(group, use_threads=False)
                found |= {int(row): table.slice(int(row) - start, 1).to_pylist()[0] for row in rows}
            start = stop
        return [found[int(row)] for row in taken]


def summary_rows(rows: StoredRows) -> tuple[Sequence[str], list[tuple[str, ...]]]:
    """Columns and rows for a terminal: the points of least energy, or the first points if all energies are equal."""
    best = rows.least("energy_total_pj", BEST if energies_differ(rows) else ROWS)
    columns = _varying(rows.columns, rows.varies)
    return _fitting(lambda names: [_texts(row[name] for name in names) for row in best], columns, rows.columns)


def energies_differ(rows: StoredRows) -> bool:
    """True if points differ in energy."""
    return rows.varies("energy_total_pj")


def varying_columns(frame: pd.DataFrame) -> list[str]:
    """The columns that vary, without those that follow from others."""
    return _varying([str(name) for name in frame.columns], lambda name: frame[name].nunique() > 1)


def _varying(columns: Sequence[str], varies: Callable[[str], bool]) -> list[str]:
    details = (
        "key",
        "seconds",
        "macs",
        "mantissa_bits_",
        "energy_compute_pj",
        "energy_sram_pj",
        "energy_dram_pj",
        "energy_background_pj",
    )
    details += ("perplexity", BLOCKS_COLUMN)
    if varies("precision"):
        details += ("format_bits",)
    names = [name for name in columns if not name.startswith(details)]
    return [name for name in names if varies(name)] or [name for name in ESSENTIAL if name in columns]


def fitting_rows(frame: pd.DataFrame, columns: Sequence[str]) -> tuple[Sequence[str], list[tuple[str, ...]]]:
    """Columns and rows as text, with as many columns as fit a terminal.

    `LESS_WANTED` columns are left out first, then the fields of architecture and technology that the sweep sets.
    """
    return _fitting(lambda names: table_rows(frame, names)[1], columns, [str(name) for name in frame.columns])


def _fitting(
    cells: Callable[[Sequence[str]], list[tuple[str, ...]]], columns: Sequence[str], every: Sequence[str]
) -> tuple[Sequence[str], list[tuple[str, ...]]]:
    """As many columns as fit, and their cells as `cells` gives them; `every` are all columns of the results."""
    kept = list(columns)
    for dropped in (*([name] for name in LESS_WANTED), setting_columns(every)):
        rows = cells(kept)
        if sum(max(map(len, texts)) + GAP for texts in zip(kept, *rows, strict=True)) <= WIDTH:
            break
        kept = [column for column in kept if column not in dropped]
    return kept, cells(kept)


GAP = 3
"""Characters between columns."""


def table_rows(frame: pd.DataFrame, columns: Sequence[str]) -> tuple[Sequence[str], list[tuple[str, ...]]]:
    """Columns and rows as text."""
    return columns, [_texts(row) for row in frame[list(columns)].itertuples(index=False)]


def _texts(cells: Iterable[Any]) -> tuple[str, ...]:
    return tuple(f"{cell:.6g}" if isinstance(cell, float) else str(cell) for cell in cells)
