"""Metadata of traces, and the record of a capture: checked as a whole when they are read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ...formats.documents.border import border
from ...formats.documents.json_file import read_json
from ...formats.documents.schema import Document, parse
from ..files import whole_file

CHECKSUM = "sha256"
"""Key of metadata and records with the checksum of everything else; trace files of earlier versions have none."""
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
    linears: list[Linear]
    """Linear layers whose weights the trace has."""
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
    stream: str | None
    """The sha256 of the residual streams before the next layer; None if there are none."""
    sha256: str
    """Checksum of everything else."""


def read_record(path: Path, where: str, fix: str) -> dict[str, Any]:
    """Content of ``capture.json``; `InputError` with `where` and `fix` if it is damaged."""
    with border(where, fix, with_reason=False):
        record = read_json(path)
        parse(CaptureRecord, record)
        if record.pop(CHECKSUM) != checksum(record):
            raise ValueError("it does not match its checksum")
    return record


def write_record(
    path: Path, metadata: Mapping[str, Any], done: int, files: Mapping[str, str], stream: str | None
) -> None:
    """Write ``capture.json`` in one step; for the arguments see `CaptureRecord`."""
    record: dict[str, Any] = {"metadata": dict(metadata), "done": done, "files": dict(files), "stream": stream}
    with whole_file(path) as part:
        part.write_text(json.dumps(record | {CHECKSUM: checksum(record)}, indent=1) + "\n", "utf-8")


def checksum(metadata: Mapping[str, Any], tensors: Mapping[str, NDArray[Any]] = MappingProxyType({})) -> str:
    """Hexadecimal sha256 of metadata and of name, dtype, shape and bytes of each tensor."""
    digest = hashlib.sha256(json.dumps(metadata, sort_keys=True).encode())
    for name, values in sorted(tensors.items()):
        digest.update(f"{name} {values.dtype.str} {values.shape}".encode())
        digest.update(np.ascontiguousarray(values).data)
    return digest.hexdigest()
