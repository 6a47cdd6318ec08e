"""DI-Exp: the exponential of a non-positive integer, from shifts and one division (I-LLM, Algorithm 1)."""

from typing import Any

import numpy as np

from ..errors import InputError
from .arithmetic import (
    WORD_BITS,
    IntegerLike,
    Integers,
    as_integers,
    divide_rounded,
    require_broadcast,
    require_scale,
    require_width,
    shift_left,
    top_bit,
    unwrap,
)

TARGET_RESOLUTION_BITS = 12
"""`exp_guard_bits` brings a coarser t into 2**12..2**13: the chord error dominates, and a sum of 2**17 terms fits int32."""

FINEST_RESOLUTION_BITS = 30
"""`exp_guard_bits` brings a finer t down to 2**30..2**31, so that sums and quotients of exponentials fit int64."""


def _log2e_scale(m: Integers) -> Integers:
    """``1.4375 * m``, the shift-and-add stand-in for ``m * log2(e)`` (0.36 % low)."""
    return m + (m >> 1) - (m >> 4)


def exp_guard_bits(m: IntegerLike, k: IntegerLike, wanted: IntegerLike | None = None) -> Any:
    """The guard bits that bring DI-Exp's resolution t to at least 2**12, and never above 2**31.

    Args:
        m, k: the scale.
        wanted: guard bits to use instead where they keep t at most 2**31; a finer scale is shifted right all the same.

    >>> exp_guard_bits(241, 12), exp_guard_bits(1, 20), exp_guard_bits(1, 50)
    (9, 0, -20)
    >>> exp_guard_bits(241, 12, 4), exp_guard_bits(1, 50, 4)
    (4, -20)
    """
    m, k = as_integers("m", m), as_integers("k", k)
    require_scale("m, k", m, k)
    scale = _log2e_scale(m)
    is_power_of_two = (scale & (scale - 1)) == 0
    resolution_bit = k - top_bit(scale) - np.where(is_power_of_two, 0, 1)
    coarse = np.maximum(TARGET_RESOLUTION_BITS - resolution_bit, 0)
    guard = coarse if wanted is None else as_integers("guard_bits", wanted)
    return unwrap(np.minimum(guard, FINEST_RESOLUTION_BITS - resolution_bit))


def di_exp(x: IntegerLike, m: IntegerLike, k: IntegerLike, guard_bits: IntegerLike = 0) -> tuple[Any, Any]:
    """``exp(x * m / 2**k)`` for x <= 0 as the integer ratio ``e / t``.

    The power of two nearest above is split off, ``exp(v) = 2**-(q + f)``, and ``2**-f`` replaced by its chord ``1 -
    f/2`` (at most 6.2 % high). t is the number of steps in one factor of two, so it is also the resolution of the
    result; it is not a power of two, and cancels in every ratio of exponentials of one scale. `guard_bits` shifts x
    left, for a finer t: 0 is the paper's algorithm, `exp_guard_bits` the recommended number.

    Args:
        x: integers <= 0, any shape.
        m, k: the dyadic scale ``m / 2**k``; scalars, or arrays that broadcast against x.
        guard_bits: g; x becomes ``x << g`` and k becomes ``k + g``. Scalar, or broadcasting like m; a negative g shifts
            right, for scales so fine that t would not fit.

    Returns:
        ``(e, t)``: ints for int arguments, else int64 arrays; 0 <= e <= t, and e == t at x == 0.

    Raises:
        InputError: x > 0, m < 1, a scale so coarse that t would be 0, or so fine that it would pass int64.

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
    require_scale("m, k", m, k)
    for name, part in (("m", m), ("k", k), ("guard_bits", guard)):
        require_broadcast(name, part, x.shape, "what broadcasts to x")
    if x.max() > 0:
        raise InputError(f"x holds {int(x.max())}; DI-Exp takes x <= 0: subtract the row maximum first")
    require_width("x with its guard bits", x, WORD_BITS - max(int(guard.max()), 0))
    if (k + guard).max() > WORD_BITS - 1:
        raise InputError(
            f"k + guard_bits reaches {int((k + guard).max())} but {WORD_BITS - 1} fit int64; "
            "pass guard_bits=exp_guard_bits(m, k)"
        )


def _steps_per_halving(m: Integers, k: Integers) -> Integers:
    """``t = round(2**k / (m * log2 e))``: how many steps of the scale halve the exponential."""
    steps = np.where(k >= 0, divide_rounded(1 << np.maximum(k, 0), _log2e_scale(m)), 0)
    if steps.min() < 1:
        raise InputError("m, k: a step of the scale is above 1.39, so t is 0; pass guard_bits=exp_guard_bits(m, k)")
    return steps
