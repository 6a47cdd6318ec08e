"""Integer weights of 2 to 8 bits in groups of input channels, and the round-to-nearest quantiser."""

from dataclasses import asdict, dataclass
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from ..checks import check_array, check_finite, check_integer
from ..errors import InputError
from ..numeric.fp16 import OVERFLOW_FP16
from .base import PackedWeights, Statistic, check_weights
from .bit_packing import check_codes, pack_codes, unpack_codes
from .int4 import Int4Weights
from .serialization import Image

_LEAST_SCALE = np.float16(2.0**-24)


def check_code_bits(bits: int) -> int:
    """Return ``bits`` if it is a width of codes, 2 to 8."""
    return check_integer("bits", bits, 2, 8)


class Grid(NamedTuple):
    """Grid ``scale * (code - zero_point)`` of one group: float16 and integer ``[out]``."""

    scales: NDArray[np.float16]
    zero_points: NDArray[np.uint8]


def fit_grid(group: NDArray[np.float64], bits: int, symmetric: bool) -> Grid:
    """Fit the grid of a group ``[channels, out]`` to its range, extended to contain zero (GPTQ's released code).

    Affine: ``s = (max - min) / (2^b - 1)``, ``z = round(-min / s)``. Symmetric: ``s = 2 max|w| / (2^b - 1)``,
    ``z = 2^(b - 1)``. A group of zeros has the range -1..1. The scale is first rounded to FP16, at least to the smallest
    subnormal number, so codes and zero points fit the stored scale. Ties go to even.
    """
    low, high = np.minimum(group.min(axis=0), 0), np.maximum(group.max(axis=0), 0)
    if symmetric:
        high = np.maximum(-low, high)
        low = -high
    zeros = low == high
    low, high = np.where(zeros, -1, low), np.where(zeros, 1, high)
    levels = (1 << bits) - 1
    scales = np.maximum(((high - low) / levels).astype(np.float16), _LEAST_SCALE)
    exact = np.full(scales.shape, 1 << (bits - 1)) if symmetric else np.rint(-low / scales)
    return Grid(scales, np.clip(exact, 0, levels).astype(np.uint8))


def round_to_grid(w: NDArray[np.float64], grid: Grid, bits: int) -> NDArray[np.uint8]:
    """Codes of ``w`` ``[..., out]`` on the grid of its group: ``clip(round(w / s) + z, 0, 2^b - 1)``."""
    return np.clip(np.rint(w / grid.scales) + grid.zero_points, 0, (1 << bits) - 1).astype(np.uint8)


