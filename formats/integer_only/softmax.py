"""DI-ClippedSoftmax: probabilities of integer scores (I-LLM, Algorithm 2 and Eq. 10)."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .arithmetic import WORD_BITS, IntegerLike, Integers, as_integers, check_scale, check_width
from .exponential import di_exp, exp_guard_bits, normalised_scale
from .requantization import check_code_width, di_requantize

Mask = NDArray[np.bool_]


def integer_softmax(
    x: IntegerLike,
    m: IntegerLike,
    k: IntegerLike,
    bits: int = 8,
    guard_bits: IntegerLike | None = None,
    mask: Mask | None = None,
) -> Integers:
    """Softmax over the last axis of ``x * m / 2**k`` as ``prob / 2**(bits - 1)``; x must be 0 at the maximum.

    ``prob = round(e * 2**(bits-1) / sum(e))`` with e from `di_exp`; the rounded probabilities of a row need not sum to
    exactly ``2**(bits-1)``.

    Parameters
    ----------
    x
        Integers [..., keys], x <= 0.
    m, k
        Scale per row [..., 1], or scalars.
    bits
        Width p_out of the probabilities; 8 gives 0..128.
    guard_bits
        Guard bits of DI-Exp; None takes `exp_guard_bits`, 0 is the algorithm of the paper.
    mask
        bool, broadcasting to x; False positions get probability 0.

    >>> x = [0, -17, -34, -51, -68, -100, -255]
    >>> [integer_softmax(x, 241, 12, 8, guard_bits=g).tolist() for g in (0, 4, 8)]
    [[90, 30, 8, 0, 0, 0, 0], [81, 31, 11, 4, 1, 0, 0], [80, 31, 11, 4, 2, 0, 0]]
    """
    check_code_width("bits", bits)
    m, k = normalised_scale(m, k)
    e, _ = di_exp(x, m, k, exp_guard_bits(m, k, guard_bits))
    if np.ndim(e) == 0:
        raise InputError("x: is a single number; pass rows [..., keys]")
    if mask is not None:
        e = np.where(mask, e, 0)
    check_width("the exponentials of a row", e, WORD_BITS - bits - (e.shape[-1] - 1).bit_length())
    total = e.sum(axis=-1, keepdims=True)
    if total.min() < 1:
        raise InputError("x: a row has only zero exponentials; pass 0 at the maximum of each row")
    return ((e << (bits - 1)) + (total >> 1)) // total


def di_clipped_softmax(
    scores: IntegerLike,
    m: IntegerLike,
    k: IntegerLike,
    bits: int = 8,
    clip: tuple[int, int] = (15, 0),
    input_bits: int = 8,
    guard_bits: IntegerLike | None = None,
    mask: Mask | None = None,
) -> Integers:
    """Softmax over the last axis of integer scores ``scores * m / 2**k``.

    Scores more than c below the maximum of the row are clipped (exp(-15) = 3e-7). So the `input_bits` codes for DI-Exp
    span at most c, not the whole range of the row. Masked positions do not count for maximum and minimum.

    Parameters
    ----------
    scores
        Accumulators of Q K^T, integers [..., keys].
    m, k
        Scale per row [..., 1], or scalars, with 1/sqrt(head size) included.
    bits
        Width p_out of the probabilities ``prob / 2**(bits - 1)``.
    clip
        Clip c as a dyadic number (m_c, k_c).
    input_bits
        Width of the clipped, requantised scores.
    guard_bits
        Guard bits of DI-Exp; None takes `exp_guard_bits`, 0 is the algorithm of the paper.
    mask
        bool, broadcasting to scores; False positions get probability 0.

    Returns
    -------
    int64 [..., keys], 0..2**(bits-1), zero point 0.

    Raises
    ------
    InputError
        A row has no valid position, the clip is not positive, or `di_requantize` raises it.

    >>> di_clipped_softmax([2000, 1000, -90000], 1, 10, mask=np.array([True, True, True])).tolist()
    [92, 36, 0]
    """
    scores, m, k = as_integers("scores", scores), as_integers("m", m), as_integers("k", k)
    check_scale("m, k", m, k)
    valid = np.ones(scores.shape, np.bool_) if mask is None else np.broadcast_to(mask, scores.shape)
    if not valid.any(axis=-1).all():
        raise InputError("mask: a row has no valid position; give every query at least one key")
    edge = np.iinfo(np.int64)
    highest = np.where(valid, scores, edge.min).max(axis=-1, keepdims=True)
    floor = highest - _clip_steps(clip, m, k)
    clipped = np.maximum(np.where(valid, scores, highest), floor)
    y, m_y, k_y, _ = di_requantize(clipped, _per_row(m), _per_row(k), 1, 0, input_bits)
    y = np.where(valid, y, 0)
    x = y - y.max(axis=-1, keepdims=True)
    m_y, k_y = np.asanyarray(m_y)[..., None], np.asanyarray(k_y)[..., None]
    return integer_softmax(x, m_y, k_y, bits, guard_bits, valid)


def _per_row(scale: Integers) -> Integers:
    return scale[..., 0] if scale.ndim else scale


def _clip_steps(clip: tuple[int, int], m: Integers, k: Integers) -> Any:
    """``round(c * 2**k / m)``, limited to int64; the limit is above the range of scores."""
    c_m, c_k = (as_integers("clip", part) for part in clip)
    if c_m < 1:
        raise InputError(f"clip: is {int(c_m)} / 2**{int(c_k)}; pass a positive dyadic number")
    shift = np.minimum(k - c_k, WORD_BITS - 1 - int(c_m).bit_length())
    divisor = m << np.minimum(np.maximum(-shift, 0), 32)
    return ((c_m << np.maximum(shift, 0)) + (divisor >> 1)) // divisor
