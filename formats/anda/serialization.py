"""Memory image of an Anda tensor, with a header and a checksum.

Layout, little endian throughout (plane layout: Anda, arXiv 2411.15982, section III-C):

========================  ==================================================================================
bytes                     content
========================  ==================================================================================
4                         magic ``ANDA``
2                         version, 1; 2 with plane masks
1, 1                      M, G
1, 1, 1, 1                codes of rounding, nonfinite and reconstruct (tables below), saturated flag
4                         number of axes
8 each                    shape ``(..., channels)``
1                         version 2 only: tokens that share a plane mask
(M + 1) * G / 8 a group   mantissa memory: groups in row-major order, each with its sign word and then its
                          planes, most significant first; a word has G bits, bit i belongs to element i
5 bits a group            exponent memory: a stream of 5-bit fields, least significant bit first, zero-filled to
                          a whole byte
M - 1 bits a mask         version 2 only: plane masks by block of tokens, then group; bit i is 1 if plane i + 1 has
                          a one; packed like the exponents
4                         CRC-32 of everything before
========================  ==================================================================================
"""

import math
import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import IO, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..options import Nonfinite, Reconstruct, Rounding
from .bitplanes import WORD_BITS, sent_planes, word_axis

MAGIC = b"ANDA"
VERSION = 1
MASKED_VERSION = 2
_FIXED = struct.Struct("<4sHBBBBBBI")
_CHECKSUM = struct.Struct("<I")
_EXPONENT_BITS = 5
PART_GROUPS = 1 << 14
"""Groups that are written or read at a time, a multiple of 8: their exponents are whole bytes."""
MOST_AXES = 64
"""Largest number of axes of a NumPy array."""

ROUNDING_CODES: Mapping[Rounding, int] = {"truncate": 0, "nearest": 1}
NONFINITE_CODES: Mapping[Nonfinite, int] = {"raise": 0, "saturate": 1}
RECONSTRUCT_CODES: Mapping[Reconstruct, int] = {"truncate": 0, "midpoint": 1}

Option = TypeVar("Option", bound=str)


def option(codes: Mapping[Option, int], code: int) -> Option:
    """Option with this code."""
    for name, known in codes.items():
        if known == code:
            return name
    raise InputError(f"data: has the option code {code}, which does not exist; it is damaged, write it again")


