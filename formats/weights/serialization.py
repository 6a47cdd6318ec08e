"""The memory image of quantised weights: named arrays and parameters behind a header and a checksum.

Layout, little endian throughout:

=====  =====================================================================================
bytes  content
=====  =====================================================================================
4      magic ``ANDW``
2      version, 1
4      length of the description
...    description, JSON: the format's name, its parameters, and of each array name, dtype, shape
...    the arrays, in the order of the description, each in row-major order without gaps
4      CRC-32 of everything before
=====  =====================================================================================
"""

import json
import math
import struct
import zlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError

MAGIC = b"ANDW"
VERSION = 1
_FIXED = struct.Struct("<4sHI")
_CHECKSUM = struct.Struct("<I")
_DTYPES = ("uint8", "uint16", "uint32", "float16", "float32")

Parameters = Mapping[str, Any]
Arrays = Mapping[str, NDArray[Any]]


class Image(NamedTuple):
    """What a file holds: parameters that are JSON values, and arrays of the file's dtypes."""

    parameters: Parameters
    arrays: Arrays

    @property
    def array_bytes(self) -> int:
        """Size of the arrays, without header and checksum."""
        return sum(array.nbytes for array in self.arrays.values())


def write(name: str, image: Image) -> bytes:
    """The file of an image of the format ``name``."""
    listing = [[key, str(array.dtype), list(array.shape)] for key, array in image.arrays.items()]
    description = json.dumps({"format": name, "parameters": dict(image.parameters), "arrays": listing}).encode()
    parts = [_FIXED.pack(MAGIC, VERSION, len(description)), description]
    parts += [array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes() for array in image.arrays.values()]
    body = b"".join(parts)
    return body + _CHECKSUM.pack(zlib.crc32(body))


def read(data: bytes) -> tuple[str, Image]:
    """The format's name, and the image.

    Raises
    ------
    InputError
        The bytes are no such image, or are truncated or damaged.
    """
    if len(data) < _FIXED.size + _CHECKSUM.size or not data.startswith(MAGIC):
        raise InputError("data: does not start as a weight file; give the bytes that to_bytes() wrote")
    _, version, length = _FIXED.unpack_from(data)
    if version != VERSION:
        raise InputError(f"data: is version {version} of the weight file, this program reads {VERSION}; write it again")
    body, stored = data[: -_CHECKSUM.size], _CHECKSUM.unpack(data[-_CHECKSUM.size :])[0]
    if zlib.crc32(body) != stored:
        raise InputError("data: the checksum does not match, so the file is damaged or cut short; write it again")
    description = _description(body[_FIXED.size : _FIXED.size + length])
    arrays = _arrays(description["arrays"], body, _FIXED.size + length)
    return description["format"], Image(description["parameters"], arrays)


def _description(text: bytes) -> dict[str, Any]:
    try:
        description = json.loads(text)
        complete = isinstance(description["format"], str) and isinstance(description["parameters"], dict)
        for _, dtype, shape in description["arrays"]:
            complete &= dtype in _DTYPES and all(isinstance(length, int) and length >= 0 for length in shape)
    except (ValueError, KeyError, TypeError):
        complete, description = False, {}
    if not complete:
        raise InputError("data: the description cannot be read; write the file again with to_bytes()")
    return description


def _arrays(listing: list[tuple[str, str, list[int]]], body: bytes, offset: int) -> dict[str, NDArray[Any]]:
    arrays: dict[str, NDArray[Any]] = {}
    for key, dtype, shape in listing:
        stored = np.dtype(dtype).newbyteorder("<")
        stop = offset + math.prod(shape) * stored.itemsize
        if stop > len(body):
            break
        arrays[key] = np.frombuffer(body[offset:stop], stored).reshape(shape).astype(dtype)
        offset = stop
    if len(arrays) != len(listing) or offset != len(body):
        raise InputError("data: the arrays do not fill the file as described; write it again with to_bytes()")
    return arrays
