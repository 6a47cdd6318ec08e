"""Dynamic requantisation: a row of wide products to n-bit codes with a fresh dyadic scale (DI-MatMul's second half)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .arithmetic import (
    WORD_BITS,
    IntegerLike,
    Integers,
    as_integers,
    divide_rounded,
    largest_magnitude,
    require_broadcast,
    require_scale,
    require_width,
    shift_left,
    top_bit,
    unwrap,
)

Anchor = Literal["minimum", "zero"]
"""Where rounding starts. ``minimum`` (I-LLM): ``y = round((p - min p) * Q / R)``; since the zero point is rounded apart,
the values of a row share an error of up to half a step. ``zero``: ``y = clip(round(p * Q / R) + zero_point, 0, Q)``;
values within half a step of 0 become 0. At 4 bits, where most values lie there, it decides (docs/integer_only.md)."""

MULTIPLIER_BITS = 8
"""Width of m of a dynamic scale (I-LLM): 128 <= m <= 255, so the scale is within 2**-8 of the exact one."""


@dataclass(frozen=True, eq=False)
class DyadicTensor:
    """Integers that stand for ``(codes - zero_point) * m / 2**k``.

    Attributes:
        codes: [..., rows, channels], int64; narrower for stored tables.
        m, k: int64, one per row [..., rows, 1] or broadcasting otherwise; m >= 1.
        zero_point: int64, like m.
    """

    codes: Integers
    m: Integers
    k: Integers
    zero_point: Integers

    @classmethod
    def power_of_two(cls, codes: Integers, k: Integers) -> "DyadicTensor":
        """``codes / 2**k``: m is 1 and the zero point 0."""
        return cls(codes, np.ones_like(k), k, np.zeros_like(k))

    def map(self, function: Callable[[NDArray[Any]], NDArray[Any]]) -> "DyadicTensor":
        """The tensor with a function, such as a transposition, applied to codes, m, k and zero point alike."""
        return DyadicTensor(function(self.codes), function(self.m), function(self.k), function(self.zero_point))

    @property
    def centered(self) -> Integers:
        """``codes - zero_point``."""
        return self.codes - self.zero_point

    def dequantize(self) -> NDArray[np.float64]:
        """The values as float64: for reports and tests, never inside the integer computation."""
        return np.ldexp(np.asarray(self.centered * self.m, np.float64), np.negative(self.k))


def require_bits(name: str, bits: int) -> None:
    """`InputError` unless 1 <= bits <= 16, the code widths that int64 intermediates allow."""
    if not 1 <= bits <= 16:
        raise InputError(f"{name} is {bits}; choose 1 to 16")


def di_requantize(
    p: IntegerLike,
    m1: IntegerLike,
    k1: IntegerLike,
    m2: IntegerLike,
    k2: IntegerLike,
    bits: int,
    anchor: Anchor = "minimum",
) -> tuple[Integers, Any, Any, Any]:
    """Requantise rows of products to unsigned `bits`-bit codes with a fresh scale per row (I-LLM, Eqs 6 to 8).

    With ``value = p * m1*m2 / 2**(k1+k2)``, ``R = max p - min p`` and ``Q = 2**bits - 1`` per row (last axis):
    ``y = round((p - min p) * Q / R)``, ``zero_point = round(-min p * Q / R)``, and ``m_y / 2**k_y`` is the 8-bit dyadic
    number nearest ``R*m1*m2 / (Q * 2**(k1+k2))`` with 128 <= m_y <= 255. The range is not forced to contain 0, so the
    zero point may lie outside 0..Q; k_y may be negative for coarse scales. A constant row counts as R = 1: its codes
    are 0 and its zero point ``-min p * Q``. Rounding is to nearest, ties away from zero.

    Args:
        p: integers [..., channels], the accumulators.
        m1, k1, m2, k2: operand scales; scalars, or one per row [...].
        bits: code width, 1 to 16.
        anchor: see `Anchor`.

    Returns:
        ``(y, m_y, k_y, zero_point)``: y int64 [..., channels]; the others [...], ints where p is one row.

    Raises:
        InputError: no integers, a scale that is not positive, or products too wide for int64 intermediates.

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
    require_bits("bits", bits)
    p, m1, k1, m2, k2 = (as_integers(*named) for named in zip(_NAMES, (p, m1, k1, m2, k2), strict=True))
    if p.ndim == 0:
        raise InputError("p is a single number; pass rows [..., channels]")
    for name, scale in zip(_NAMES[1:], (m1, k1, m2, k2), strict=True):
        require_broadcast(name, scale, p.shape[:-1], "one per row")
    low = p.min(axis=-1)
    spread = np.maximum(p.max(axis=-1) - low, 1)
    top = (1 << bits) - 1
    require_width("p", p, WORD_BITS - 1 - bits)
    zero_point = divide_rounded(-low * top, spread)
    if anchor == "zero":
        y = divide_rounded(p * top, spread[..., None]) + zero_point[..., None]
        y = np.minimum(np.maximum(y, 0), top)
    elif anchor == "minimum":
        y = divide_rounded((p - low[..., None]) * top, spread[..., None])
    else:
        raise InputError(f"anchor is {anchor!r}; choose minimum or zero")
    m_y, k_y = _output_scale(spread, m1, k1, m2, k2, top)
    return y, unwrap(m_y), unwrap(k_y), unwrap(zero_point)


