"""Tensors of a folder of safetensors files, by name, read one at a time; BF16 included, which NumPy does not know."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from ..formats import InputError
from .fetch import file_sha256
from .weights import FloatArray

_DTYPES = {"F32": np.dtype("<f4"), "F16": np.dtype("<f2"), "BF16": np.dtype("<u2")}


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
            names = set(json.loads(index.read_text("utf-8"))["weight_map"].values())
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

    def floats(self, name: str, shape: tuple[int, ...]) -> FloatArray:
        """A tensor as float32.

        Raises:
            InputError: it is missing, or of another shape or type.
        """
        if name not in self._entries:
            raise InputError(f"checkpoint: {self._folder} holds no tensor {name!r}; give a complete checkpoint")
        path, start, entry = self._entries[name]
        if tuple(entry["shape"]) != shape or entry["dtype"] not in _DTYPES:
            found = f"{entry['dtype']} {entry['shape']}"
            raise InputError(f"checkpoint: {self._folder}: {name} is {found}; its config needs floats {list(shape)}")
        dtype = _DTYPES[entry["dtype"]]
        values = np.fromfile(path, dtype, int(np.prod(shape)), offset=start + entry["data_offsets"][0]).reshape(shape)
        if entry["dtype"] == "BF16":
            return (values.astype(np.uint32) << 16).view(np.float32)
        return values.astype(np.float32)


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