@dataclass(frozen=True)
class Header:
    """Header of the image, with options as codes."""

    mantissa_bits: int
    group_size: int
    rounding: int
    nonfinite: int
    reconstruct: int
    saturated: int
    shape: tuple[int, ...]
    mask_rows: int = 0

    @property
    def grouped_shape(self) -> tuple[int, ...]:
        """Shape of the groups, ``(..., groups)``."""
        return (*self.shape[:-1], -(-self.shape[-1] // self.group_size))

    @property
    def groups(self) -> int:
        """Number of groups in the tensor."""
        return math.prod(self.grouped_shape)

    @property
    def bytes_before_memories(self) -> int:
        """Size of the header in bytes."""
        return _FIXED.size + 8 * len(self.shape) + (self.mask_rows > 0)

    @property
    def mantissa_bytes(self) -> int:
        """Size of the mantissa memory in bytes."""
        return self.groups * (self.mantissa_bits + 1) * self.group_size // 8

    @property
    def exponent_bytes(self) -> int:
        """Size of the exponent memory in bytes."""
        return (self.groups * _EXPONENT_BITS + 7) // 8

    @property
    def mask_bytes(self) -> int:
        """Size of the plane masks in bytes."""
        if not self.mask_rows:
            return 0
        blocks = -(-math.prod(self.shape[:-1]) // self.mask_rows)
        return (blocks * self.grouped_shape[-1] * (self.mantissa_bits - 1) + 7) // 8

    def pack(self) -> bytes:
        """Bytes of the header."""
        options = (self.rounding, self.nonfinite, self.reconstruct, self.saturated)
        version = MASKED_VERSION if self.mask_rows else VERSION
        fixed = _FIXED.pack(MAGIC, version, self.mantissa_bits, self.group_size, *options, len(self.shape))
        masked = bytes([self.mask_rows] if self.mask_rows else [])
        return fixed + struct.pack(f"<{len(self.shape)}Q", *self.shape) + masked


def write(
    file: IO[bytes],
    header: Header,
    signs: NDArray[np.uint64],
    planes: NDArray[np.uint64],
    exponents: NDArray[np.uint8],
) -> None:
    """Write the image for arrays that fit the header to a file, part by part."""
    checksum = 0
    for part in _parts(header, signs, planes, exponents):
        checksum = zlib.crc32(part, checksum)
        file.write(part)
    file.write(_CHECKSUM.pack(checksum))


def _parts(
    header: Header, signs: NDArray[np.uint64], planes: NDArray[np.uint64], exponents: NDArray[np.uint8]
) -> Iterator[bytes]:
    """The image in parts of up to `PART_GROUPS` groups, without the checksum."""
    words = max(header.group_size // WORD_BITS, 1)
    flat = signs.reshape(-1, 1, words), planes.reshape(-1, header.mantissa_bits, words)
    yield header.pack()
    for part in _group_slices(header.groups):
        memory = np.concatenate([memory[part] for memory in flat], axis=1).astype("<u8", copy=False).view(np.uint8)
        yield memory[..., : header.group_size // 8].tobytes()
    shared = exponents.reshape(-1, 1)
    for part in _group_slices(header.groups):
        fields = np.unpackbits(shared[part], axis=1, count=_EXPONENT_BITS, bitorder="little")
        yield np.packbits(fields, bitorder="little").tobytes()
    yield _masks(header, planes)


def _group_slices(groups: int) -> list[slice]:
    return [slice(start, min(start + PART_GROUPS, groups)) for start in range(0, groups, PART_GROUPS)]


def _masks(header: Header, planes: NDArray[np.uint64]) -> bytes:
    """Bytes of the plane masks of planes ``[..., groups, M, *words]``."""
    if not header.mask_bytes:
        return b""
    rows = planes.reshape(-1, header.grouped_shape[-1], header.mantissa_bits, *word_axis(header.group_size))
    sent = sent_planes(rows, header.group_size, header.mask_rows)
    return np.packbits(sent[..., 1:].reshape(-1), bitorder="little").tobytes()


def read_header(data: bytes) -> Header:
    """Read the header and check length and checksum; `InputError` names the damage."""
    if data[:4] != MAGIC:
        raise InputError(f"data: starts with {data[:4]!r}, not {MAGIC!r}; give the bytes that to_bytes() wrote")
    if len(data) < _FIXED.size:
        raise InputError(
            f"data: has {len(data)} bytes, its header needs {_FIXED.size}; it is truncated, write it again"
        )
    _, version, bits, group_size, rounding, nonfinite, reconstruct, saturated, axes = _FIXED.unpack_from(data)
    if version not in (VERSION, MASKED_VERSION):
        raise InputError(f"data: has version {version}, this program reads versions 1 and 2; write it again")
    shape: tuple[int, ...] = ()
    end = _FIXED.size + 8 * axes
    masked = version == MASKED_VERSION
    if len(data) >= end + masked:
        shape = struct.unpack_from(f"<{axes}Q", data, _FIXED.size)
    if not shape or len(shape) > MOST_AXES or not group_size or (masked and not data[end]) or saturated > 1:
        raise InputError("data: its header is truncated or damaged; write it again")
    header = Header(bits, group_size, rounding, nonfinite, reconstruct, saturated, shape, data[end] if masked else 0)
    memories = header.mantissa_bytes + header.exponent_bytes + header.mask_bytes
    expected = header.bytes_before_memories + memories + _CHECKSUM.size
    if len(data) != expected:
        raise InputError(f"data: has {len(data)} bytes, its header needs {expected}; it is damaged, write it again")
    if zlib.crc32(memoryview(data)[: -_CHECKSUM.size]) != _CHECKSUM.unpack(data[-_CHECKSUM.size :])[0]:
        raise InputError("data: does not match its checksum; it is damaged, write it again")
    return header


def read_memories(header: Header, data: bytes) -> tuple[NDArray[np.uint64], NDArray[np.uint64], NDArray[np.uint8]]:
    """Read signs ``[..., groups, *words]``, planes ``[..., groups, M, *words]`` and exponents ``[..., groups]``."""
    start, words = header.bytes_before_memories, word_axis(header.group_size)
    memory = np.frombuffer(data, np.uint8, header.mantissa_bytes, start)
    octets = memory.reshape(header.groups, header.mantissa_bits + 1, header.group_size // 8)
    padding = max(WORD_BITS - header.group_size, 0) // 8
    signs = np.empty((header.groups, *words), np.uint64)
    planes = np.empty((header.groups, header.mantissa_bits, *words), np.uint64)
    for part in _group_slices(header.groups):
        padded = np.ascontiguousarray(np.pad(octets[part], [(0, 0), (0, 0), (0, padding)]))
        both = padded.view("<u8").reshape(-1, header.mantissa_bits + 1, *words)
        signs[part], planes[part] = both[:, 0], both[:, 1:]
    exponents = _read_exponents(header, np.frombuffer(data, np.uint8, header.exponent_bytes, start + memory.nbytes))
    if ((exponents < 1) | (exponents > 30)).any():
        raise InputError("data: holds a shared exponent outside 1..30; it is damaged, write it again")
    signs = signs.reshape(*header.grouped_shape, *words)
    planes = planes.reshape(*header.grouped_shape, header.mantissa_bits, *words)
    masks_start = start + header.mantissa_bytes + header.exponent_bytes
    if data[masks_start : masks_start + header.mask_bytes] != _masks(header, planes):
        raise InputError("data: holds a plane mask that its planes do not have; it is damaged, write it again")
    return signs, planes, exponents.reshape(header.grouped_shape)


def _read_exponents(header: Header, memory: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Exponents of all groups, from fields of 5 bits."""
    exponents = np.empty((header.groups, 1), np.uint8)
    for part in _group_slices(header.groups):
        fields = memory[part.start * _EXPONENT_BITS // 8 :]
        bits = np.unpackbits(fields, count=(part.stop - part.start) * _EXPONENT_BITS, bitorder="little")
        exponents[part] = np.packbits(bits.reshape(-1, _EXPONENT_BITS), axis=1, bitorder="little")
    return exponents
