"""Group statistics of SpQR: quantised scales and zero points.

Source: Dettmers et al., SpQR (arXiv 2306.03078), section 4 and algorithm 1. "Zero points" are real numbers here: a grid
is ``scale * (code - zero)``, and its range need not contain zero.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

PLAIN_BITS = 16
"""Width of statistics that are plain FP16 numbers, without a second level."""

_CONSTANT_RANGE = 2.0**-11
"""Resolution of FP16: values with a smaller range, relative to the largest magnitude, count as equal."""


class Affine(NamedTuple):
    """Scales and zero points of grids ``scale * (code - zero)``."""

    scale: NDArray[np.float64]
    zero: NDArray[np.float64]


def fit_affine(values: NDArray[np.float64], bits: int, axis: int) -> Affine:
    """Fit grids to the range of values along an axis, which is kept: ``s = (max - min) / (2^b - 1)``, ``z = -min / s``.

    Values that are equal within the resolution of FP16 become the point of code 0: ``s = |v|``, ``z = -sign(v)``. (The
    released code takes the range -1..1 if max equals min, which loses the value.)
    """
    low, high = values.min(axis=axis, keepdims=True), values.max(axis=axis, keepdims=True)
    constant = high - low <= _CONSTANT_RANGE * np.maximum(np.abs(low), np.abs(high))
    middle = (low + high) / 2
    scale = np.where(constant, np.abs(middle), (high - low) / ((1 << bits) - 1))
    zero = np.divide(-low, scale, out=np.zeros_like(scale), where=~constant)
    return Affine(scale, np.where(constant, -np.sign(middle), zero))


def encode_affine(
    values: NDArray[np.floating], scale: NDArray[np.floating], zero: NDArray[np.floating], bits: int
) -> NDArray[np.uint8]:
    """Codes ``clip(round(v / s + z), 0, 2^b - 1)``, ties to even; 0 where the scale is 0."""
    wide = scale.astype(np.float64)
    ratio = np.divide(values, wide, out=np.zeros(np.broadcast_shapes(values.shape, wide.shape)), where=wide != 0)
    codes = np.where(wide != 0, np.rint(ratio + zero), 0)
    return np.clip(codes, 0, (1 << bits) - 1).astype(np.uint8)


def decode_affine(
    codes: NDArray[np.uint8], scale: NDArray[np.float16], zero: NDArray[np.float16]
) -> NDArray[np.float16]:
    """``s * (code - z)`` in FP16 arithmetic as in the released kernel: the difference rounds, then the product."""
    difference = np.subtract(codes.astype(np.float16), zero, dtype=np.float16)
    return np.multiply(scale, difference, dtype=np.float16)


@dataclass(frozen=True, eq=False)
class Statistics:
    """One statistic of a matrix: all scales, or all zero points.

    Attributes
    ----------
    codes
        uint8 ``[groups, out]``; None for statistics of 16 bits.
    scales, zeros
        Second level, float16 ``[groups, out / statistics_group]``. For statistics of 16 bits, ``scales`` holds the
        values ``[groups, out]``, and ``zeros`` is None.
    """

    codes: NDArray[np.uint8] | None
    scales: NDArray[np.float16]
    zeros: NDArray[np.float16] | None

    def decode(self) -> NDArray[np.float16]:
        """Decode to float16 ``[groups, out]``."""
        if self.codes is None or self.zeros is None:
            return self.scales
        span = self.codes.shape[1] // self.scales.shape[1]
        return decode_affine(self.codes, np.repeat(self.scales, span, axis=1), np.repeat(self.zeros, span, axis=1))

    @property
    def fields(self) -> NDArray[np.unsignedinteger]:
        """Stored field of each group and output channel, ``[groups, out]``: codes, or the bits of FP16 numbers."""
        return self.scales.view(np.uint16) if self.codes is None else self.codes

    @property
    def levels(self) -> list[NDArray[np.float16]]:
        """Second level, scales and zeros, each ``[groups, out / statistics_group]``; empty if there is none."""
        return [] if self.zeros is None else [self.scales, self.zeros]

    @classmethod
    def from_fields(cls, fields: NDArray[np.uint16], levels: Sequence[NDArray[np.float16]]) -> Self:
        """Build a statistic from `fields` and `levels`."""
        if not levels:
            return cls(None, fields.view(np.float16), None)
        return cls(fields.astype(np.uint8), *levels)


def quantize_statistic(values: NDArray[np.float64], bits: int, span: int) -> Statistics:
    """Quantise statistics ``[groups, out]`` over ``span`` neighbouring output channels."""
    if bits == PLAIN_BITS:
        return Statistics(None, values.astype(np.float16), None)
    groups, out = values.shape
    blocks = values.reshape(groups, out // span, span)
    fitted = fit_affine(blocks, bits, axis=2)
    scales, zeros = fitted.scale.astype(np.float16), fitted.zero.astype(np.float16)
    codes = encode_affine(blocks, scales, zeros, bits).reshape(groups, out)
    return Statistics(codes, scales[..., 0], zeros[..., 0])


def join_statistics(parts: list[Statistics]) -> Statistics:
    """Join the statistics of consecutive groups."""
    codes = [part.codes for part in parts if part.codes is not None]
    zeros = [part.zeros for part in parts if part.zeros is not None]
    return Statistics(
        np.concatenate(codes) if codes else None,
        np.concatenate([part.scales for part in parts]),
        np.concatenate(zeros) if zeros else None,
    )
