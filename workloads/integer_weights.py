"""Static integer tables of a decoder: weights, gains and embedding, quantised once from floats; and all widths."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..formats import InputError
from ..formats.integer import Anchor, DyadicTensor, Engine
from ..formats.integer.arithmetic import Integers

FloatArray = NDArray[np.floating[Any]]

MULTIPLIER_BITS = 16
"""Width of static multipliers: weight scales per output channel, norm gains, reciprocal smoothing factors."""
ROPE_BITS = 14
"""Fraction bits of the rotary tables: int16 entries."""


@dataclass(frozen=True, kw_only=True)
class IntegerConfig:
    """Widths and options of the integer decoder.

    Attributes:
        weight_bits: W of WxAy, all linear layers.
        activation_bits: A of WxAy: inputs of the linear layers, queries, keys and values.
        gate_bits: inputs of SwiGLU.
        sigmoid_bits: the sigmoid inside SwiGLU.
        probability_bits: softmax output.
        residual_bits: residual stream, signed.
        head_bits: weights of the language-model head and their input, whatever WxAy is.
        guard_bits: of DI-Exp; None takes `exp_guard_bits`, 0 is the paper's algorithm.
        anchor: of every requantisation; ``minimum`` is the paper's.
        engine: of the matrix products; both give the same integers.
    """

    weight_bits: int = 8
    activation_bits: int = 8
    gate_bits: int = 8
    sigmoid_bits: int = 16
    probability_bits: int = 16
    residual_bits: int = 16
    head_bits: int = 8
    guard_bits: int | None = None
    anchor: Anchor = "zero"
    engine: Engine = "blas"

    def __post_init__(self) -> None:
        for name in ("weight_bits", "activation_bits", "gate_bits", "head_bits"):
            _require(name, getattr(self, name), 2, 8)
        for name in ("sigmoid_bits", "probability_bits"):
            _require(name, getattr(self, name), 2, 16)
        _require("residual_bits", self.residual_bits, 8, 32)


def _require(name: str, bits: int, lowest: int, highest: int) -> None:
    if not lowest <= bits <= highest:
        raise InputError(f"{name} is {bits}; choose {lowest} to {highest}")


def quantize_weights(w: FloatArray, bits: int) -> DyadicTensor:
    """Round `w` ``[in, out]`` to nearest unsigned codes, asymmetric, a dyadic scale per output channel ``[1, out]``.

    The channels share one exponent, so that their multipliers (the largest has 16 bits) can be applied to a row of
    accumulators. The range of a channel is not forced to contain 0. A channel of zeros comes back as zeros.
    """
    low, top = w.min(axis=0).astype(np.float64), (1 << bits) - 1
    step = (w.max(axis=0) - low) / top
    step = np.where(step > 0, step, np.maximum(np.abs(low), np.finfo(np.float32).tiny))
    k = MULTIPLIER_BITS - 1 - int(np.floor(np.log2(step.max())))
    m = np.ceil(np.ldexp(step, k)).astype(np.int64)
    grid = np.ldexp(m.astype(np.float64), -k)
    zero_point = np.rint(-low / grid).astype(np.int64)
    codes = np.clip(np.rint(w / grid) + zero_point, 0, top).astype(np.uint8)
    return DyadicTensor(codes, m[None], np.asarray(k), zero_point[None])


def quantize_factors(x: FloatArray) -> tuple[Integers, int]:
    """Factors per channel as signed 16-bit integers at one exponent: ``(m, k)`` with ``m / 2**k`` nearest `x`."""
    largest = float(np.abs(x).max())
    if not 0 < largest < np.inf:
        raise InputError(f"factors: the largest magnitude is {largest}; pass finite values that are not all zero")
    _, exponent = np.frexp(largest)
    k = MULTIPLIER_BITS - 1 - int(exponent)
    limit = (1 << (MULTIPLIER_BITS - 1)) - 1
    return np.minimum(np.rint(np.ldexp(x.astype(np.float64), k)), limit).astype(np.int64), k


def quantize_rows(x: FloatArray, bits: int) -> DyadicTensor:
    """Rows as signed `bits`-bit integers with a power-of-two scale each: the embedding ``[vocabulary, hidden]``."""
    _, exponent = np.frexp(np.abs(x).max(axis=1, keepdims=True))
    k = bits - 1 - exponent.astype(np.int64)
    limit = (1 << (bits - 1)) - 1
    codes = np.clip(np.rint(np.ldexp(x.astype(np.float64), k)), -limit, limit)
    return DyadicTensor.power_of_two(codes.astype(np.int16 if bits <= 16 else np.int32), k)


def rope_table(tokens: int, head_dim: int, theta: float) -> tuple[Integers, Integers]:
    """Cosines and sines of the rotary embedding with 14 fraction bits, int16 ``[tokens, 1, head_dim / 2]``."""
    angles = np.arange(tokens)[:, None, None] * theta ** (-np.arange(0, head_dim, 2) / head_dim)
    cosine, sine = (np.rint(np.ldexp(f(angles), ROPE_BITS)).astype(np.int16) for f in (np.cos, np.sin))
    return cosine, sine  # pyright: ignore[reportReturnType]