@dataclass(frozen=True, eq=False)
class IntegerWeights(PackedWeights):
    """Weight matrix of integer codes with an FP16 scale for each group of input channels and output channel.

    A weight is ``scale * (code - 2^(bits - 1))`` (symmetric), ``scale * (code - zero_point)`` with zero points, or
    ``scale * code + offset`` with offsets.

    Parameters
    ----------
    codes
        uint8 ``[in, out]``, in 0..2^bits - 1.
    scales
        float16 ``[ceil(in / group_size), out]``, finite.
    bits
        2 to 8.
    group_size
        Number of input channels that share a scale; the last group may be shorter.
    zero_points
        uint8 with the shape of ``scales``, in 0..2^bits - 1; or None.
    offsets
        float16 with the shape of ``scales``, finite; or None.

    Raises
    ------
    InputError
        A dtype, shape or value does not fit, or both zero points and offsets are given.
    """

    name: ClassVar[str] = "integer"
    source: ClassVar[str] = "Frantar et al., GPTQ (arXiv 2210.17323) and its released code"

    codes: NDArray[np.uint8]
    scales: NDArray[np.float16]
    bits: int = 4
    group_size: int = 128
    zero_points: NDArray[np.uint8] | None = None
    offsets: NDArray[np.float16] | None = None

    def __post_init__(self) -> None:
        check_code_bits(self.bits)
        check_integer("group_size", self.group_size, 1)
        if check_codes("codes", self.codes, self.bits).ndim != 2:
            raise InputError(f"codes: have shape {list(self.codes.shape)}; give [in, out]")
        if self.zero_points is not None and self.offsets is not None:
            raise InputError("offsets: cannot be combined with zero_points; give one of the two")
        shape = -(-self.shape[0] // self.group_size), self.shape[1]
        check_finite("scales", check_array("scales", self.scales, np.float16, shape))
        if self.offsets is not None:
            check_finite("offsets", check_array("offsets", self.offsets, np.float16, shape))
        if self.zero_points is not None:
            check_array("zero_points", self.zero_points, np.uint8, shape)
            check_codes("zero_points", self.zero_points, self.bits)

    @property
    def shape(self) -> tuple[int, int]:
        """Shape ``(in, out)``."""
        return self.codes.shape[0], self.codes.shape[1]

    @property
    def bits_per_weight(self) -> float:
        """Code, and shares of the scale (16 bits) and of the zero point (``bits``) or offset (16 bits)."""
        group = 16 + (self.bits if self.zero_points is not None else 0) + (16 if self.offsets is not None else 0)
        return self.bits + group * self.scales.size / self.codes.size

    def integers(self) -> NDArray[np.int16]:
        """Integers that are multiplied by the scales, int16 ``[in, out]``: codes minus zero points, or codes if offsets exist."""
        codes = self.codes.astype(np.int16)
        if self.offsets is not None:
            return codes
        if self.zero_points is None:
            return codes - np.int16(1 << (self.bits - 1))
        return codes - self._per_channel(self.zero_points.astype(np.int16))

    def decode(self) -> NDArray[np.float32]:
        """Decode to float32 ``[in, out]``; the product is exact, adding an offset rounds once."""
        weights = self.integers().astype(np.float32) * self._per_channel(self.scales.astype(np.float32))
        if self.offsets is not None:
            weights += self._per_channel(self.offsets.astype(np.float32))
        return weights

    def with_offsets(self) -> Self:
        """Same codes and scales with offsets, for the affine path of `fp_int_gemm`.

        An offset is ``-scale * zero_point`` rounded to FP16, so weights change by up to half an ulp of the offset.
        """
        if self.offsets is not None:
            return self
        symmetric = np.full(self.scales.shape, 1 << (self.bits - 1))
        zero_points = symmetric if self.zero_points is None else self.zero_points
        offsets = -(self.scales.astype(np.float64) * zero_points)
        if np.abs(offsets).max() >= OVERFLOW_FP16:
            raise InputError("scales: -scale * zero_point overflows FP16; keep the zero points")
        return type(self)(self.codes, self.scales, self.bits, self.group_size, offsets=offsets.astype(np.float16))

    def to_int4(self) -> Int4Weights:
        """Operand for `fp_int_gemm`: symmetric codes unchanged, zero points as offsets.

        Raises
        ------
        InputError
            The codes have more than 4 bits.
        """
        if self.bits > 4:
            raise InputError(f"bits: {self.bits} are too many for the 4-bit GeMM; use weight_gemm")
        if self.zero_points is None and self.offsets is None:
            return Int4Weights(self.integers().astype(np.int8), self.scales, self.group_size)
        affine = self.with_offsets()
        return Int4Weights(self.codes.astype(np.int8), self.scales, self.group_size, affine.offsets)

    @classmethod
    def from_int4(cls, w: Int4Weights) -> Self:
        """Convert `Int4Weights`, symmetric or with offsets (for instance GGUF's Q4_1)."""
        if w.offsets is None:
            return cls((w.codes + 8).astype(np.uint8), w.scales, 4, w.group_size)
        if w.codes.min() < 0:
            raise InputError("codes: are negative; with offsets, give codes in 0..15")
        return cls(w.codes.astype(np.uint8), w.scales, 4, w.group_size, offsets=w.offsets)

    def pack(self) -> Image:
        """Pack codes into 32-bit words along the input channels, and zero points along the output channels (`pack_codes`)."""
        arrays: dict[str, NDArray[Any]] = {"codes": pack_codes(self.codes, self.bits), "scales": self.scales}
        if self.zero_points is not None:
            arrays["zero_points"] = pack_codes(self.zero_points.T, self.bits)
        if self.offsets is not None:
            arrays["offsets"] = self.offsets
        return Image({"channels": self.shape[0], "bits": self.bits, "group_size": self.group_size}, arrays)

    @classmethod
    def unpack(cls, image: Image) -> Self:
        """Inverse of `pack`."""
        parameters, arrays = image
        bits, scales = parameters["bits"], arrays["scales"]
        codes = unpack_codes(arrays["codes"], bits, parameters["channels"]).astype(np.uint8)
        zero_points = None
        if "zero_points" in arrays:
            zero_points = unpack_codes(arrays["zero_points"], bits, scales.shape[1]).astype(np.uint8).T
        return cls(codes, scales, bits, parameters["group_size"], zero_points, arrays.get("offsets"))

    def _per_channel(self, values: NDArray[Any]) -> NDArray[Any]:
        return np.repeat(values, self.group_size, axis=0)[: self.shape[0]]


@dataclass(frozen=True)
class RoundToNearest:
    """Round-to-nearest quantiser.

    Parameters
    ----------
    bits
        2 to 8.
    group_size
        Number of input channels that share a scale; the last group may be shorter.
    symmetric
        True centres the codes at zero; False gives each group a zero point.
    """

    name: ClassVar[str] = "rtn"
    source: ClassVar[str] = "Frantar et al., GPTQ (arXiv 2210.17323), baseline"
    statistic: ClassVar[Statistic] = "none"

    bits: int = 4
    group_size: int = 128
    symmetric: bool = False

    def __post_init__(self) -> None:
        check_code_bits(self.bits)
        check_integer("group_size", self.group_size, 1)

    @property
    def parameters(self) -> dict[str, Any]:
        """Parameters by name, as `weight_quantizer` takes them."""
        return asdict(self)

    def average_bits(self, in_channels: int = 4096) -> float:
        """Storage of a weight in bits: code, and shares of scale and zero point."""
        return average_bits(self.bits, self.group_size, self.symmetric, in_channels)

    def quantize(self, w: NDArray[np.floating], statistic: NDArray[np.floating] | None = None) -> IntegerWeights:
        """Quantise a floating-point matrix ``[in, out]``.

        Raises
        ------
        InputError
            ``w`` is not a finite matrix in the range of FP16, or a statistic is given.
        """
        if statistic is not None:
            raise InputError("statistic: is not used by round to nearest; leave it out")
        weights = check_weights(w)
        starts = range(0, weights.shape[0], self.group_size)
        groups = [weights[start : start + self.group_size] for start in starts]
        grids = [fit_grid(group, self.bits, self.symmetric) for group in groups]
        codes = [round_to_grid(group, grid, self.bits) for group, grid in zip(groups, grids, strict=True)]
        return assemble(np.concatenate(codes), grids, self.bits, self.group_size, self.symmetric)


def average_bits(bits: int, group_size: int, symmetric: bool, in_channels: int) -> float:
    """Storage of a weight in bits: code, and shares of the FP16 scale and, if affine, of the zero point.

    >>> average_bits(4, 128, symmetric=False, in_channels=4096)
    4.15625
    """
    groups = -(-in_channels // group_size)
    return bits + (16 if symmetric else 16 + bits) * groups / in_channels


def assemble(
    codes: NDArray[np.uint8], grids: list[Grid], bits: int, group_size: int, symmetric: bool
) -> IntegerWeights:
    """Build weights from codes ``[in, out]`` and the grid of each group."""
    scales = np.stack([grid.scales for grid in grids])
    zero_points = None if symmetric else np.stack([grid.zero_points for grid in grids])
    return IntegerWeights(codes, scales, bits, group_size, zero_points)
