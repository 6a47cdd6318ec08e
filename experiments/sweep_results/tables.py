"""Rows of a sweep as tables for people: the columns that vary, as many as fit a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..sweep.points import setting_columns

if TYPE_CHECKING:
    import pandas as pd

BEST, ROWS = 10, 40
"""Rows of a summary: of least energy; the first ones if all energies are equal."""
ESSENTIAL = ("model", "arch", "precision", "cycles", "dram_bytes", "area_mm2", "energy_total_pj", "loss_percent")
"""Columns of a table if no column varies."""
WIDTH = 150
"""Most characters in a line of a table; columns of a wider one are left out, `LESS_WANTED` first."""
LESS_WANTED = ("bops_saving", "sram_bytes", "loss_standard_error_percent", "dram_bytes", "format_bits")


def summary_rows(frame: pd.DataFrame) -> tuple[Sequence[str], list[tuple[str, ...]]]:
    """Columns and rows for a terminal: the points of least energy, or the first points if all energies are equal."""
    best = frame.sort_values("energy_total_pj", kind="stable").head(BEST if energies_differ(frame) else ROWS)
    return fitting_rows(best, varying_columns(frame))


def energies_differ(frame: pd.DataFrame) -> bool:
    """True if points differ in energy."""
    return frame["energy_total_pj"].nunique() > 1


def varying_columns(frame: pd.DataFrame) -> list[str]:
    """The columns that vary, without those that follow from others."""
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
    details += ("perplexity",)
    if frame["precision"].nunique() > 1:
        details += ("format_bits",)
    names = [str(name) for name in frame.columns if not str(name).startswith(details)]
    return [name for name in names if frame[name].nunique() > 1] or [name for name in ESSENTIAL if name in frame]


def fitting_rows(frame: pd.DataFrame, columns: Sequence[str]) -> tuple[Sequence[str], list[tuple[str, ...]]]:
    """Columns and rows as text, with as many columns as fit a terminal.

    `LESS_WANTED` columns are left out first, then the fields of architecture and technology that the sweep sets.
    """
    kept = list(columns)
    for dropped in (*([name] for name in LESS_WANTED), setting_columns(frame)):
        _, rows = table_rows(frame, kept)
        if sum(max(map(len, cells)) + GAP for cells in zip(kept, *rows, strict=True)) <= WIDTH:
            break
        kept = [column for column in kept if column not in dropped]
    return table_rows(frame, kept)


GAP = 3
"""Characters between columns."""


def table_rows(frame: pd.DataFrame, columns: Sequence[str]) -> tuple[Sequence[str], list[tuple[str, ...]]]:
    """Columns and rows as text."""
    rows = frame[list(columns)].itertuples(index=False)
    return columns, [tuple(f"{cell:.6g}" if isinstance(cell, float) else str(cell) for cell in row) for row in rows]
