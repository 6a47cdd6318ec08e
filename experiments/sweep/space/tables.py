"""Rows of a sweep as Arrow tables: Parquet parts, and results that are written a group of rows at a time."""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as csv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ...files import spreadsheet_text
from .keys import KEY_CHARACTERS

if TYPE_CHECKING:
    import pandas as pd

GROUP_ROWS = 1 << 13
"""Rows of a group of the results, if the parts are smaller."""


def row_table(rows: Sequence[dict[str, Any]]) -> pa.Table:
    """Rows as a table."""
    import pandas as pd

    return frame_table(pd.DataFrame(rows))


def frame_table(frame: pd.DataFrame) -> pa.Table:
    """A frame as a table, without its index."""
    return pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata()


def key_column(characters: NDArray[np.uint8]) -> pa.Array:
    """Keys of `keys.key_bytes` as a column."""
    offsets = np.arange(len(characters) + 1, dtype=np.int32) * KEY_CHARACTERS
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(np.ascontiguousarray(characters))]
    return pa.Array.from_buffers(pa.string(), len(characters), buffers)


def coded_column(codes: NDArray[np.int32], values: NDArray[Any]) -> pa.Array:
    """A column of the values at some places; texts stay in a dictionary."""
    if values.dtype != object:
        return number_column(values[codes])
    return pa.DictionaryArray.from_arrays(number_column(codes), text_column(values.tolist()))


def text_column(texts: Sequence[str]) -> pa.Array:
    """A column of texts."""
    content = [text.encode() for text in texts]
    offsets = np.concatenate([[0], np.cumsum([len(text) for text in content])]).astype(np.int32)
    return pa.Array.from_buffers(
        pa.string(), len(texts), [None, pa.py_buffer(offsets), pa.py_buffer(b"".join(content))]
    )


def number_column(values: NDArray[Any]) -> pa.Array:
    """A column of numbers; `pyarrow.array` would load pandas to look at an array."""
    content = np.packbits(values, bitorder="little") if values.dtype == np.bool_ else np.ascontiguousarray(values)
    return pa.Array.from_buffers(pa.from_numpy_dtype(values.dtype), len(values), [None, pa.py_buffer(content)])


def parquet_bytes(table: pa.Table, label: Mapping[str, str] | None = None) -> bytes:
    """A table as a Parquet file, with a label."""
    buffer = io.BytesIO()
    with pq.ParquetWriter(buffer, table.schema, store_schema=False) as rows:
        rows.add_key_value_metadata(dict(label or {}))
        rows.write_table(table)
    return buffer.getvalue()


def row_count(parquet: Path) -> int:
    """Number of rows of a Parquet file."""
    return pq.read_metadata(parquet).num_rows


def common_schema(parts: Iterable[Path]) -> pa.Schema:
    """The schema of all parts; a column that holds numbers with a fraction in one of them does so in all."""
    return pa.unify_schemas([pq.read_schema(part) for part in filter(row_count, parts)], promote_options="permissive")


def read_tables(parts: Iterable[Path], schema: pa.Schema) -> Iterator[pa.Table]:
    """The tables of parts that have rows, one after the other."""
    for part in filter(row_count, parts):
        yield pq.ParquetFile(part).read(use_threads=False).cast(schema)


def columns_of(table: pa.Table, names: Iterable[str]) -> Mapping[str, NDArray[Any]]:
    """Some columns as arrays; texts are objects."""
    return {name: table.column(name).to_numpy() for name in names}


def regrouped(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """Small tables joined to groups of `GROUP_ROWS` rows or more."""
    waiting: list[pa.Table] = []
    for table in tables:
        waiting.append(table)
        if sum(map(len, waiting)) >= GROUP_ROWS:
            yield pa.concat_tables(waiting)
            waiting = []
    if waiting:
        yield pa.concat_tables(waiting)


def write_results(tables: Iterable[pa.Table], parquet: Path, text: Path, label: Mapping[str, str]) -> None:
    """Write the same rows to a Parquet file with a label and to a CSV file, group by group."""
    groups = regrouped(tables)
    first = next(groups)
    with (
        pq.ParquetWriter(parquet, first.schema, store_schema=False) as rows,
        csv.CSVWriter(text, first.schema) as lines,
    ):
        rows.add_key_value_metadata(dict(label))
        for group in itertools.chain([first], groups):
            rows.write_table(group)
            lines.write_table(_for_spreadsheets(group))


def _for_spreadsheets(table: pa.Table) -> pa.Table:
    """A table with texts as a CSV file has them."""
    for place, field in enumerate(table.schema):
        if field.name == "key" or not (pa.types.is_string(field.type) or pa.types.is_large_string(field.type)):
            continue
        texts = table.column(place).unique().drop_null().to_pylist()
        if changed := {text: spreadsheet_text(text) for text in texts if spreadsheet_text(text) != text}:
            cells = [changed.get(text, text) for text in table.column(place).to_pylist()]
            table = table.set_column(place, field, pa.array(cells, type=field.type))
    return table


def label_of(parquet: Path, name: str) -> str | None:
    """A label of a Parquet file's footer; None if there is none, or no such file."""
    try:
        found = pq.read_metadata(parquet).metadata or {}
    except (OSError, pa.ArrowException):
        return None
    return found[name.encode()].decode() if name.encode() in found else None
