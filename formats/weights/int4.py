"""INT4 weights with an FP16 scale, and for affine weights an FP16 offset, for each group of input channels."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from ..checks import check_array, check_finite, check_integer
from ..errors import InputError
from ..numeric.fp16 import OVERFLOW_FP16

BITS = 4
SIGNED_RANGE = (-8, 7)
UNSIGNED_RANGE = (0, 15)


@dataclass(frozen=True, eq=False)
class Int4Weights:
    """Weight matrix ``code * scale + offset`` in groups of input channels.

    Parameters
    ----------
    codes
        int8 ``[in, out]``, in -8..7; with offsets also 0..15, as in GGUF's Q4_1.
    scales
        float16 ``[ceil(in / group_size), out]``, finite.
    group_size
        Number of input channels that share a scale; the last group may be shorter.
    offsets
        float16 with the shape of ``scales``, finite; None for symmetric weights.

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
        check_integer("group_size", self.group_size, 1)
        if self.codes.dtype != np.int8 or self.codes.ndim != 2 or 0 in self.codes.shape:
            found = f"{self.codes.dtype} {list(self.codes.shape)}"
            raise InputError(f"codes: is {found}; give int8 [in, out], not empty")
        low, high = int(self.codes.min()), int(self.codes.max())
        ranges = [SIGNED_RANGE] if self.offsets is None else [SIGNED_RANGE, UNSIGNED_RANGE]
        if not any(least <= low and high <= most for least, most in ranges):
            allowed = " or ".join(f"{least}..{most}" for least, most in ranges)
            raise InputError(f"codes: span {low}..{high}; give 4-bit codes in {allowed}")
        shape = -(-self.codes.shape[0] // self.group_size), self.codes.shape[1]
        check_finite("scales", check_array("scales", self.scales, np.float16, shape))
        if self.offsets is not None:
            check_finite("offsets", check_array("offsets", self.offsets, np.float16, shape))

    def corner(self, channels: int, outputs: int) -> Self:
        """Return the first `channels` input and `outputs` output channels."""
        groups = -(-channels // self.group_size)
        offsets = None if self.offsets is None else np.ascontiguousarray(self.offsets[:groups, :outputs])
        return type(self)(
            np.ascontiguousarray(self.codes[:channels, :outputs]),
            np.ascontiguousarray(self.scales[:groups, :outputs]),
            self.group_size,
            offsets,
        )

    @property
    def bits_per_weight(self) -> float:
        """Storage of a weight in bits: code, and share of the FP16 parameters."""
        parameters = self.scales.size * (1 if self.offsets is None else 2)
        return BITS + 16 * parameters / self.codes.size

    @classmethod
    def quantize(cls, w: NDArray[np.floating], group_size: int = 128) -> "Int4Weights":
        """Quantise by symmetric round to nearest: ``scale = max|w| / 7`` in FP16 per group, ``code = round(w / scale)``.

        Ties go to even. Codes are clipped to -8..7, since a scale that is rounded down can give codes above 7. If the
        scale of a group rounds to zero, its codes are 0.

        Raises
        ------
        InputError
            ``w`` is not a finite floating-point matrix ``[in, out]``, or a scale overflows FP16.
        """
        if w.ndim != 2 or w.size == 0 or not np.issubdtype(w.dtype, np.floating):
            raise InputError(f"w: is {w.dtype} {list(w.shape)}; give floating point [in, out], not empty")
        check_finite("w", w)
        check_integer("group_size", group_size, 1)
        starts = np.arange(0, w.shape[0], group_size)
        largest = np.maximum.reduceat(np.abs(w), starts, axis=0).astype(np.float64) / SIGNED_RANGE[1]
        if largest.max() >= OVERFLOW_FP16:
            raise InputError(f"w: a group reaches {largest.max() * 7:g} and its scale overflows FP16; scale w down")
        scales = largest.astype(np.float16)
        divisors = np.repeat(np.where(scales == 0, np.inf, scales.astype(np.float64)), group_size, axis=0)
        codes = np.clip(np.rint(w / divisors[: w.shape[0]]), *SIGNED_RANGE).astype(np.int8)
        return cls(codes, scales, group_size)

    def dequantize(self) -> NDArray[np.float32]:
        """Decode to float32 ``[in, out]``; the product is exact, adding an offset rounds once."""
        channels = self.codes.shape[0]
        weights = self.codes.astype(np.float32)
        weights *= np.repeat(self.scales.astype(np.float32), self.group_size, axis=0)[:channels]
        if self.offsets is not None:
            weights += np.repeat(self.offsets.astype(np.float32), self.group_size, axis=0)[:channels]
        return weights
