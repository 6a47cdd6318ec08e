"""Weights of 4 bits with a FP16 scale, and for affine weights a FP16 offset, per group of input channels."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError

BITS = 4
SIGNED_RANGE = (-8, 7)
UNSIGNED_RANGE = (0, 15)


@dataclass(frozen=True, eq=False)
class Int4Weights:
    """A weight matrix ``code * scale + offset`` in groups of input channels.

    Parameters
    ----------
    codes
        int8 ``[in, out]``, in -8..7; with offsets also 0..15 (GGUF's Q4_1 as shipped: codes 0..15, group 32).
    scales
        float16 ``[ceil(in / group_size), out]``, finite.
    group_size
        Input channels that share a scale; the last group may be shorter (576 channels: four of 128, one of 64).
    offsets
        float16, shaped like ``scales``, finite; None for symmetric weights.

    Raises
    ------
    InputError
        A dtype, shape or value does not fit.
    """

    codes: NDArray[np.int8]
    scales: NDArray[np.float16]
    group_size: int = 128
    offsets: NDArray[np.float16] | None = None

    def __post_init__(self) -> None:
        _require_group_size(self.group_size)
        if self.codes.dtype != np.int8 or self.codes.ndim != 2 or 0 in self.codes.shape:
            found = f"{self.codes.dtype} {list(self.codes.shape)}"
            raise InputError(f"codes: is {found}; give int8 [in, out], not empty")
        low, high = int(self.codes.min()), int(self.codes.max())
        ranges = [SIGNED_RANGE] if self.offsets is None else [SIGNED_RANGE, UNSIGNED_RANGE]
        if not any(least <= low and high <= most for least, most in ranges):
            allowed = " or ".join(f"{least}..{most}" for least, most in ranges)
            raise InputError(f"codes: span {low}..{high}; 4-bit codes lie in {allowed}")
        _require_parameters("scales", self.scales, self._parameter_shape)
        if self.offsets is not None:
            _require_parameters("offsets", self.offsets, self._parameter_shape)

    @property
    def _parameter_shape(self) -> tuple[int, int]:
        channels, out = self.codes.shape
        return -(-channels // self.group_size), out

    @property
    def bits_per_weight(self) -> float:
        """Storage of one weight: its code and its share of the FP16 parameters."""
        parameters = self.scales.size * (1 if self.offsets is None else 2)
        return BITS + 16 * parameters / self.codes.size

    @classmethod
    def quantize(cls, w: NDArray[np.floating], group_size: int = 128) -> "Int4Weights":
        """Round to nearest, symmetric: per group ``scale = max|w| / 7`` in FP16, ``code = round(w / scale)``.

        Ties go to even; codes are clipped to -8..7 (a scale that FP16 rounded down can reach past 7). A group of
        zeros, or of values so small that FP16 rounds its scale to zero, has scale 0 and codes 0.

        Raises
        ------
        InputError
            ``w`` is not a finite floating-point ``[in, out]``, or a scale would overflow FP16.
        """
        if w.ndim != 2 or w.size == 0 or not np.issubdtype(w.dtype, np.floating):
            raise InputError(f"w: is {w.dtype} {list(w.shape)}; give floating point [in, out], not empty")
        if not np.isfinite(w).all():
            index = tuple(int(i) for i in np.argwhere(~np.isfinite(w))[0])
            raise InputError(f"w: element {index} is {w[index]}; weights must be finite")
        _require_group_size(group_size)
        starts = np.arange(0, w.shape[0], group_size)
        largest = np.maximum.reduceat(np.abs(w), starts, axis=0).astype(np.float64) / SIGNED_RANGE[1]
        if largest.max() >= 65520:
            raise InputError(f"w: a group reaches {largest.max() * 7:g} and its scale overflows FP16; scale w down")
        scales = largest.astype(np.float16)
        divisors = np.repeat(np.where(scales == 0, np.inf, scales.astype(np.float64)), group_size, axis=0)
        codes = np.clip(np.rint(w / divisors[: w.shape[0]]), *SIGNED_RANGE).astype(np.int8)
        return cls(codes, scales, group_size)

    def dequantize(self) -> NDArray[np.float32]:
        """The weights as float32 ``[in, out]``: the product is exact, adding an offset rounds once."""
        channels = self.codes.shape[0]
        weights = self.codes.astype(np.float32)
        weights *= np.repeat(self.scales.astype(np.float32), self.group_size, axis=0)[:channels]
        if self.offsets is not None:
            weights += np.repeat(self.offsets.astype(np.float32), self.group_size, axis=0)[:channels]
        return weights


def _require_group_size(group_size: int) -> None:
    if isinstance(group_size, bool | float) or group_size < 1:
        raise InputError(f"group_size: {group_size!r} is not valid; choose a positive integer")


def _require_parameters(name: str, values: NDArray[np.float16], shape: tuple[int, int]) -> None:
    if values.dtype != np.float16 or values.shape != shape:
        found = f"{values.dtype} {list(values.shape)}"
        raise InputError(f"{name}: is {found}; the codes and group_size need float16 {list(shape)}")
    if not np.isfinite(values).all():
        index = tuple(int(i) for i in np.argwhere(~np.isfinite(values))[0])
        raise InputError(f"{name}: element {index} is {values[index]}; give finite values")
