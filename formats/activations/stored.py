"""An activation format as memory and array see it: whole bits of a group, cycles and conversion, read from its protocol.

Beside the members of `ActivationFormat`, a format may say more; each has a default:

* ``group_size``: values that share an exponent or a scale, stored as a whole; 0 for one scale a tensor. Default 64.
* ``shared_bits``: bits of a group's shared exponent or scale, a part of ``bits_per_value``. They have a buffer of their own where
  the machine has one. Default 0: all bits stay together.
* ``mantissa_bits``: significant bits of an operand. Default: whole bits of an element, at most 16.
* ``needs_compressor``: True if results pass a converter before they are stored. Default: True, but for 16 bits a value.
* ``bit_planes``: True if an element reads a group plane by plane and may skip zero planes. Default False.
* ``lane_groups``: True if a group is what an element reduces at once, unless ``group_size`` is given. Default False.
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeAlias

from ..checks import check_integer
from ..errors import InputError
from ..numeric.alignment import GROUP_SIZE, MAX_MANTISSA_BITS
from ..own_classes import read_member
from .base import MAX_GROUP_SIZE, ActivationFormat
from .fp import Fp16Format
from .honesty import check_honest

FIELD = "activations"
FP16_BITS = 16
MOST_CYCLES = 1 << 20
"""Most cycles for a group: a hundred thousand times those of FP16."""


Stored: TypeAlias = "StoredFormat | int | None"
"""A format in memory, M of a machine's own format, or None for FP16."""


@dataclass(frozen=True)
class StoredFormat:
    """Activations in a format, in buffers and DRAM.

    Attributes
    ----------
    format
        The format.
    group_size
        Values that are stored as a whole.
    group_bits
        Bits of a stored group.
    shared_bits
        Those of them that the group shares.
    cycles
        Cycles of a bit-serial element for a group.
    mantissa_bits
        Significant bits of an operand, 1 to 16.
    needs_compressor
        True if results pass a converter before they are stored.
    bit_planes
        True if zero planes can be skipped.
    """

    format: ActivationFormat
    group_size: int
    group_bits: int
    shared_bits: int
    cycles: int
    mantissa_bits: int
    needs_compressor: bool
    bit_planes: bool

    def token_bits(self, channels: Any) -> Any:
        """Bits of a token of `channels` activations, in whole groups; `channels` may be an array."""
        return -(-channels // self.group_size) * self.group_bits

    def footprint(self, channels: Any, separate: bool) -> tuple[Any, Any]:
        """Bits of a token in a buffer of activations, and in a separate one of what groups share, if there is one."""
        bits = self.token_bits(channels)
        if not separate or not self.shared_bits:
            return bits, 0
        shared = -(-channels // self.group_size) * self.shared_bits
        return bits - shared, shared


def stored(fmt: ActivationFormat) -> StoredFormat:
    """Sizes and cycles of a format, as memory and array use them.

    Raises
    ------
    InputError
        A member is missing, of a wrong type or out of its range, or the format says fewer bits than it takes.
    """
    return _stored(fmt)


@lru_cache(maxsize=1024)
def _stored(fmt: ActivationFormat) -> StoredFormat:
    bits = _bits(fmt, "bits_per_value")
    cycles = _integer(fmt, "cycles_per_group", None, 1, MOST_CYCLES)
    given = _integer(fmt, "group_size", GROUP_SIZE, 0, MAX_GROUP_SIZE)
    converted = _flag(fmt, "needs_compressor", bits != FP16_BITS)
    size = given if given and converted else 1
    group_bits = math.ceil(bits * size - 1e-6)
    shared = _integer(fmt, "shared_bits", 0, 0)
    if size > 1 and shared >= group_bits:
        raise InputError(
            f"{FIELD}: shared_bits of {type(fmt).name} is {shared}, of {group_bits} bits of a group; return less, or more bits_per_value"
        )
    shared = shared if size > 1 else 0
    element = min(max((group_bits - shared) // size, 1), MAX_MANTISSA_BITS)
    mantissa_bits = min(_integer(fmt, "mantissa_bits", element, 1), MAX_MANTISSA_BITS)
    planes = _flag(fmt, "bit_planes", False)
    found = StoredFormat(fmt, size, group_bits, shared, cycles, mantissa_bits, converted, planes)
    check_honest(fmt)
    return found


def _bits(fmt: ActivationFormat, member: str) -> float:
    value = read_member(FIELD, fmt, member)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 64:
        raise InputError(
            f"{FIELD}: {member} of {type(fmt).name} is {value!r}; return a number of bits above 0, at most 64"
        )
    return float(value)


def _integer(fmt: ActivationFormat, member: str, default: int | None, lowest: int, highest: int | None = None) -> int:
    value = read_member(FIELD, fmt, member, default)
    return check_integer(f"{FIELD}: {member} of {type(fmt).name}", value, lowest, highest)


def _flag(fmt: ActivationFormat, member: str, default: bool) -> bool:
    value = read_member(FIELD, fmt, member, default)
    if not isinstance(value, bool):
        raise InputError(f"{FIELD}: {member} of {type(fmt).name} is {value!r}; return True or False")
    return value


FP16 = stored(Fp16Format())
"""Activations as FP16."""
