"""Safetensors files without their library: tensors of a folder by name, one at a time, and files that appear whole.

BF16, which NumPy does not know, is read too. A file is written tensor by tensor, so that a full disk is an error of the
operating system and the sha256 costs no second reading.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...formats import InputError
from ..fetch import file_sha256
from ..models.parameters import FloatArray

_FLOATS = {"F32": np.dtype("<f4"), "F16": np.dtype("<f2"), "BF16": np.dtype("<u2")}
_INTEGERS = {"I32": np.dtype("<i4")}
_WRITTEN = {"float32": "F32", "float16": "F16", "int8": "I8"}


class SafetensorsFolder:
    """``model.safetensors``, or the files that ``model.safetensors.index.json`` lists.

    Raises:
        InputError: there is no such file, or one is truncated or damaged.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        index = folder / "model.safetensors.index.json"
        names = {"model.safetensors"}
        if index.is_file():
            try:
                names = set(json.loads(index.read_text("utf-8"))["weight_map"].values())
            except (ValueError, KeyError, TypeError, AttributeError):
                raise InputError(f"checkpoint: {index} is damaged; copy it again") from None
        self._files = [folder / name for name in sorted(names)]
        self._entries: dict[str, tuple[Path, int, dict[str, Any]]] = {}
        for path in self._files:
            for name, entry in _header(path).items():
                self._entries[name] = (path, *entry)

    def __contains__(self, name: str) -> bool:
        return name in self._entries

    def sha256(self) -> str:
        """Of all files together."""
        return hashlib.sha256("".join(map(file_sha256, self._files)).encode()).hexdigest()

    def dtype(self, name: str) -> str:
        """How the file stores a tensor: ``"F32"``, ``"BF16"``, …

        Raises:
            InputError: it is missing.
        """
        return self._entry(name)[2]["dtype"]

    def floats(self, name: str, shape: tuple[int, ...], rows: NDArray[np.integer] | None = None) -> FloatArray:
        """A tensor, or some of its rows, as float32.

        Raises:
            InputError: it is missing, or of another shape or type.
        """
        stored = self._map(name, shape, _FLOATS, "floats")
        values = np.array(stored if rows is None else stored[rows])
        if self.dtype(name) == "BF16":
            return (values.astype(np.uint32) << 16).view(np.float32)
        return values.astype(np.float32, copy=False)

    def integers(self, name: str, shape: tuple[int, ...]) -> NDArray[np.int32]:
        """A tensor of 32-bit words.

        Raises:
            InputError: it is missing, or of another shape or type.
        """
        return np.array(self._map(name, shape, _INTEGERS, "32-bit integers"))

    def _map(self, name: str, shape: tuple[int, ...], dtypes: dict[str, np.dtype[Any]], kind: str) -> NDArray[Any]:
        """A tensor where it lies in its file, which is read as far as it is used."""
        path, start, entry = self._entry(name)
        if tuple(entry["shape"]) != shape or entry["dtype"] not in dtypes:
            found = f"{entry['dtype']} {entry['shape']}"
            raise InputError(f"checkpoint: {self._folder}: {name} is {found}; its config needs {kind} {list(shape)}")
        offset = start + entry["data_offsets"][0]
        return np.memmap(path, dtypes[entry["dtype"]], mode="r", offset=offset, shape=shape)

    def _entry(self, name: str) -> tuple[Path, int, dict[str, Any]]:
        if name not in self._entries:
            raise InputError(f"checkpoint: {self._folder} holds no tensor {name!r}; give a complete checkpoint")
        return self._entries[name]


def write_safetensors(path: Path, tensors: Mapping[str, NDArray[Any]], metadata: Mapping[str, str]) -> str:
    """Write float32, float16 and int8 arrays; the file appears under its name when it is complete. Returns its sha256.

    Raises:
        OSError: it cannot be written, for instance because the disk is full; what was begun is removed.
    """
    header: dict[str, Any] = {"__metadata__": dict(metadata)}
    end = 0
    for name, values in tensors.items():
        start, end = end, end + values.nbytes
        header[name] = {
            "dtype": _WRITTEN[values.dtype.name],
            "shape": list(values.shape),
            "data_offsets": [start, end],
        }
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    part = path.with_name(path.name + ".part")
    digest = hashlib.sha256()
    try:
        with part.open("wb") as file:
            for piece in (len(text).to_bytes(8, "little"), text, *map(_bytes, tensors.values())):
                file.write(piece)
                digest.update(piece)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        part.unlink(missing_ok=True)
        raise
    part.replace(path)
    return digest.hexdigest()


def _bytes(values: NDArray[Any]) -> memoryview:
    return np.ascontiguousarray(values, values.dtype.newbyteorder("<")).data


def _header(path: Path) -> dict[str, tuple[int, dict[str, Any]]]:
    """Of each tensor: where the file's data starts, and its entry."""
    if not path.is_file():
        raise InputError(f"checkpoint: {path} does not exist; give a folder with safetensors weights")
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        try:
            header: dict[str, Any] = json.loads(file.read(min(length, size)))
            header.pop("__metadata__", None)
            end = max((entry["data_offsets"][1] for entry in header.values()), default=0)
        except (ValueError, KeyError, TypeError, AttributeError):
            end = size
            header = {}
    if 8 + length + end > size or not header:
        raise InputError(f"checkpoint: {path} is truncated or no safetensors file; copy it again")
    return {name: (8 + length, entry) for name, entry in header.items()}
