"""DI-Norm: RMSNorm and LayerNorm in integers (I-LLM, Algorithm 4)."""

import numpy as np

from ..checks import check_integer
from ..errors import InputError
from .arithmetic import (
    WORD_BITS,
    IntegerLike,
    Integers,
    as_integers,
    check_scale,
    check_width,
    divide_rounded,
    integer_sqrt,
    normalize_rows,
    shift_right_rounded,
)

MAX_INPUT_BIT = 25
"""Top bit of a normalised row; with 20 fraction bits the numerator of the quotient then fits int64."""

MAX_CHANNELS = 1 << 14


def di_norm(
    x: IntegerLike,
    center: bool = False,
    fraction_bits: int = 20,
    epsilon: tuple[int, int] | None = None,
    k: IntegerLike = 0,
) -> Integers:
    """``x / rms(x)`` over the last axis, as ``y / 2**fraction_bits``, without gain.

    The scale of a row cancels, so rows are first shifted left as far as their sum of squares fits int64. The root is
    `integer_sqrt`, at least 1: an all-zero row (or a constant row with `center`) gives zeros.

    Parameters
    ----------
    x
        Integers [..., channels], at most 16384 channels.
    center
        Subtract the (rounded) integer mean first, as LayerNorm does.
    fraction_bits
        Number f of fraction bits; ``|y| <= sqrt(channels) * 2**f``.
    epsilon
        Epsilon of the norm as a dyadic number (m, k); None omits it, as I-LLM does. It only matters for rows near zero,
        and needs `k`.
    k
        Exponent of the values ``x / 2**k``, per row [..., 1] or scalar; only used with epsilon.

    Raises
    ------
    InputError
        x has no integers or too many channels, or fraction_bits is outside 1..30.

    >>> (di_norm([3, -4, 0, 12]) / 2**20).round(4).tolist(), (np.array([3, -4, 0, 12]) / 6.5).round(4).tolist()
    ([0.4615, -0.6154, 0.0, 1.8462], [0.4615, -0.6154, 0.0, 1.8462])
    """
    x = _rows("x", x)
    check_integer("fraction_bits", fraction_bits, 1, 30)
    if center:
        x, widened = normalize_rows(x, WORD_BITS - 1 - int(x.shape[-1]).bit_length())
        x = x - divide_rounded(x.sum(axis=-1, keepdims=True), x.shape[-1])
        k = k + widened
    x, left = normalize_rows(x, _input_bit(x.shape[-1]))
    if epsilon is None or epsilon[0] == 0:
        return _divide_by_rms(x, fraction_bits, 0)
    right, mean_square = _scaled_epsilon(epsilon, k + left)
    return _divide_by_rms(shift_right_rounded(x, right), fraction_bits, mean_square)


def _rows(name: str, x: IntegerLike) -> Integers:
    rows = as_integers(name, x)
    if rows.ndim == 0:
        raise InputError(f"{name}: is a single number; pass rows [..., channels]")
    if rows.shape[-1] > MAX_CHANNELS:
        raise InputError(f"{name}: has {rows.shape[-1]} channels; pass at most {MAX_CHANNELS}, so that sums fit int64")
    check_width(name, rows, WORD_BITS - 1)
    return rows


def _input_bit(channels: int) -> int:
    """Largest top bit b with ``channels * 2**(2b + 2) <= 2**62``, at most 25."""
    return min((WORD_BITS - 2 - (channels - 1).bit_length()) // 2, MAX_INPUT_BIT)


def _scaled_epsilon(epsilon: tuple[int, int], k: Integers) -> tuple[Integers, Integers]:
    """Right shift of rows with exponent k for which the mean square of epsilon fits int64, and this mean square."""
    m_e, k_e = (as_integers("epsilon", part) for part in epsilon)
    if m_e < 1:
        raise InputError(f"epsilon: is {int(m_e)} / 2**{int(k_e)}; pass 0 or more")
    left = 2 * k - k_e
    right = np.maximum((left + int(m_e).bit_length() - WORD_BITS + 2) >> 1, 0)
    return right, shift_right_rounded(m_e, 2 * right - left)


def _divide_by_rms(x: Integers, fraction_bits: int, added_mean_square: Integers | int) -> Integers:
    mean_square = divide_rounded((x * x).sum(axis=-1, keepdims=True), x.shape[-1])
    rms = np.maximum(integer_sqrt(mean_square + added_mean_square), 1)
    return divide_rounded(x << fraction_bits, rms)


def di_norm_channelwise(x: IntegerLike, m: IntegerLike, k: IntegerLike, fraction_bits: int = 20) -> Integers:
    """Dataflow of the authors for inputs with a dyadic scale per channel: ratios to the smallest scale, then `di_norm`.

    ``m' = m >> (k - min k)``, ``alpha = round(m' / min m')``, and ``x * alpha`` is normalised. The floor of the shift
    and the rounded ratio limit the accuracy: the relative error of a channel is up to 1 / (2 alpha).

    Parameters
    ----------
    x
        Integers [..., channels].
    m, k
        Scale per channel [channels].
    fraction_bits
        See `di_norm`.

    Raises
    ------
    InputError
        The shift to the smallest k turns a scale into 0.

    >>> (di_norm_channelwise([30, -40, 0, 12], [16, 16, 16, 160], [4, 4, 4, 4]) / 2**20).round(4).tolist()
    [0.4615, -0.6154, 0.0, 1.8462]
    """
    m, k = as_integers("m", m), as_integers("k", k)
    check_scale("m, k", m, k)
    aligned = m >> (k - k.min())
    if aligned.min() < 1:
        raise InputError("m, k: the smallest scale becomes 0 at the smallest k; use di_norm on rows with one scale")
    return di_norm(as_integers("x", x) * divide_rounded(aligned, aligned.min()), fraction_bits=fraction_bits)
