"""Floating-point dot products with every rounding of the processing elements."""

from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from ..checks import check_choice
from ..errors import InputError
from ..numeric.fp16 import split_fp16
from ..options import Rounding

Summation = Literal["chained", "aligned", "exact"]

QUIET_NAN = 0x7FC00000
"""Pattern of every NaN result of a processing element."""

ALIGNED_BITS = 25
"""Bits that an aligned summand keeps: the 24 of FP32 and one more."""

TRUNCATED_BITS = 25
"""Bits of the smaller summand that a truncating adder keeps, from the highest bit of the larger one on."""

_LEAST_NORMAL = np.float32(2.0**-126)
_FP32_BITS = 24


def add_fp32(
    left: NDArray[np.float32], right: NDArray[np.float32], rounding: Rounding = "nearest", subnormals: bool = True
) -> NDArray[np.float32]:
    """Elementwise FP32 sum by IEEE 754, with every NaN 0x7FC00000, or by a simpler adder.

    Parameters
    ----------
    left, right
        Summands of any shape.
    rounding
        ``"nearest"``: ties to even. ``"truncate"``: the smaller magnitude is cut one bit below the last bit of the larger
        one, and the sum is cut to 24 bits; an overflow gives the largest finite number.
    subnormals
        False replaces subnormal summands and sums by zeros with the same sign.
    """
    if not subnormals:
        left, right = flush_subnormals(left), flush_subnormals(right)
    with np.errstate(over="ignore", invalid="ignore"):
        total = left + right if rounding == "nearest" else _add_truncated(left, right)
    return _canonical(total if subnormals else flush_subnormals(total))


