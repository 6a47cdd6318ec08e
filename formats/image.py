"""The memory image of an Anda tensor, with a header and a checksum.

Layout, little endian throughout (plane layout: Anda, arXiv 2411.15982, section III-C):

========================  ==================================================================================
bytes                     content
========================  ==================================================================================
4                         magic ``ANDA``
2                         version, 1
1, 1                      M, G
1, 1, 1, 1                rounding, nonfinite, reconstruct (index of the option), saturated flag
4                         number of axes
8 each                    shape ``(..., channels)``
(M + 1) * G / 8 a group   mantissa memory: groups in row-major order; of each the sign word, then the mantissa
                          planes, most significant first; a word is G bits, bit i belongs to element i
5 bits a group            exponent memory: a stream of 5-bit fields, least significant bit first, zero-filled to
                          a whole byte
4                         CRC-32 of everything before
========================  ==================================================================================
"""

import math
import struct
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .bitplanes import WORD_BITS, word_axis
from .errors import InputError

MAGIC = b"ANDA"
VERSION = 1
_FIXED = struct.Struct("<4sHBBBBBBI")
_CHECKSUM = struct.Struct("<I")
_EXPONENT_BITS = 5


@dataclass(frozen=True)
class Header:
    """The fields of the header, as stored."""

    mantissa_bits: int
    group_size: int
    rounding: int
    nonfinite: int
    reconstruct: int
    saturated: int
    shape: tuple[int, ...]

    @property
    def groups(self) -> int:
        """Groups in the whole tensor."""
        return math.prod(self.shape[:-1]) * -(-self.shape[-1] // self.group_size)

    @property
    def mantissa_bytes(self) -> int:
        """Size of the mantissa memory."""
        return self.groups * (self.mantissa_bits + 1) * self.group_size // 8

    @property
    def exponent_bytes(self) -> int:
        """Size of the exponent memory."""
        return (self.groups * _EXPONENT_BITS + 7) // 8


def write(header: Header, signs: NDArray[np.uint64], planes: NDArray[np.uint64], exponents: NDArray[np.uint8]) -> bytes:
    """The image of a tensor whose arrays fit the header."""
    words_per_plane = max(header.group_size // WORD_BITS, 1)
    memory = np.concatenate(
        [
            signs.reshape(header.groups, 1, words_per_plane),
            planes.reshape(header.groups, header.mantissa_bits, words_per_plane),
        ],
        axis=1,
    ).astype("<u8", copy=False)
    octets = memory.view(np.uint8).reshape(header.groups, header.mantissa_bits + 1, -1)[..., : header.group_size // 8]
    fields = np.unpackbits(exponents.reshape(-1, 1), axis=1, count=_EXPONENT_BITS, bitorder="little")
    body = _pack_header(header) + octets.tobytes() + np.packbits(fields, bitorder="little").tobytes()
    return body + _CHECKSUM.pack(zlib.crc32(body))


def read(data: bytes) -> tuple[Header, NDArray[np.uint64], NDArray[np.uint64], NDArray[np.uint8]]:
    """Header, signs, planes and exponents of an image; `InputError` names the damage."""
    header, start = _read_header(data)
    expected = start + header.mantissa_bytes + header.exponent_bytes + _CHECKSUM.size
    if len(data) != expected:
        raise InputError(f"data: has {len(data)} bytes where its header needs {expected}; it is truncated or damaged")
    if zlib.crc32(data[: -_CHECKSUM.size]) != _CHECKSUM.unpack(data[-_CHECKSUM.size :])[0]:
        raise InputError("data: the checksum does not match; it is damaged, write it again with to_bytes()")
    signs, planes = _read_words(header, data[start : start + header.mantissa_bytes])
    exponents = _read_exponents(header, data[start + header.mantissa_bytes : -_CHECKSUM.size])
    return header, signs, planes, exponents


def _pack_header(header: Header) -> bytes:
    fixed = _FIXED.pack(
        MAGIC,
        VERSION,
        header.mantissa_bits,
        header.group_size,
        header.rounding,
        header.nonfinite,
        header.reconstruct,
        header.saturated,
        len(header.shape),
    )
    return fixed + struct.pack(f"<{len(header.shape)}Q", *header.shape)


def _read_header(data: bytes) -> tuple[Header, int]:
    """The header and where the mantissa memory starts."""
    if data[:4] != MAGIC:
        raise InputError(f"data: starts with {data[:4]!r}, not {MAGIC!r}; it is not an image of an Anda tensor")
    if len(data) < _FIXED.size:
        raise InputError(f"data: has {len(data)} bytes, less than a header of {_FIXED.size}; it is truncated")
    _, version, mantissa_bits, group_size, rounding, nonfinite, reconstruct, saturated, axes = _FIXED.unpack_from(data)
    if version != VERSION:
        raise InputError(f"data: has version {version}, this program reads version {VERSION}; write it again")
    start = _FIXED.size + 8 * axes
    if len(data) < start:
        raise InputError(f"data: has {len(data)} bytes, less than a header of {start}; it is truncated or damaged")
    shape: tuple[Any, ...] = struct.unpack_from(f"<{axes}Q", data, _FIXED.size)
    if not shape or group_size == 0:
        raise InputError("data: the header has no shape or group size; it is damaged, write it again with to_bytes()")
    return Header(mantissa_bits, group_size, rounding, nonfinite, reconstruct, saturated, shape), start


def _read_words(header: Header, memory: bytes) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Signs ``[..., groups, *words]`` and planes ``[..., groups, M, *words]`` of a mantissa memory."""
    words = word_axis(header.group_size)
    groups = (*header.shape[:-1], -(-header.shape[-1] // header.group_size))
    octets = np.frombuffer(memory, np.uint8).reshape(header.groups, header.mantissa_bits + 1, -1)
    padding = max(WORD_BITS - header.group_size, 0) // 8
    padded = np.ascontiguousarray(np.pad(octets, [(0, 0), (0, 0), (0, padding)]))
    all_words = padded.view("<u8").astype(np.uint64, copy=False)
    signs = np.ascontiguousarray(all_words[:, 0]).reshape(*groups, *words)
    planes = np.ascontiguousarray(all_words[:, 1:]).reshape(*groups, header.mantissa_bits, *words)
    return signs, planes


def _read_exponents(header: Header, memory: bytes) -> NDArray[np.uint8]:
    """Exponents ``[..., groups]`` of an exponent memory."""
    groups = (*header.shape[:-1], -(-header.shape[-1] // header.group_size))
    bits = np.unpackbits(
        np.frombuffer(memory, np.uint8), count=header.groups * _EXPONENT_BITS, bitorder="little"
    ).reshape(-1, _EXPONENT_BITS)
    exponents = np.packbits(bits, axis=1, bitorder="little").reshape(groups)
    if ((exponents < 1) | (exponents > 30)).any():
        raise InputError("data: holds a shared exponent outside 1..30; it is damaged, write it again with to_bytes()")
    return exponents
