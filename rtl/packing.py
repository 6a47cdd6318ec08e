"""Packs arrays into the integers that stream payloads are, and back. A payload's first field is its lowest bits."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def pack(fields: NDArray[np.integer], bits: int) -> list[int]:
    """Integers of fields ``[n, count]``, each `bits` wide, two's complement if negative; field 0 is lowest."""
    positions = np.arange(bits)
    ones = (np.asarray(fields, np.int64)[..., None] >> positions) & 1
    octets = np.packbits(ones.astype(np.uint8).reshape(len(fields), -1), axis=-1, bitorder="little")
    return [int.from_bytes(row.tobytes(), "little") for row in octets]


def unpack(words: Sequence[int], bits: int, count: int, *, start: int = 0, signed: bool = False) -> NDArray[np.int64]:
    """Inverse of `pack`: int64 ``[n, count]``, from bit `start` of each word; `bits` is at most 62."""
    mask = (1 << bits) - 1
    values = [[word >> (start + bits * i) & mask for i in range(count)] for word in words]
    result = np.array(values, np.int64).reshape(len(words), count)
    return np.where(result >> (bits - 1) == 1, result - (1 << bits), result) if signed else result
