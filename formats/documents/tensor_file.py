"""Files in the safetensors format: the library's reader, with its errors as `ValueError`.

The library checks that tensors are as long as shape and dtype say, and fill the file without gap or overlap. It writes them
in the order of the header, and so this reader takes tensors in another order for exchanged ones.
"""

import io
from pathlib import Path
from typing import Any, BinaryIO

import ml_dtypes as ml_dtypes  # NumPy learns bfloat16 from it
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load

from .border import open_file
from .json_file import MOST_BYTES, parse_json

Arrays = dict[str, NDArray[Any]]

UNORDERED = ("mlx",)
"""Formats, as metadata name them, of other writers, which sort the header but not the tensors."""


def open_tensors(path: Path) -> Any:
    """Handle of a file, whose tensors are read when they are needed."""
    with open_file(path) as file:
        _metadata(file)
    try:
        return safe_open(path, framework="numpy")
    except SafetensorError as error:
        raise ValueError(str(error)) from None


def read_tensors(path: Path) -> tuple[dict[str, str], Arrays]:
    """Metadata and all tensors of a file."""
    with open_tensors(path) as handle:
        return handle.metadata() or {}, {name: handle.get_tensor(name) for name in handle.keys()}  # noqa: SIM118


def load_tensors(data: bytes) -> tuple[dict[str, str], Arrays]:
    """Metadata and all tensors of the bytes of a file."""
    try:
        return _metadata(io.BytesIO(data)), load(data)
    except SafetensorError as error:
        raise ValueError(str(error)) from None


def _metadata(file: BinaryIO) -> dict[str, str]:
    """Metadata of the header; `ValueError` if the tensors are not in the header's order."""
    size = int.from_bytes(file.read(8), "little")
    header = parse_json(file.read(min(size, MOST_BYTES + 1)))
    metadata: dict[str, str] = header.pop("__metadata__", {})
    places = [entry["data_offsets"] for entry in header.values()]
    if places != sorted(places) and metadata.get("format") not in UNORDERED:
        raise ValueError("its tensors are not in the order of its header")
    return metadata
