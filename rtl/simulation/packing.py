"""Conversion between arrays and stream payloads. The first field of a payload is in its lowest bits.

A payload is an integer, or a row of unsigned 32-bit words with the lowest word first. Compiled circuits read and write
rows of words. Integers are easier to handle one by one.
"""

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Words: TypeAlias = NDArray[np.uint32]
"""Payloads as uint32 ``[n, words]``. The bits above the width of a payload are zero."""


def pack(fields: NDArray[np.integer], bits: int) -> list[int]:
    """Pack fields ``[n, count]`` of `bits` bits (two's complement) into `n` integers; field 0 is lowest."""
    return to_integers(pack_words(fields, bits))


def pack_fields(fields: Sequence[tuple[NDArray[np.integer], int]]) -> list[int]:
    """Payloads of fields ``[payloads]`` or ``[payloads, count]`` with their widths; the first field is lowest."""
    words, position = [0] * len(fields[0][0]), 0
    for values, bits in fields:
        columns = np.asarray(values).reshape(len(words), -1).astype(np.int64)
        words = [word | value << position for word, value in zip(words, pack(columns, bits), strict=True)]
        position += bits * columns.shape[1]
    return words


def pack_words(fields: NDArray[np.integer], bits: int) -> Words:
    """Pack fields ``[n, count]`` of `bits` bits (two's complement) into rows of words; field 0 is lowest."""
    holder = next(size for size in (8, 16, 32, 64) if size >= bits)
    fields = np.asarray(fields)
    octets = np.ascontiguousarray(fields, f"<i{holder // 8}" if fields.dtype.kind == "i" else f"<u{holder // 8}")
    octets = octets.reshape(len(fields), -1).view(np.uint8)
    if bits < holder:
        ones = np.unpackbits(octets, axis=-1, bitorder="little").reshape(len(fields), -1, holder)[..., :bits]
        octets = np.packbits(ones.reshape(len(fields), -1), axis=-1, bitorder="little")
    return np.pad(octets, ((0, 0), (0, -octets.shape[1] % 4))).view("<u4").astype(np.uint32, copy=False)


def unpack(
    payloads: Sequence[int] | Words, bits: int, count: int, *, start: int = 0, signed: bool = False
) -> NDArray[np.int64]:
    """Unpack `count` fields of `bits` bits (at most 62), from bit `start` of each payload, to int64 ``[n, count]``."""
    end = start + bits * count
    words = payloads if isinstance(payloads, np.ndarray) else to_words(payloads, end)
    octets = words.astype("<u4", copy=False).view(np.uint8)
    ones = np.unpackbits(octets, axis=-1, bitorder="little")[:, start:end].reshape(len(words), count, bits)
    result = ones @ (1 << np.arange(bits, dtype=np.int64))
    return np.where(result >> (bits - 1) == 1, result - (1 << bits), result) if signed else result


def to_words(payloads: Sequence[int] | Words, bits: int) -> Words:
    """Payloads of `bits` bits as rows of words; negative integers become two's complement.

    Raises
    ------
    ValueError
        Rows of words have the wrong length, or a bit above the payload is set.
    """
    words = -(-bits // 32)
    if isinstance(payloads, np.ndarray):
        if payloads.shape[1:] != (words,) or np.any(payloads[:, -1] >> (bits - 1) % 32 > 1):
            raise ValueError(
                f"payloads: have shape {list(payloads.shape)}; give [n, {words}] words with {bits} bits used"
            )
        return payloads
    mask = (1 << bits) - 1
    data = b"".join([(int(payload) & mask).to_bytes(4 * words, "little") for payload in payloads])
    return np.frombuffer(data, "<u4").reshape(len(payloads), words).astype(np.uint32, copy=False)


def to_integers(payloads: Sequence[int] | Words) -> list[int]:
    """Payloads as a list of integers."""
    if not isinstance(payloads, np.ndarray):
        return list(payloads)
    if payloads.shape[1] == 1:
        return payloads[:, 0].tolist()
    size, data = 4 * payloads.shape[1], payloads.astype("<u4").tobytes()
    return [int.from_bytes(data[start : start + size], "little") for start in range(0, len(data), size)]
