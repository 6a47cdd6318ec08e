"""DI-SwiGLU: gated activation in integers (I-LLM, Algorithm 3), with the smoothing factors of FSBR."""

from typing import Any, Literal, get_args

import numpy as np

from ..checks import check_choice
from ..errors import InputError
from .arithmetic import WORD_BITS, IntegerLike, Integers, as_integers, check_width
from .exponential import di_exp, exp_guard_bits, normalised_scale
from .requantization import DyadicTensor, check_code_width

SigmoidForm = Literal["stable", "shared_max"]
"""``stable``: each element separately. ``shared_max``: relative to the maximum of the row, as in the paper's figure."""


def di_sigmoid(
    x: IntegerLike,
    m: IntegerLike,
    k: IntegerLike,
    bits: int = 8,
    guard_bits: IntegerLike | None = None,
    form: SigmoidForm = "stable",
) -> Integers:
    """``sigmoid(x * m / 2**k)`` as ``s / 2**(bits - 1)``.

    The form ``stable`` computes ``e / t = exp(-|x|)``; the result is ``t / (t + e)`` or ``e / (t + e)`` by the sign of
    x. The form of the figure subtracts the maximum M of the row and 0 from x and from 0. If ``M * m / 2**k`` is above
    ``ln t``, both exponentials underflow, and all elements except the largest become 0.

    Parameters
    ----------
    x
        Integers [..., channels].
    m, k
        Dyadic scale; scalars, or arrays that broadcast to x.
    bits
        Width of the result; 8 gives 0..128.
    guard_bits
        Guard bits of DI-Exp; None takes `exp_guard_bits`, 0 is the algorithm of the paper.
    form
        See `SigmoidForm`.

    >>> x = [-160, -80, -20, 0, 20, 40, 80, 160]
    >>> di_sigmoid(x, 205, 12, guard_bits=8).tolist()
    [0, 2, 36, 64, 92, 112, 126, 128]
    >>> di_sigmoid(x, 205, 12, guard_bits=0, form="shared_max").tolist()
    [0, 0, 0, 0, 0, 0, 0, 128]
    """
    check_code_width("bits", bits)
    x = as_integers("x", x)
    m, k = normalised_scale(m, k)
    guard = exp_guard_bits(m, k, guard_bits)
    check_choice("form", form, get_args(SigmoidForm))
    if form == "stable":
        e, t = di_exp(-np.abs(x), m, k, guard)
        chosen, other = np.where(x >= 0, t, e), np.where(x >= 0, e, t)
    else:
        highest = np.maximum(x.max(axis=-1, keepdims=True), 0)
        chosen, _ = di_exp(x - highest, m, k, guard)
        other, _ = di_exp(-highest, m, k, guard)
    total = np.maximum(chosen + other, 1)
    return ((chosen << (bits - 1)) + (total >> 1)) // total


def di_swiglu(
    gate: DyadicTensor,
    up: DyadicTensor,
    smooth: tuple[IntegerLike, IntegerLike] | None = None,
    bits: int = 8,
    guard_bits: IntegerLike | None = None,
    form: SigmoidForm = "stable",
) -> DyadicTensor:
    """``gate * sigmoid(gate / s) * up`` without rounding after the sigmoid; apply `requantize` next.

    The scale of the result is ``m_gate*m_up / 2**(k_gate + k_up + bits - 1)`` per row.

    Parameters
    ----------
    gate, up
        Codes [..., rows, channels], scale per row. FSBR multiplied gate by s and divided up by s.
    smooth
        Reciprocals ``1/s`` per channel as dyadic numbers (m_s [channels], one k_s); None for s == 1.
    bits
        Width of the sigmoid.
    guard_bits, form
        See `di_sigmoid`.

    Raises
    ------
    InputError
        The shapes differ, a reciprocal is negative, or the product does not fit int64.
    """
    if gate.codes.shape != up.codes.shape:
        raise InputError(f"gate: has shape {list(gate.codes.shape)}, up has {list(up.codes.shape)}; pass equal shapes")
    x1, x2 = gate.centered, up.centered
    argument, exponent = _smoothed(x1, gate.k, smooth)
    sigmoid = di_sigmoid(argument, gate.m, exponent, bits, guard_bits, form)
    check_width("gate * sigmoid", x1 * sigmoid, WORD_BITS - int(np.abs(x2).max()).bit_length())
    return DyadicTensor(x1 * sigmoid * x2, gate.m * up.m, gate.k + up.k + (bits - 1), np.zeros_like(gate.zero_point))


def _smoothed(x: Integers, k: Integers, smooth: tuple[IntegerLike, IntegerLike] | None) -> tuple[Integers, Any]:
    if smooth is None:
        return x, k
    m_s, k_s = as_integers("smooth", smooth[0]), as_integers("smooth", smooth[1])
    if m_s.min() < 0:
        raise InputError(f"smooth: holds {int(m_s.min())}; pass reciprocals of at least 0")
    return x * m_s, k + k_s
