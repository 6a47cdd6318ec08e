"""DI-SwiGLU: the gated activation in integers (I-LLM, Algorithm 3), with the smoothing factors of FSBR."""

from typing import Any, Literal

import numpy as np

from ..errors import InputError
from .arithmetic import WORD_BITS, IntegerLike, Integers, as_integers, require_width
from .exponential import di_exp, exp_guard_bits
from .requantization import DyadicTensor, require_bits

SigmoidForm = Literal["stable", "shared_max"]
"""``stable``: every element by itself. ``shared_max``: the figure's, relative to the row's maximum."""


def di_sigmoid(
    x: IntegerLike,
    m: IntegerLike,
    k: IntegerLike,
    bits: int = 8,
    guard_bits: IntegerLike | None = None,
    form: SigmoidForm = "stable",
) -> Integers:
    """``sigmoid(x * m / 2**k)`` as ``s / 2**(bits - 1)``.

    The stable form takes ``e / t = exp(-|x|)`` and answers ``t / (t + e)`` or ``e / (t + e)`` by the sign of x. The
    figure's form subtracts the maximum M of the row (and 0) from x and from 0; where ``M * m / 2**k`` is beyond ``ln
    t``, both exponentials underflow, and every element but the largest becomes 0.

    Args:
        x: integers [..., channels].
        m, k: the scale; scalars or broadcasting against x.
        bits: 8 gives 0..128.
        guard_bits: of DI-Exp; None takes `exp_guard_bits`, 0 is the paper's algorithm.
        form: `SigmoidForm`.

    >>> x = [-160, -80, -20, 0, 20, 40, 80, 160]
    >>> di_sigmoid(x, 205, 12, guard_bits=8).tolist()
    [0, 2, 36, 64, 92, 112, 126, 128]
    >>> di_sigmoid(x, 205, 12, guard_bits=0, form="shared_max").tolist()
    [0, 0, 0, 0, 0, 0, 0, 128]
    """
    require_bits("bits", bits)
    x = as_integers("x", x)
    guard = exp_guard_bits(m, k, guard_bits)
    if form == "stable":
        e, t = di_exp(-np.abs(x), m, k, guard)
        chosen, other = np.where(x >= 0, t, e), np.where(x >= 0, e, t)
    elif form == "shared_max":
        highest = np.maximum(x.max(axis=-1, keepdims=True), 0)
        chosen, _ = di_exp(x - highest, m, k, guard)
        other, _ = di_exp(-highest, m, k, guard)
    else:
        raise InputError(f"form is {form!r}; choose stable or shared_max")
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
    """``gate * sigmoid(gate / s) * up`` without rounding after the sigmoid; follow with `requantize`.

    The result's scale is ``m_gate*m_up / 2**(k_gate + k_up + bits - 1)`` per row.

    Args:
        gate, up: codes [..., rows, channels], scale per row. Of FSBR's folds, gate was multiplied by s and up divided.
        smooth: the reciprocals ``1/s`` per channel as dyadic numbers (m_s [channels], one k_s); None where s == 1.
        bits: width of the sigmoid's result.
        guard_bits, form: see `di_sigmoid`.

    Raises:
        InputError: shapes differ, a reciprocal is negative, or the product passes int64.
    """
    if gate.codes.shape != up.codes.shape:
        raise InputError(f"gate {list(gate.codes.shape)} and up {list(up.codes.shape)} differ; pass equal shapes")
    x1, x2 = gate.centered, up.centered
    argument, exponent = _smoothed(x1, gate.k, smooth)
    sigmoid = di_sigmoid(argument, gate.m, exponent, bits, guard_bits, form)
    require_width("gate * sigmoid", x1 * sigmoid, WORD_BITS - int(np.abs(x2).max()).bit_length())
    return DyadicTensor(x1 * sigmoid * x2, gate.m * up.m, gate.k + up.k + (bits - 1), np.zeros_like(gate.zero_point))


def _smoothed(x: Integers, k: Integers, smooth: tuple[IntegerLike, IntegerLike] | None) -> tuple[Integers, Any]:
    if smooth is None:
        return x, k
    m_s, k_s = as_integers("smooth", smooth[0]), as_integers("smooth", smooth[1])
    if m_s.min() < 0:
        raise InputError(f"smooth holds {int(m_s.min())}; smoothing factors are positive")
    return x * m_s, k + k_s
