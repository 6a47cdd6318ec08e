"""The table of all points: its columns, on the pages and on the screen."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .answer import TOLERANCE, short_name

if TYPE_CHECKING:
    import pandas as pd


def _number(value: Any, form: str) -> str:
    import pandas as pd

    return "" if pd.isna(value) else format(value, form)


_CELLS: Mapping[str, Callable[[Mapping[Any, Any]], str]] = {
    "point": short_name,
    "loss %": lambda row: _number(row["loss_percent"], "+.2f"),
    "± %": lambda row: _number(row["interval_95_percent"], ".2f"),
    "blocks": lambda row: _number(row["blocks"], "d"),
    "tokens": lambda row: _number(row["tokens"], ",.0f"),
    "KL nats": lambda row: _number(row["kl_nats"], ".5f"),
    "top-1 %": lambda row: _number(row["top1_disagreement_percent"], ".2f"),
    "tempered %": lambda row: _number(row["tempered_loss_percent"], "+.2f"),
    "bits": lambda row: _number(row["bits_per_value"], ".2f"),
    "BOPs saving": lambda row: f"{row['bops_saving']:.2f}",
    "cycles": lambda row: f"{row['cycles']:,}",
    "speedup": lambda row: f"{row['speedup']:.2f}",
    "energy mJ": lambda row: f"{row['energy_pj'] / 1e9:.2f}",
    "energy saving": lambda row: f"{row['energy_saving']:.2f}",
    "mm²": lambda row: f"{row['area_mm2']:.2f}",
    "area": lambda row: f"{row['area_ratio']:.2f}",
}
"""Columns of the table, and the text of a row in each."""
TABLE_COLUMNS = tuple(_CELLS)
SCREEN_COLUMNS = ("point", "loss %", "± %", "blocks", "bits", "speedup", "energy mJ", "energy saving", "area")
"""Columns that fit a terminal of 80 columns."""
NEAR_TOLERANCE = 4
"""Uniform precisions on the screen: the widest beyond the tolerance, and those that follow it."""


def rows_that_matter(frame: pd.DataFrame) -> pd.DataFrame:
    """The machines, mixed precisions and further formats, and the uniform precisions from one below the tolerance's narrowest."""
    uniform = frame[frame["kind"] == "uniform"].sort_values("mantissa_bits_qkv")
    beyond = int((uniform["loss_percent"] > 100 * TOLERANCE).to_numpy().cumprod().sum())
    near = uniform.index[max(0, beyond - 1) :][:NEAR_TOLERANCE]
    return frame[frame["kind"].isin(("baseline", "architecture", "mixed", "format")) | frame.index.isin(near)]


def table_rows(frame: pd.DataFrame, columns: Sequence[str] = TABLE_COLUMNS) -> list[tuple[str, ...]]:
    """Rows of the table as text, for the pages and the terminal."""
    return [tuple(_CELLS[column](row) for column in columns) for row in frame.to_dict("records")]
