"""The file of quantised weights: safetensors, with parameters and a checksum in the metadata.

The metadata entry `ENTRY` holds JSON: ``version`` (2), ``format`` (a name of `PackedWeights`), ``parameters`` and
``sha256``, the checksum of all of these and of name, dtype, shape and bytes of each array.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from ..errors import InputError

ENTRY = "anda_weights"
VERSION = 2
_DTYPES = ("uint8", "uint16", "uint32", "float16", "float32")

Parameters = Mapping[str, Any]
Arrays = Mapping[str, NDArray[Any]]


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
    try:
        arrays = load(data)
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        description = json.loads(header["__metadata__"][ENTRY])
        version, sha256 = description["version"], description.pop("sha256")
        name, parameters = description["format"], description["parameters"]
    except (SafetensorError, ValueError, KeyError, TypeError, AttributeError):
        raise InputError("data: is not a weight file, or is damaged; give the bytes that to_bytes() wrote") from None
    if not isinstance(name, str) or not isinstance(parameters, dict):
        raise InputError("data: is not a weight file, or is damaged; give the bytes that to_bytes() wrote")
    if version != VERSION:
        raise InputError(f"data: is version {version} of the weight file, this program reads {VERSION}; write it again")
    if _checksum(description, arrays) != sha256:
        raise InputError("data: does not match its checksum, so it is damaged; write it again")
    for key, array in arrays.items():
        if array.dtype.name not in _DTYPES:
            raise InputError(f"data: array {key!r} is {array.dtype}; write it with one of {', '.join(_DTYPES)}")
    return name, Image(parameters, arrays)


def _checksum(description: Mapping[str, Any], arrays: Arrays) -> str:
    """SHA-256 of the description and of all arrays, as hexadecimal digits."""
    names = sorted(arrays)
    listing = [[name, str(arrays[name].dtype), list(arrays[name].shape)] for name in names]
    digest = hashlib.sha256(json.dumps([description, listing], sort_keys=True).encode())
    for name in names:
        array = arrays[name]
        digest.update(array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes())
    return digest.hexdigest()
