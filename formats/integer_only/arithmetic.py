"""Integer arithmetic that NumPy lacks: rounding division and shifts, top bit, square root.

Every function uses int64 and keeps the subclass of the array, so a guarded array of the tests stays guarded.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError

Integers = NDArray[np.integer[Any]]
"""int64 in every computation; stored tables may be narrower."""
IntegerLike = int | list[int] | NDArray[np.integer[Any]]

WORD_BITS = 62
"""Magnitude bits of an intermediate: one less than int64 has, so that half a divisor can be added."""

MAX_EXPONENT = 1000
"""Largest |k| of a dyadic scale: sums of exponents do not overflow, and ``m / 2**k`` fits float64."""


def as_integers(name: str, value: IntegerLike) -> Integers:
    """Convert integers of at most 64 bits to an int64 array."""
    array = np.asanyarray(value)
    if array.size == 0:
        raise InputError(f"{name}: is empty; pass at least one integer")
    if array.dtype.kind not in "iu":
        kind = "integers beyond 64 bits" if array.dtype.kind == "O" else f"{array.dtype} values"
        raise InputError(f"{name}: holds {kind}; pass integers of at most 64 bits")
    if array.dtype == np.uint64 and array.max() > np.iinfo(np.int64).max:
        raise InputError(f"{name}: holds values of 2**63 or more; pass smaller integers")
    return array.astype(np.int64, copy=False)


def unwrap(array: Integers) -> Any:
    """Convert a 0-d array to a Python int; return other arrays unchanged."""
    return int(array) if np.ndim(array) == 0 else array


def largest_magnitude(array: Integers) -> int:
    """Largest ``|a|`` as a Python int, which cannot overflow."""
    return max(int(array.max()), -int(array.min()))


def check_width(name: str, array: Integers, bits: int) -> None:
    """Raise `InputError` unless every ``|a|`` has at most `bits` bits."""
    needed = largest_magnitude(array).bit_length()
    if needed > bits:
        raise InputError(f"{name}: needs {needed} bits, but int64 has {bits} left; shift it right and lower its k")


def check_scale(name: str, m: Integers, k: Integers) -> None:
    """Raise `InputError` unless ``m / 2**k`` is a valid dyadic scale."""
    if m.min() <= 0:
        raise InputError(f"{name}: m is {int(m.min())}, so the scale is not positive; pass m >= 1")
    if largest_magnitude(k) > MAX_EXPONENT:
        raise InputError(f"{name}: k is outside -{MAX_EXPONENT}..{MAX_EXPONENT}; rescale the tensor")


def check_broadcast(name: str, array: Integers, shape: tuple[int, ...], meaning: str) -> None:
    """Raise `InputError` unless `array` broadcasts to `shape`."""
    try:
        fits = np.broadcast_shapes(array.shape, shape) == shape
    except ValueError:
        fits = False
    if not fits:
        raise InputError(f"{name}: has shape {list(array.shape)}; pass {meaning}, {list(shape)}, or one number")


def top_bit(a: Integers) -> Integers:
    """Index of the highest set bit, ``floor(log2 a)``, for a >= 1; -1 for 0."""
    for distance in (1, 2, 4, 8, 16, 32):
        a = a | (a >> distance)
    return np.bitwise_count(a).astype(np.int64) - 1


def shift_left(a: Integers, n: Integers | int) -> Integers:
    """``floor(a * 2**n)``: a left shift, or an arithmetic right shift where n is negative."""
    return (a << np.maximum(n, 0)) >> np.minimum(np.maximum(np.negative(n), 0), 63)


def divide_rounded(a: Integers, b: Integers | int) -> Integers:
    """``round(a / b)`` for b >= 1, ties away from zero."""
    magnitude = (np.abs(a) + (b >> 1)) // b
    return np.where(a < 0, -magnitude, magnitude)


def shift_right_rounded(a: Integers, n: Integers | int) -> Integers:
    """``round(a / 2**n)``, ties away from zero; an exact left shift where n is negative."""
    right = np.minimum(np.maximum(n, 0), 63)
    half = np.where(right > 0, np.left_shift(1, np.maximum(right - 1, 0)), 0)
    magnitude = ((np.abs(a) << np.maximum(np.negative(n), 0)) + half) >> right
    return np.where(a < 0, -magnitude, magnitude)


def normalize_rows(a: Integers, bit: int) -> tuple[Integers, Integers]:
    """Shift each row (last axis) so that the top bit of its largest magnitude is at `bit`.

    A left shift is exact. A right shift rounds to nearest and may carry into ``bit + 1``. All-zero rows do not change.

    Returns
    -------
    Shifted rows, and their left shifts [..., 1]; a right shift is negative.
    """
    largest = np.abs(a).max(axis=-1, keepdims=True)
    left = np.where(largest > 0, bit - top_bit(largest), 0)
    return shift_right_rounded(a, -left), left


def integer_sqrt(a: IntegerLike) -> Any:
    """``floor(sqrt(a))``, bit by bit with additions, comparisons and shifts (I-SQRT of I-LLM, Algorithm 4).

    Parameters
    ----------
    a
        Integer or integer array, 0 <= a < 2**63.

    Returns
    -------
    int for an int, otherwise int64 of the same shape.

    Raises
    ------
    InputError
        ``a`` is negative or not an integer.

    >>> [integer_sqrt(a) for a in (0, 1, 3, 15, 16, 17, 255, 65535, 65536, 2147483647)]
    [0, 1, 1, 3, 4, 4, 15, 255, 256, 46340]
    >>> integer_sqrt(2**62) == 2**31
    True
    """
    remainder = as_integers("a", a)
    if remainder.min() < 0:
        raise InputError(f"a: holds {int(remainder.min())}; pass a >= 0")
    root = np.zeros_like(remainder)
    step = 1 << (max(int(remainder.max()).bit_length() - 1, 0) & ~1)
    while step:
        fits = remainder >= root + step
        remainder = np.where(fits, remainder - (root + step), remainder)
        root = np.where(fits, (root >> 1) + step, root >> 1)
        step >>= 2
    return unwrap(root)