def flush_subnormals(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Replace subnormal numbers by zeros with the same sign."""
    return np.where(np.abs(values) < _LEAST_NORMAL, np.copysign(np.float32(0), values), values)


def _canonical(values: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.where(np.isnan(values), np.uint32(QUIET_NAN).view(np.float32), values)


def _add_truncated(left: NDArray[np.float32], right: NDArray[np.float32]) -> NDArray[np.float32]:
    swap = np.abs(left) < np.abs(right)
    large = np.where(swap, right, left).astype(np.float64)
    small = np.where(swap, left, right).astype(np.float64)
    finite = np.isfinite(large) & np.isfinite(small)
    exponent = np.maximum(np.frexp(np.where(finite, large, 1))[1], -125)
    unit = np.ldexp(1.0, exponent - TRUNCATED_BITS)
    cut = np.trunc(np.where(finite, small, 0) / unit) * unit
    # 26 bits are exact in float64; a sum of zeros keeps the sign that addition gives it
    return np.where(finite, _truncate(large + np.where(small == 0, small, cut)), (large + small).astype(np.float32))


def _truncate(values: NDArray[np.float64]) -> NDArray[np.float32]:
    """Round float64 to float32 toward zero; finite values stay finite."""
    rounded = values.astype(np.float32)
    away = np.isfinite(values) & (np.abs(rounded.astype(np.float64)) > np.abs(values))
    return np.where(away, np.nextafter(rounded, np.float32(0)), rounded)


class _Products(NamedTuple):
    """Exact products ``[..., dot_width]``; a finite product is ``(-1)**sign * significand * 2**(exponent - bias)``."""

    signs: NDArray[np.bool_]
    exponents: NDArray[np.int64]
    significands: NDArray[np.int64]
    bias: int
    bits: int
    values: NDArray[np.float32]


def floating_dot(
    activations: NDArray[np.float16],
    weights: NDArray[np.float16] | NDArray[np.int8],
    *,
    summation: Summation = "chained",
    rounding: Rounding = "nearest",
    subnormals: bool = True,
    addend: NDArray[np.float32] | None = None,
    weight_bits: int = 4,
) -> NDArray[np.float32]:
    """Dot product of the circuit `rtl.elements.fp_dot.FloatingDot`, bit for bit; its docstring states every rounding.

    Parameters
    ----------
    activations
        float16 ``[..., steps, dot_width]``: the operands of each step.
    weights
        float16, or signed integers of `weight_bits` bits, with the same shape.
    summation, rounding, subnormals
        Options of the circuit.
    addend
        Start value of the accumulator, float32 ``[...]``; None for +0.

    Returns
    -------
    float32 ``[...]``.

    Raises
    ------
    InputError
        The shapes differ, the dot width is not a power of two, or an exact sum has truncation or an addend.
    """
    if activations.shape != weights.shape or activations.ndim < 2:
        raise InputError(
            f"weights: have shape {list(weights.shape)}; give the shape of the activations, {list(activations.shape)}"
        )
    dot_width = activations.shape[-1]
    if dot_width & (dot_width - 1):
        raise InputError(f"activations: have a dot width of {dot_width}; give a power of two")
    check_choice("summation", summation, get_args(Summation))
    if summation == "exact" and (rounding != "nearest" or addend is not None):
        raise InputError("summation: exact sums round to nearest and have no addend; choose chained or aligned")
    products = _multiply(activations, weights, subnormals, weight_bits)
    if summation == "exact":
        return _sum_exact(products)
    accumulator = np.zeros(activations.shape[:-2], np.float32) if addend is None else addend
    for step in range(activations.shape[-2]):
        if summation == "chained":
            accumulator = _add_chained(products.values[..., step, :], accumulator, rounding, subnormals)
        else:
            accumulator = _add_aligned(products, step, accumulator, rounding, subnormals)
    return accumulator


def _multiply(
    activations: NDArray[np.float16],
    weights: NDArray[np.float16] | NDArray[np.int8],
    subnormals: bool,
    weight_bits: int,
) -> _Products:
    if not subnormals:
        activations = _flush_fp16(activations)
    left = split_fp16(activations.view(np.uint16))
    exponents = left.exponents.astype(np.int64)
    if weights.dtype == np.float16:
        fp16 = weights.astype(np.float16)
        weights = fp16 if subnormals else _flush_fp16(fp16)
        right = split_fp16(weights.view(np.uint16))
        exponents, magnitudes = exponents + right.exponents, right.significands.astype(np.int64)
        bias, bits, signs = 50, 22, right.signs
    else:
        magnitudes, signs = np.abs(weights.astype(np.int64)), weights < 0
        bias, bits = 25, 11 + weight_bits
    with np.errstate(invalid="ignore"):
        values = _canonical(activations.astype(np.float32) * weights.astype(np.float32))
    significands = left.significands.astype(np.int64) * magnitudes
    return _Products(left.signs ^ signs, exponents, significands, bias, bits, values)


def _flush_fp16(values: NDArray[np.float16]) -> NDArray[np.float16]:
    bits = values.view(np.uint16)
    return np.where(bits & 0x7C00, bits, bits & np.uint16(0x8000)).astype(np.uint16).view(np.float16)


def _add_chained(
    products: NDArray[np.float32], accumulator: NDArray[np.float32], rounding: Rounding, subnormals: bool
) -> NDArray[np.float32]:
    """Add the products ``[..., dot_width]`` in a tree of neighbours, then add the sum to the accumulator."""
    while products.shape[-1] > 1:
        products = add_fp32(products[..., 0::2], products[..., 1::2], rounding, subnormals)
    return add_fp32(products[..., 0], accumulator, rounding, subnormals)


def _add_aligned(
    products: _Products, step: int, accumulator: NDArray[np.float32], rounding: Rounding, subnormals: bool
) -> NDArray[np.float32]:
    """Cut the products of a step and the accumulator to `ALIGNED_BITS`, add them, and round once."""
    start = accumulator if subnormals else flush_subnormals(accumulator)
    values = np.concatenate([products.values[..., step, :], start[..., None]], axis=-1)
    finite = np.isfinite(values)
    bits = start.view(np.uint32).astype(np.int64)
    exponent = np.maximum(bits >> 23 & 255, 1)
    significand = (bits & 0x7FFFFF) | ((bits >> 23 & 255 > 0).astype(np.int64) << 23)
    significands = np.concatenate([products.significands[..., step, :], significand[..., None]], axis=-1)
    places = np.concatenate(
        [products.exponents[..., step, :] - products.bias + products.bits - 1, exponent[..., None] - 127], axis=-1
    )
    widths = np.array([products.bits] * (values.shape[-1] - 1) + [_FP32_BITS])
    taken = finite & (values != 0)
    top = np.where(taken, places, -127).max(axis=-1, keepdims=True)
    distances = np.minimum(top - places, 62)
    cut = np.where(taken, significands << (ALIGNED_BITS - widths) >> np.maximum(distances, 0), 0)
    total = np.where(np.signbit(values), -cut, cut).sum(axis=-1)
    # at most 29 bits, exact in float64
    exact = np.ldexp(total.astype(np.float64), top[..., 0] - ALIGNED_BITS + 1)
    with np.errstate(over="ignore", invalid="ignore"):
        rounded = exact.astype(np.float32) if rounding == "nearest" else _truncate(exact)
        rounded = rounded if subnormals else flush_subnormals(rounded)
        special = np.where(finite, np.float32(0), values).sum(axis=-1)
    return _canonical(np.where(finite.all(axis=-1), rounded, special))


def _sum_exact(products: _Products) -> NDArray[np.float32]:
    """Sum of all products ``[..., steps, dot_width]``, rounded once."""
    finite = np.isfinite(products.values)
    shifted = np.where(finite, products.significands, 0).astype(object) << products.exponents.astype(object)
    totals = np.where(products.signs, -shifted, shifted).sum(axis=(-2, -1))
    rounded = np.vectorize(lambda total: _round_integer(int(total), -products.bias), otypes=[np.float32])(totals)
    with np.errstate(invalid="ignore"):
        special = np.where(finite, np.float32(0), products.values).sum(axis=(-2, -1))
    return _canonical(np.where(finite.all(axis=(-2, -1)), rounded, special))


def _round_integer(value: int, exponent: int) -> np.float32:
    """Round ``value * 2**exponent`` to FP32, to nearest even; the result must be zero or normal."""
    magnitude = abs(value)
    dropped = max(magnitude.bit_length() - 40, 0)
    # 40 bits are exact in float64; the last one is set if any bit below it was
    kept = magnitude >> dropped | (magnitude & ((1 << dropped) - 1) > 0)
    return np.float32(np.copysign(np.ldexp(float(kept), dropped + exponent), -1 if value < 0 else 1))
