"""Metadata of traces, and the record of a capture: checked as a whole when they are read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from ...formats.documents.border import border
from ...formats.documents.json_file import read_json
from ...formats.documents.schema import Document, parse

FOLDER_FILE = "capture.json"
"""File of a trace folder with the metadata and the sha256 of each layer's file."""

Count = Annotated[int, Field(ge=1, lt=1 << 32)]
Layer = Annotated[int, Field(ge=0, lt=1 << 16)]
Linear = Literal["q", "k", "v", "o", "gate", "up", "down"]


class TraceMetadata(Document):
    """Entries that every trace has; traces of checkpoints have more."""

    model: str
    model_sha256: str
    text_sha256: str
    layers: Annotated[list[Layer], Field(min_length=1)]
    tokens: Count
    linears: Annotated[list[Linear], Field(min_length=1)]
    weight_group_size: Count | None
    """None in a capture without a finished layer."""
    dtype: Literal["float16"]
    capture_version: int


class CaptureRecord(Document):
    """Progress of a capture, the content of ``capture.json``."""

    metadata: TraceMetadata
    done: Annotated[int, Field(ge=0, lt=1 << 16)]
    """Number of finished layers."""
    files: dict[Annotated[str, Field(pattern=r"^(0|[1-9][0-9]{0,4})$")], str]
    """The sha256 of the file of each kept layer."""


def read_record(path: Path, where: str, fix: str) -> dict[str, Any]:
    """Content of ``capture.json``; `InputError` with `where` and `fix` if it is damaged."""
    with border(where, fix, with_reason=False):
        record = read_json(path)
        parse(CaptureRecord, record)
    return record
