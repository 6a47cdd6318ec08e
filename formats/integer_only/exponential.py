"""DI-Exp: the exponential of a non-positive integer, from shifts and one division (I-LLM, Algorithm 1)."""

from typing import Any

import numpy as np

from ..errors import InputError
from .arithmetic import (
    MAX_EXPONENT,
    WORD_BITS,
    IntegerLike,
    Integers,
    as_integers,
    check_broadcast,
    check_scale,
    check_width,
    divide_rounded,
    shift_left,
    top_bit,
    unwrap,
)
from .requantization import MULTIPLIER_BITS

TARGET_RESOLUTION_BITS = 12
"""`exp_guard_bits` raises a smaller t to 2**12..2**13; then the chord error dominates, and 2**17 terms fit int32."""

FINEST_RESOLUTION_BITS = 30
"""`exp_guard_bits` lowers a larger t to 2**30..2**31, so that sums and quotients of exponentials fit int64."""


def _log2e_scale(m: Integers) -> Integers:
    """``1.4375 * m``, the shift-and-add approximation of ``m * log2(e)`` (0.36 % low)."""
    return m + (m >> 1) - (m >> 4)


def normalised_scale(m: IntegerLike, k: IntegerLike) -> tuple[Integers, Integers]:
    """The same scale ``m / 2**k`` with m of at least 8 bits, 128..255 if it was smaller.

    The shifts of ``1.4375 * m`` in DI-Exp then lose less than 1 %; with m = 1 they would lose the whole 0.4375.
    """
    m, k = as_integers("m", m), as_integers("k", k)
    check_scale("m, k", m, k)
    shift = np.clip(np.minimum(MULTIPLIER_BITS - 1 - top_bit(m), MAX_EXPONENT - k), 0, None)
    return m << shift, k + shift


def exp_guard_bits(m: IntegerLike, k: IntegerLike, wanted: IntegerLike | None = None) -> Any:
    """Guard bits that bring the resolution t of DI-Exp to at least 2**12 and at most 2**31.

    Parameters
    ----------
    m, k
        Dyadic scale.
    wanted
        Guard bits to use instead if t stays at most 2**31; finer scales are still shifted right.

    >>> exp_guard_bits(241, 12), exp_guard_bits(1, 20), exp_guard_bits(1, 50)
    (9, 0, -20)
    >>> exp_guard_bits(241, 12, 4), exp_guard_bits(1, 50, 4)
    (4, -20)
    """
    m, k = as_integers("m", m), as_integers("k", k)
    check_scale("m, k", m, k)
    scale = _log2e_scale(m)
    is_power_of_two = (scale & (scale - 1)) == 0
    resolution_bit = k - top_bit(scale) - np.where(is_power_of_two, 0, 1)
    coarse = np.maximum(TARGET_RESOLUTION_BITS - resolution_bit, 0)
    guard = coarse if wanted is None else as_integers("guard_bits", wanted)
    return unwrap(np.minimum(guard, FINEST_RESOLUTION_BITS - resolution_bit))


def di_exp(x: IntegerLike, m: IntegerLike, k: IntegerLike, guard_bits: IntegerLike = 0) -> tuple[Any, Any]:
    """``exp(x * m / 2**k)`` for x <= 0 as the integer ratio ``e / t``.

    With ``exp(v) = 2**-(q + f)``, the factor ``2**-f`` is replaced by its chord ``1 - f/2`` (at most 6.2 % high). t is
    the number of steps of the scale in one factor of two, so it is also the resolution of the result. It is not a power
    of two; it cancels in every ratio of exponentials with one scale. `guard_bits` shifts x left for a larger t: 0 is the
    algorithm of the paper, `exp_guard_bits` the recommended number.

    Parameters
    ----------
    x
        Integers <= 0 of any shape.
    m, k
        Dyadic scale ``m / 2**k``; scalars, or arrays that broadcast to x.
    guard_bits
        g; x becomes ``x << g`` and k becomes ``k + g``. Scalar, or broadcasting like m. A negative g shifts right, for
        scales so fine that t would not fit.

    Returns
    -------
    ``(e, t)``: ints for int arguments, else int64 arrays; 0 <= e <= t, and e == t at x == 0.

    Raises
    ------
    InputError
        x > 0, m < 1, or a scale that is so coarse that t is 0, or so fine that t does not fit int64.

    >>> [di_exp(x, 241, 12) for x in (0, -1, -5, -12, -17, -34, -100)]
    [(12, 12), (11, 12), (9, 12), (6, 12), (4, 12), (1, 12), (0, 12)]
    >>> e, t = di_exp(np.array([0, -1, -5, -12, -17, -34, -100]), 129, 12)
    >>> e.tolist(), t
    ([22, 21, 19, 16, 13, 8, 1], 22)
    >>> di_exp(-3, 255, 8)  # one step of the scale is about 1: guard bits are missing
    (0, 1)
    """
    x, m, k, guard = (as_integers(*named) for named in (("x", x), ("m", m), ("k", k), ("guard_bits", guard_bits)))
    _check(x, m, k, guard)
    steps = _steps_per_halving(m, k + guard)
    x = shift_left(x, guard)
    halvings = (-x) // steps
    remainder = x + halvings * steps
    e = ((remainder >> 1) + steps) >> np.minimum(halvings, 63)
    return unwrap(e), unwrap(steps)


def _check(x: Integers, m: Integers, k: Integers, guard: Integers) -> None:
    check_scale("m, k", m, k)
    for name, part in (("m", m), ("k", k), ("guard_bits", guard)):
        check_broadcast(name, part, x.shape, "a shape that broadcasts to x")
    if x.max() > 0:
        raise InputError(f"x: holds {int(x.max())}; pass x <= 0, for instance with the row maximum subtracted")
    check_width("x with its guard bits", x, WORD_BITS - max(int(guard.max()), 0))
    if (k + guard).max() > WORD_BITS - 1:
        raise InputError(
            f"k: k + guard_bits reaches {int((k + guard).max())} but {WORD_BITS - 1} fit int64; "
            "pass guard_bits=exp_guard_bits(m, k)"
        )


def _steps_per_halving(m: Integers, k: Integers) -> Integers:
    """Number of steps of the scale that halve the exponential: ``t = round(2**k / (m * log2 e))``."""
    steps = np.where(k >= 0, divide_rounded(1 << np.maximum(k, 0), _log2e_scale(m)), 0)
    if steps.min() < 1:
        raise InputError("m, k: a step of the scale is above 1.39, so t is 0; pass guard_bits=exp_guard_bits(m, k)")
    return steps
