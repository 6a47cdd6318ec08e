"""Dynamic requantisation of rows of wide products to n-bit codes with a new dyadic scale (second part of DI-MatMul)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from ..checks import check_choice, check_integer
from ..errors import InputError
from .arithmetic import (
    WORD_BITS,
    IntegerLike,
    Integers,
    as_integers,
    check_broadcast,
    check_scale,
    check_width,
    divide_rounded,
    largest_magnitude,
    shift_left,
    top_bit,
    unwrap,
)

Anchor = Literal["minimum", "zero"]
"""Origin of the rounding. ``minimum`` (I-LLM): ``y = round((p - min p) * Q / R)``; the zero point is rounded separately,
so the values of a row share an error of up to half a step. ``zero``: ``y = clip(round(p * Q / R) + zero_point, 0, Q)``;
values within half a step of 0 become 0. This matters at 4 bits, where most values are near 0 (docs/integer_only.md)."""

MULTIPLIER_BITS = 8
"""Width of m of a dynamic scale (I-LLM): 128 <= m <= 255, so the relative error of the scale is at most 2**-8."""


@dataclass(frozen=True, eq=False)
class DyadicTensor:
    """Tensor of the values ``(codes - zero_point) * m / 2**k``.

    Attributes
    ----------
    codes
        int64 [..., rows, channels]; stored tables may be narrower.
    m, k
        int64, one per row [..., rows, 1] or another broadcasting shape; m >= 1.
    zero_point
        int64 with the shape of m.
    """

    codes: Integers
    m: Integers
    k: Integers
    zero_point: Integers

    @classmethod
    def power_of_two(cls, codes: Integers, k: Integers) -> "DyadicTensor":
        """Build ``codes / 2**k``, with m = 1 and zero point 0."""
        return cls(codes, np.ones_like(k), k, np.zeros_like(k))

    def map(self, function: Callable[[NDArray[Any]], NDArray[Any]]) -> "DyadicTensor":
        """Apply a function, such as a transposition, to codes, m, k and zero point."""
        return DyadicTensor(function(self.codes), function(self.m), function(self.k), function(self.zero_point))

    @property
    def centered(self) -> Integers:
        """Codes minus zero point."""
        return self.codes - self.zero_point

    def dequantize(self) -> NDArray[np.float64]:
        """Values as float64, for reports and tests only."""
        return np.ldexp(np.asarray(self.centered * self.m, np.float64), np.negative(self.k))


def check_code_width(name: str, bits: int) -> None:
    """Raise `InputError` unless 1 <= bits <= 16, the code widths for which intermediates fit int64."""
    check_integer(name, bits, 1, 16)


def di_requantize(
    p: IntegerLike,
    m1: IntegerLike,
    k1: IntegerLike,
    m2: IntegerLike,
    k2: IntegerLike,
    bits: int,
    anchor: Anchor = "minimum",
) -> tuple[Integers, Any, Any, Any]:
    """Requantise rows of products to unsigned `bits`-bit codes with a new scale per row (I-LLM, Eqs 6 to 8).

    With ``value = p * m1*m2 / 2**(k1+k2)``, ``R = max p - min p`` and ``Q = 2**bits - 1`` per row (last axis):
    ``y = round((p - min p) * Q / R)``, ``zero_point = round(-min p * Q / R)``, and ``m_y / 2**k_y`` is the 8-bit dyadic
    number nearest ``R*m1*m2 / (Q * 2**(k1+k2))`` with 128 <= m_y <= 255. The range need not contain 0, so the zero point
    may be outside 0..Q; k_y may be negative for coarse scales. A constant row has R = 1: its codes are 0 and its zero
    point is ``-min p * Q``. Rounding is to nearest, ties away from zero.

    Parameters
    ----------
    p
        Accumulators, integers [..., channels].
    m1, k1, m2, k2
        Scales of the operands; scalars, or one per row [...].
    bits
        Width of the codes, 1 to 16.
    anchor
        See `Anchor`.

    Returns
    -------
    ``(y, m_y, k_y, zero_point)``: y is int64 [..., channels]; the others are [...], or int if p is one row.

    Raises
    ------
    InputError
        p has no integers, a scale is not positive, or products are too wide for int64 intermediates.

    >>> p = [-34567, -20000, 0, 5, 12345, 41234]
    >>> y, m_y, k_y, zero_point = di_requantize(p, 200, 12, 150, 10, 8)
    >>> y.tolist(), m_y, k_y, zero_point
    ([0, 49, 116, 116, 158, 255], 136, 6, 116)
    >>> y, m_y, k_y, zero_point = di_requantize(p, 200, 12, 150, 10, 4)
    >>> y.tolist(), m_y, k_y, zero_point
    ([0, 3, 7, 7, 9, 15], 145, 2, 7)
    >>> y, m_y, k_y, zero_point = di_requantize([-5, -4, -1], 128, 3, 128, 3, 8)
    >>> y.tolist(), m_y, k_y, zero_point
    ([0, 64, 255], 129, 5, 319)

    Small values and a large one, in steps -2.2, 0.3 (three times), 0.6, 0.9 and 12.8; the anchor moves three:

    >>> for anchor in ("minimum", "zero"):
    ...     y, m_y, k_y, zero_point = di_requantize([-72, 10, 10, 10, 20, 30, 414], 1, 0, 1, 0, 4, anchor)
    ...     print((y - zero_point).tolist())
    [-2, 1, 1, 1, 1, 1, 13]
    [-2, 0, 0, 0, 1, 1, 13]
    """
    check_code_width("bits", bits)
    check_choice("anchor", anchor, get_args(Anchor))
    p, m1, k1, m2, k2 = _operands(p, m1, k1, m2, k2)
    check_width("p", p, WORD_BITS - 1 - bits)
    top, (low, spread) = (1 << bits) - 1, _range(p)
    zero_point = divide_rounded(-low * top, spread)
    if anchor == "zero":
        y = divide_rounded(p * top, spread[..., None]) + zero_point[..., None]
        y = np.minimum(np.maximum(y, 0), top)
    else:
        y = divide_rounded((p - low[..., None]) * top, spread[..., None])
    m_y, k_y = _output_scale(spread, m1, k1, m2, k2, top)
    return y, unwrap(m_y), unwrap(k_y), unwrap(zero_point)


def _operands(p: IntegerLike, m1: IntegerLike, k1: IntegerLike, m2: IntegerLike, k2: IntegerLike) -> list[Integers]:
    """Products and scales as arrays; raises `InputError` for a shape that is wrong."""
    rows, *scales = operands = [
        as_integers(name, given) for name, given in zip(_NAMES, (p, m1, k1, m2, k2), strict=True)
    ]
    if rows.ndim == 0:
        raise InputError("p: is a single number; pass rows [..., channels]")
    for name, scale in zip(_NAMES[1:], scales, strict=True):
        check_broadcast(name, scale, rows.shape[:-1], "one per row")
    return operands


_NAMES = ("p", "m1", "k1", "m2", "k2")


def _range(p: Integers) -> tuple[Integers, Integers]:
    """Minimum of each row, and R, its range; 1 if the row is constant."""
    low = p.min(axis=-1)
    return low, np.maximum(p.max(axis=-1) - low, 1)


def _output_scale(
    spread: Integers, m1: Integers, k1: Integers, m2: Integers, k2: Integers, top: int
) -> tuple[Integers, Integers]:
    """8-bit dyadic scale nearest to ``spread*m1*m2 / (top * 2**(k1+k2))``.

    ``k_y = MSB(floor((256*top << (k1+k2)) / s))`` with ``s = spread*m1*m2`` is computed from the top bits of both sides
    and one correction, without the wide numerator.
    """
    check_scale("m1, k1", m1, k1)
    check_scale("m2, k2", m2, k2)
    widths = [largest_magnitude(factor).bit_length() for factor in (spread, m1, m2)]
    if sum(widths) > WORD_BITS:
        raise InputError(
            f"p: the range of p, m1 and m2 need {sum(widths)} bits together, but int64 has {WORD_BITS} left; "
            "shift p right and lower k1"
        )
    s = spread * m1 * m2
    numerator = np.asarray(top << MULTIPLIER_BITS)
    shift = top_bit(numerator) - top_bit(s)
    shift = shift - ((s << np.maximum(shift, 0)) > (numerator << np.maximum(-shift, 0)))
    m_y = divide_rounded(s << np.maximum(shift, 0), top << np.maximum(-shift, 0))
    carried = m_y == 1 << MULTIPLIER_BITS
    return np.where(carried, m_y >> 1, m_y), k1 + k2 + shift - carried


def requantize(tensor: DyadicTensor, bits: int, anchor: Anchor = "minimum") -> DyadicTensor:
    """`di_requantize` of a tensor with one scale per row [..., 1], or one scale for all rows.

    Raises
    ------
    InputError
        The scale differs within a row, or `di_requantize` raises it.
    """
    for name, part in (("m", tensor.m), ("k", tensor.k)):
        if part.ndim and part.shape[-1] != 1:
            raise InputError(f"{name}: has {part.shape[-1]} values along the channels; pass one scale per row")
    m, k = (part[..., 0] if part.ndim else part for part in (tensor.m, tensor.k))
    y, *scale = di_requantize(tensor.centered, m, k, 1, 0, bits, anchor)
    m_y, k_y, zero_point = (np.asanyarray(part)[..., None] for part in scale)
    return DyadicTensor(y, m_y, k_y, zero_point)


def requantize_figure(
    p: IntegerLike, m1: IntegerLike, k1: IntegerLike, m2: IntegerLike, k2: IntegerLike, bits: int, constant: int = 256
) -> tuple[Integers, Any, Any, Any]:
    """Scale computation of the dataflow figure of the authors, for comparison with `di_requantize`.

    ``k_y = MSB((constant << (k1+k2)) / R)`` and ``m_y = (m1*m2*R) >> (k1+k2-k_y)``: the figure omits Q, so
    ``m_y / 2**k_y`` is the whole range of the row, Q steps. It omits m1*m2 in the logarithm, so m_y has up to 8 + 16
    bits, but the paper allows 8. Codes and zero point are those of `di_requantize`. The figure gives no value for
    `constant`.

    >>> _, m_y, k_y, _ = requantize_figure([-34567, -20000, 0, 5, 12345, 41234], 200, 12, 150, 10, 8)
    >>> m_y, k_y  # 542.2, the range of the row in its units
    (4441464, 13)
    """
    y, _, _, zero_point = di_requantize(p, m1, k1, m2, k2, bits)
    p, m1, k1, m2, k2 = _operands(p, m1, k1, m2, k2)
    check_integer("constant", constant, 1)
    k = k1 + k2
    wide = np.asarray(constant)
    check_width("constant << (k1 + k2)", wide, WORD_BITS - max(int(k.max()), 0))
    _, spread = _range(p)
    k_y = top_bit(np.maximum(shift_left(wide, k) // spread, 1))
    return y, unwrap(shift_left(m1 * m2 * spread, k_y - k)), unwrap(k_y), zero_point
