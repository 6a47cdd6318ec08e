"""The file of quantised weights: safetensors, with parameters and a checksum in the metadata.

The metadata entry `ENTRY` holds JSON: ``version`` (2), ``format`` (a name of `PackedWeights`), ``parameters`` and
``sha256``, the checksum of all of these and of name, dtype, shape and bytes of each array.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Annotated, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from safetensors.numpy import save

from ..documents.border import border
from ..documents.json_file import parse_json
from ..documents.schema import Config, parse
from ..documents.tensor_file import load_tensors
from ..errors import InputError

ENTRY = "anda_weights"
VERSION = 2
_DTYPES = ("uint8", "uint16", "uint32", "float16", "float32")

Parameters = Mapping[str, Any]
Arrays = Mapping[str, NDArray[Any]]


Count = Annotated[int, Field(ge=0, lt=1 << 32)]


class Description(Config):
    """Metadata of the file."""

    version: int
    format: str
    parameters: dict[str, Count | str | list[Count]]
    sha256: str


class Image(NamedTuple):
    """Content of a file: parameters that are JSON values, and arrays of unsigned integers or floats."""

    parameters: Parameters
    arrays: Arrays

    @property
    def array_bytes(self) -> int:
        """Size of the arrays in bytes, without header and checksum."""
        return sum(array.nbytes for array in self.arrays.values())


def write(name: str, image: Image) -> bytes:
    """Bytes of the file for an image of the format ``name``; equal images give equal bytes."""
    description = {"version": VERSION, "format": name, "parameters": dict(image.parameters)}
    # one entry, since safetensors writes several in a random order
    entry = json.dumps(description | {"sha256": _checksum(description, image.arrays)})
    return save({key: np.ascontiguousarray(array) for key, array in image.arrays.items()}, {ENTRY: entry})


def read(data: bytes) -> tuple[str, Image]:
    """Name of the format, and the image.

    Raises
    ------
    InputError
        The bytes are no weight file, are cut short or damaged, or have another version.
    """
    with border("data: is not a weight file, or is damaged", "give the bytes that to_bytes() wrote"):
        metadata, arrays = load_tensors(data)
        description = parse_json(metadata[ENTRY])
        version = description["version"]
        if version != VERSION:
            raise InputError(
                f"data: is version {version} of the weight file, this program reads {VERSION}; write it again"
            )
        document = parse(Description, description)
    if _checksum(document.model_dump(exclude={"sha256"}), arrays) != document.sha256:
        raise InputError("data: does not match its checksum, so it is damaged; write it again")
    for key, array in arrays.items():
        if array.dtype.name not in _DTYPES:
            raise InputError(f"data: array {key!r} is {array.dtype}; write it with one of {', '.join(_DTYPES)}")
    return document.format, Image(document.parameters, arrays)


def _checksum(description: Mapping[str, Any], arrays: Arrays) -> str:
    """SHA-256 of the description and of all arrays, as hexadecimal digits."""
    names = sorted(arrays)
    listing = [[name, str(arrays[name].dtype), list(arrays[name].shape)] for name in names]
    digest = hashlib.sha256(json.dumps([description, listing], sort_keys=True).encode())
    for name in names:
        array = arrays[name]
        digest.update(array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes())
    return digest.hexdigest()
