"""Keys of points: the sum of a digest for each field, so that the keys of many points are sums of columns.

A digest is 128 bits of the sha256 of a field's name and value, taken as two numbers that are added modulo 2^64 each. A key is
the first 96 bits of the sum in hexadecimal.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

KEY_CHARACTERS = 24
_HEX = np.frombuffer(b"".join(f"{byte:02x}".encode() for byte in range(256)), dtype=np.uint8).reshape(256, 2)


def digest(field: str, value: Any) -> tuple[int, int]:
    """Digest of a field, as two numbers of 64 bits."""
    return _digest(json.dumps([field, value], sort_keys=True))


@lru_cache(maxsize=1 << 14)
def _digest(text: str) -> tuple[int, int]:
    found = hashlib.sha256(text.encode()).digest()
    return int.from_bytes(found[:8], "big"), int.from_bytes(found[8:16], "big")


def key_of(digests: Iterable[tuple[int, int]]) -> str:
    """The key of one point from the digests of all its fields."""
    high, low = (sum(halves) % (1 << 64) for halves in zip(*digests, strict=True))
    return f"{high:016x}{low:016x}"[:KEY_CHARACTERS]


def key_bytes(high: NDArray[np.uint64], low: NDArray[np.uint64]) -> NDArray[np.uint8]:
    """The keys of many points from the sums of their digests: a row of hexadecimal characters each."""
    halves = np.column_stack([high, low]).astype(">u8").view(np.uint8).reshape(len(high), 16)
    return _HEX[halves[:, : KEY_CHARACTERS // 2]].reshape(len(high), KEY_CHARACTERS)
