"""Tensors of a checkpoint folder, read one at a time from its safetensors files."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...formats import InputError
from ...formats.checks import check_finite
from ...formats.documents.border import border
from ...formats.documents.tensor_file import open_tensors
from ..files import file_sha256
from ..models.parameters import FloatArray
from .hf_config import read_index

OTHER_FORMATS = ("pytorch_model*.bin", "*.pt", "*.pth", "tf_model.h5", "flax_model.msgpack")
"""Files of weights that are not read: their formats are programs, or need other packages."""
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
        files = read_index(index) if index.is_file() else {}
        self._paths = [folder / name for name in sorted(set(files.values()) or {"model.safetensors"})]
        self._slices: dict[str, Any] = {}
        for path in self._paths:
            file = _open(path)
            names = (name for name in file.keys() if files.get(name, path.name) == path.name)  # noqa: SIM118
            self._slices |= {name: file.get_slice(name) for name in names}

    def __contains__(self, name: str) -> bool:
        return name in self._slices

    def names(self) -> list[str]:
        """Names of all tensors."""
        return list(self._slices)

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
            The tensor is missing, has another shape or type, or holds infinities or NaN.
        """
        stored = self._checked(name, shape, _FLOATS, "floats")
        values = stored[:] if rows is None else np.stack([stored[int(row)] for row in rows])
        return check_finite(f"checkpoint: {self._folder}: {name}", values.astype(np.float32, copy=False))

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
    with border(f"checkpoint: {path} is damaged or no safetensors file", "copy it again"):
        if not path.is_file():
            raise InputError(f"checkpoint: {path} does not exist; {_advice(path.parent)}")
        return open_tensors(path)


def _advice(folder: Path) -> str:
    """How to get safetensors weights of this folder."""
    others = sorted(path.name for pattern in OTHER_FORMATS for path in folder.glob(pattern))
    if not others:
        return "give a folder with safetensors weights"
    return (
        f"{others[0]} is in another format, which may run code when it is read; convert it with transformers: "
        "AutoModelForCausalLM.from_pretrained(folder).save_pretrained(new_folder)"
    )