_NAMES = ("p", "m1", "k1", "m2", "k2")


def _output_scale(
    spread: Integers, m1: Integers, k1: Integers, m2: Integers, k2: Integers, top: int
) -> tuple[Integers, Integers]:
    """The 8-bit dyadic scale nearest ``spread*m1*m2 / (top * 2**(k1+k2))``.

    ``k_y = MSB(floor((256*top << (k1+k2)) / s))`` with ``s = spread*m1*m2``, from the top bits of both sides and one
    correction, so that the wide numerator is never formed.
    """
    require_scale("m1, k1", m1, k1)
    require_scale("m2, k2", m2, k2)
    widths = [largest_magnitude(factor).bit_length() for factor in (spread, m1, m2)]
    if sum(widths) > WORD_BITS:
        raise InputError(
            f"the range of p, m1 and m2 need {sum(widths)} bits together, but int64 has {WORD_BITS} left; "
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
    """`di_requantize` of a tensor whose scale is one per row [..., 1] (or one for all): codes, m, k, zero point anew.

    Raises:
        InputError: the scale differs within a row, or what `di_requantize` raises.
    """
    for name, part in (("m", tensor.m), ("k", tensor.k)):
        if part.ndim and part.shape[-1] != 1:
            raise InputError(f"{name} has {part.shape[-1]} values along the channels; bring each row to one scale")
    m, k = (part[..., 0] if part.ndim else part for part in (tensor.m, tensor.k))
    y, *scale = di_requantize(tensor.centered, m, k, 1, 0, bits, anchor)
    m_y, k_y, zero_point = (np.asanyarray(part)[..., None] for part in scale)
    return DyadicTensor(y, m_y, k_y, zero_point)


def requantize_figure(
    p: IntegerLike, m1: IntegerLike, k1: IntegerLike, m2: IntegerLike, k2: IntegerLike, bits: int, constant: int = 256
) -> tuple[Integers, Any, Any, Any]:
    """The scale computation as the authors' dataflow figure prints it, for comparison with `di_requantize`.

    ``k_y = MSB((constant << (k1+k2)) / R)`` and ``m_y = (m1*m2*R) >> (k1+k2-k_y)``: the figure leaves Q out, so
    ``m_y / 2**k_y`` is the row's whole range, Q steps; and it leaves m1*m2 out of the logarithm, so m_y has up to
    8 + 16 bits where the paper allows 8. Codes and zero point are those of `di_requantize`. The figure names no value
    for `constant`.

    >>> _, m_y, k_y, _ = requantize_figure([-34567, -20000, 0, 5, 12345, 41234], 200, 12, 150, 10, 8)
    >>> m_y, k_y  # 542.2, the range of the row in its units
    (4441464, 13)
    """
    y, _, _, zero_point = di_requantize(p, m1, k1, m2, k2, bits)
    p, m1, k1, m2, k2 = (as_integers(*named) for named in zip(_NAMES, (p, m1, k1, m2, k2), strict=True))
    if constant < 1:
        raise InputError(f"constant is {constant}; pass 1 or more")
    k = k1 + k2
    wide = np.asarray(constant)
    require_width("constant << (k1 + k2)", wide, WORD_BITS - max(int(k.max()), 0))
    spread = np.maximum(p.max(axis=-1) - p.min(axis=-1), 1)
    k_y = top_bit(np.maximum(shift_left(wide, k) // spread, 1))
    return y, unwrap(shift_left(m1 * m2 * spread, k_y - k)), unwrap(k_y), zero_point
