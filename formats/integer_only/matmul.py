"""Integer matrix products of dyadic tensors, and the residual addition (DI-MatMul of I-LLM)."""

from typing import Literal, get_args

import numpy as np

from ..checks import check_choice, check_integer
from ..errors import InputError
from .arithmetic import WORD_BITS, Integers, check_width, largest_magnitude, shift_right_rounded, top_bit
from .requantization import Anchor, DyadicTensor, requantize

Engine = Literal["integer", "blas"]
"""``integer``: NumPy's int64 product. ``blas``: the same integers by float BLAS, only where that is exact."""

FLOAT32_EXACT = 1 << 24
FLOAT64_EXACT = 1 << 53
"""Magnitudes up to which every integer is exact in float32 and float64."""


def integer_matmul(a: Integers, b: Integers, engine: Engine = "integer") -> Integers:
    """``a @ b`` in exact integers.

    The engine ``blas`` multiplies float matrices of integers. Every product and every partial sum is an integer of at
    most ``bound = channels * max|a| * max|b|``. If bound <= 2**24 (float32) or 2**53 (float64), no addition rounds, so
    the result equals that of the engine ``integer``. Beyond that, the wider operand is split into a high and a low
    part. The bound is computed from the operands of each call.

    Parameters
    ----------
    a
        int64 [..., rows, channels].
    b
        int64 [..., channels, columns].
    engine
        See `Engine`.

    Raises
    ------
    InputError
        The numbers of channels differ, the bound does not fit int64, or the engine does not exist.
    """
    if a.ndim < 2 or b.ndim < 2 or a.shape[-1] != b.shape[-2]:
        raise InputError(f"a: has shape {list(a.shape)}, b has {list(b.shape)}; pass [..., r, c] and [..., c, n]")
    bound = _product_bound(a, b)
    if bound.bit_length() > WORD_BITS:
        raise InputError(f"a: a @ b may need {bound.bit_length()} bits, more than int64 has; use narrower codes")
    check_choice("engine", engine, get_args(Engine))
    return a @ b if engine == "integer" else _blas_matmul(a, b, bound)


def _blas_matmul(a: Integers, b: Integers, bound: int) -> Integers:
    if bound <= FLOAT64_EXACT:
        dtype = np.float32 if bound <= FLOAT32_EXACT else np.float64
        return (a.astype(dtype) @ b.astype(dtype)).astype(np.int64)
    if largest_magnitude(b) > largest_magnitude(a):
        return _blas_matmul(b.swapaxes(-1, -2), a.swapaxes(-1, -2), bound).swapaxes(-1, -2)
    half = (largest_magnitude(a).bit_length() + 1) // 2
    high, low = a >> half, a & ((1 << half) - 1)
    parts = (_blas_matmul(part, b, _product_bound(part, b)) for part in (high, low))
    return (next(parts) << half) + next(parts)


def _product_bound(a: Integers, b: Integers) -> int:
    """Upper bound of any sum of products along the channels."""
    return a.shape[-1] * largest_magnitude(a) * largest_magnitude(b)


def exact_matmul(x: DyadicTensor, w: DyadicTensor, engine: Engine = "integer") -> DyadicTensor:
    """Exact product of two dyadic tensors: wide codes, one scale per row, zero point 0.

    Columns of w (output channels, or key tokens) can have different m but need one exponent k: the accumulators of a
    column are multiplied by its m.

    Parameters
    ----------
    x
        Codes [..., rows, channels]; scale and zero point per row [..., 1] or scalar.
    w
        Codes [..., channels, columns]; m and zero point [..., 1, columns] or scalar; one k for all columns.
    engine
        See `integer_matmul`.
    """
    if w.k.ndim and w.k.shape[-1] != 1:
        raise InputError("w: k differs between columns; use common_exponent first")
    weights = w.centered
    correction = x.zero_point * weights.sum(axis=-2, keepdims=True)
    accumulators = integer_matmul(x.codes, weights, engine) - correction
    check_width("x @ w", accumulators, WORD_BITS - largest_magnitude(w.m).bit_length())
    return DyadicTensor(accumulators * w.m, x.m, x.k + w.k, np.zeros_like(x.zero_point))


def di_matmul(
    x: DyadicTensor, w: DyadicTensor, bits: int, engine: Engine = "integer", anchor: Anchor = "minimum"
) -> DyadicTensor:
    """DI-MatMul: `exact_matmul`, then `requantize` of each row to `bits` bits.

    >>> x = DyadicTensor(np.array([[0, 49, 255]]), np.array(136), np.array(6), np.array(116))
    >>> w = DyadicTensor(np.array([[3], [-2], [7]]), np.array(64), np.array(10), np.array(0))
    >>> y = di_matmul(x, w, 8)
    >>> y.codes.tolist(), y.dequantize().round(3).tolist(), (x.dequantize() @ w.dequantize()).round(3).tolist()
    ([[0]], [[101.149]], [[100.805]])
    """
    return requantize(exact_matmul(x, w, engine), bits, anchor)


def common_exponent(m: Integers, k: Integers, exponent: int) -> Integers:
    """Multipliers of dyadic scales at one exponent: ``m' / 2**exponent`` nearest to ``m / 2**k``.

    They are exact where k <= exponent. A scale below half of 2**-exponent becomes 0.
    """
    check_width("m", m, WORD_BITS - max(exponent - int(k.min()), 0))
    return shift_right_rounded(m, k - exponent)


def add_residual(residual: DyadicTensor, branch: DyadicTensor, bits: int) -> DyadicTensor:
    """``residual + branch``, rounded once to signed `bits`-bit codes with a power-of-two scale per row.

    The exponent of a row is the largest for which all its codes fit `bits` bits (16 in I-LLM).

    Parameters
    ----------
    residual
        Codes [..., rows, channels] with m == 1 and zero point 0, as this function returns them.
    branch
        Result of `exact_matmul`.
    bits
        8 to 32.
    """
    check_integer("bits", bits, 8, 32)
    if (residual.m != 1).any():
        raise InputError("residual: m is not 1; pass codes with a power-of-two scale")
    addend = branch.centered * branch.m
    check_width("branch", addend, WORD_BITS - 2)
    check_width("residual", residual.codes, bits)
    finest = np.minimum(residual.k + _free_bits(residual.codes), branch.k + _free_bits(addend))
    k = np.minimum(np.maximum(residual.k, branch.k), finest)
    total = shift_right_rounded(residual.codes, residual.k - k) + shift_right_rounded(addend, branch.k - k)
    return power_of_two_rows(total, k, bits)


def _free_bits(codes: Integers) -> int:
    """Left shift of codes that still allows an addition in int64."""
    return WORD_BITS - 2 - largest_magnitude(codes).bit_length()


def power_of_two_rows(codes: Integers, k: Integers, bits: int) -> DyadicTensor:
    """Round rows ``codes / 2**k`` to signed `bits`-bit codes, each row with its finest exponent.

    The top bit of the largest magnitude of a row moves to bit ``bits - 2``. If rounding would carry into the sign bit,
    the row keeps one bit less.
    """
    largest = np.abs(codes).max(axis=-1, keepdims=True)
    right = np.where(largest > 0, top_bit(largest) - (bits - 2), 0)
    right = right + (shift_right_rounded(largest, right) >> (bits - 1))
    return DyadicTensor.power_of_two(shift_right_rounded(codes, right), k - right)
