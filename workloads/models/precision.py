"""Mantissa bits of the activations of each module of a transformer block."""

from __future__ import annotations

import operator
from typing import NamedTuple, Self

from ...formats import InputError
from ...formats.numeric.alignment import MAX_MANTISSA_BITS

MODULES = ("qkv", "o", "u", "d")
"""The four GeMM modules of a block: query/key/value, attention output, up (with gate), down projection."""

MIN_MANTISSA_BITS = 1


class _Fields(NamedTuple):
    qkv: int
    o: int
    u: int
    d: int


class Precision(_Fields):
    """Mantissa bits of the activations that enter qkv, o, u and d, each 1 to 16 (Anda, arXiv 2411.15982).

    A tuple with a text form:

    >>> Precision.parse("7,5,6,6")
    Precision(qkv=7, o=5, u=6, d=6)
    >>> str(Precision.uniform(8))
    '8,8,8,8'

    Raises
    ------
    InputError
        A number is not an integer from 1 to 16.
    """

    __slots__ = ()

    def __new__(cls, qkv: int, o: int, u: int, d: int) -> Self:  # noqa: D102
        return super().__new__(cls, *map(_mantissa_bits, MODULES, (qkv, o, u, d)))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``"7,5,6,6"``: the mantissa bits of qkv, o, u and d."""
        try:
            qkv, o, u, d = (int(part) for part in text.split(","))
        except ValueError:
            raise InputError(f"precision: {text!r} is not four numbers; {_FIX}") from None
        return cls(qkv, o, u, d)

    @classmethod
    def uniform(cls, mantissa_bits: int) -> Self:
        """The same number of mantissa bits in all four modules."""
        return cls(mantissa_bits, mantissa_bits, mantissa_bits, mantissa_bits)

    def __str__(self) -> str:
        return ",".join(map(str, self))


_FIX = "give the mantissa bits of qkv, o, u and d, such as 7,5,6,6"


def _mantissa_bits(module: str, value: int) -> int:
    try:
        bits = operator.index(value)
    except TypeError:
        bits = None
    if bits is None or isinstance(value, bool):
        raise InputError(f"precision: {module} is {value!r}, not a whole number; {_FIX}")
    if not MIN_MANTISSA_BITS <= bits <= MAX_MANTISSA_BITS:
        raise InputError(
            f"precision: {module} has {bits} mantissa bits; use {MIN_MANTISSA_BITS} to {MAX_MANTISSA_BITS}"
        )
    return bits
