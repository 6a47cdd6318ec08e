"""Tensors of a checkpoint folder, read one at a time from its safetensors files."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import ml_dtypes as ml_dtypes  # NumPy learns bfloat16 from it
import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from ...formats import InputError
from ..files import file_sha256
from ..models.parameters import FloatArray

_FLOATS = ("F32", "F16", "BF16")


class SafetensorsFolder:
    """Tensors of ``model.safetensors``, or of the files that ``model.safetensors.index.json`` lists.

    The files are mapped into memory; a tensor is read when it is needed.

    Raises
    ------
    InputError
        A file is missing or damaged, or its header contradicts itself.
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
        self._paths = [folder / name for name in sorted(names)]
        self._slices: dict[str, Any] = {}
        for path in self._paths:
            file = _open(path)
            self._slices |= {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118

    def __contains__(self, name: str) -> bool:
        return name in self._slices

    def sha256(self) -> str:
        """Hexadecimal sha256 of all files together."""
        return hashlib.sha256("".join(map(file_sha256, self._paths)).encode()).hexdigest()

    def dtype(self, name: str) -> str:
        """Stored type of a tensor: ``"F32"``, ``"BF16"``, …

        Raises
        ------
        InputError
            The tensor is missing.
        """
        return self._slice(name).get_dtype()

    def floats(self, name: str, shape: tuple[int, ...], rows: NDArray[np.integer] | None = None) -> FloatArray:
        """Read a tensor, or some of its rows, as float32.

        Raises
        ------
        InputError
            The tensor is missing, or has another shape or type.
        """
        stored = self._checked(name, shape, _FLOATS, "floats")
        values = stored[:] if rows is None else np.stack([stored[int(row)] for row in rows])
        return values.astype(np.float32, copy=False)

    def integers(self, name: str, shape: tuple[int, ...]) -> NDArray[np.int32]:
        """Read a tensor of 32-bit words.

        Raises
        ------
        InputError
            The tensor is missing, or has another shape or type.
        """
        return self._checked(name, shape, ("I32",), "32-bit integers")[:]

    def _checked(self, name: str, shape: tuple[int, ...], dtypes: tuple[str, ...], kind: str) -> Any:
        stored = self._slice(name)
        if tuple(stored.get_shape()) != shape or stored.get_dtype() not in dtypes:
            found = f"{stored.get_dtype()} {stored.get_shape()}"
            raise InputError(
                f"checkpoint: {self._folder}: {name} is {found}, not {kind} {list(shape)}; copy the folder again"
            )
        return stored

    def _slice(self, name: str) -> Any:
        if name not in self._slices:
            raise InputError(f"checkpoint: {self._folder} holds no tensor {name!r}; give a complete checkpoint")
        return self._slices[name]


def _open(path: Path) -> Any:
    try:
        return safe_open(path, framework="numpy")
    except FileNotFoundError:
        raise InputError(f"checkpoint: {path} does not exist; give a folder with safetensors weights") from None
    except SafetensorError as error:
        raise InputError(f"checkpoint: {path} is damaged or no safetensors file ({error}); copy it again") from None
