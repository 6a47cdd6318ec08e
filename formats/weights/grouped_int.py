"""Integer weights of 2 to 8 bits in groups of input channels, and round to nearest, which makes them."""

from dataclasses import asdict, dataclass
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .base import PackedWeights, Statistic, check_at_least, check_choice, check_weights
from .bit_packing import check_codes, pack_codes, unpack_codes
from .int4 import Int4Weights
from .serialization import Image

CODE_BITS = range(2, 9)
_LEAST_SCALE = np.float16(2.0**-24)


class Grid(NamedTuple):
    """The grid ``scale * (code - zero_point)`` of one group: float16 and integer ``[out]``."""

    scales: NDArray[np.float16]
    zero_points: NDArray[np.uint8]


def fit_grid(group: NDArray[np.float64], bits: int, symmetric: bool) -> Grid:
    """The grid of a group ``[channels, out]`` over its range, which is made to contain zero (GPTQ's released code).

    Affine: ``s = (max - min) / (2^b - 1)``, ``z = round(-min / s)``. Symmetric: ``s = 2 max|w| / (2^b - 1)``,
    ``z = 2^(b - 1)``. A group of zeros takes the range -1..1. The scale is rounded to FP16 first (at least its least
    subnormal), so that codes and zero points belong to the stored scale. Ties go to even.
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
    """Codes of ``w`` ``[..., out]`` on its group's grid: ``clip(round(w / s) + z, 0, 2^b - 1)``."""
    return np.clip(np.rint(w / grid.scales) + grid.zero_points, 0, (1 << bits) - 1).astype(np.uint8)


@dataclass(frozen=True, eq=False)
class IntegerWeights(PackedWeights):
    """A weight matrix of integer codes with a FP16 scale per (group of input channels, output channel).

    Three forms: symmetric, ``scale * (code - 2^(bits - 1))``; with zero points, ``scale * (code - zero_point)``; with
    offsets, ``scale * code + offset``.

    Parameters
    ----------
    codes
        uint8 ``[in, out]``, in 0..2^bits - 1.
    scales
        float16 ``[ceil(in / group_size), out]``, finite.
    bits
        2 to 8.
    group_size
        Input channels that share a scale; the last group may be shorter.
    zero_points
        uint8, shaped like ``scales``, in 0..2^bits - 1; or None.
    offsets
        float16, shaped like ``scales``, finite; or None.

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
        check_choice("bits", self.bits, CODE_BITS)
        check_at_least("group_size", self.group_size, 1)
        if check_codes("codes", self.codes, self.bits).ndim != 2:
            raise InputError(f"codes: have shape {list(self.codes.shape)}; give [in, out]")
        if self.zero_points is not None and self.offsets is not None:
            raise InputError("offsets: cannot be combined with zero_points; give one of the two")
        shape = -(-self.shape[0] // self.group_size), self.shape[1]
        _require("scales", self.scales, np.float16, shape)
        if self.offsets is not None:
            _require("offsets", self.offsets, np.float16, shape)
        if self.zero_points is not None:
            _require("zero_points", self.zero_points, np.uint8, shape)
            check_codes("zero_points", self.zero_points, self.bits)

    @property
    def shape(self) -> tuple[int, int]:
        """``(in, out)``."""
        return self.codes.shape[0], self.codes.shape[1]

    @property
    def bits_per_weight(self) -> float:
        """Code, and the weight's share of the scale (16 bits) and of the zero point (``bits``) or offset (16 bits)."""
        group = 16 + (self.bits if self.zero_points is not None else 0) + (16 if self.offsets is not None else 0)
        return self.bits + group * self.scales.size / self.codes.size

    def integers(self) -> NDArray[np.int16]:
        """The integers that the scales multiply, int16 ``[in, out]``: codes less zero points, or codes with offsets."""
        codes = self.codes.astype(np.int16)
        if self.offsets is not None:
            return codes
        if self.zero_points is None:
            return codes - np.int16(1 << (self.bits - 1))
        return codes - self._per_channel(self.zero_points.astype(np.int16))

    def decode(self) -> NDArray[np.float32]:
        """The weights, float32 ``[in, out]``: the product is exact, adding an offset rounds once."""
        weights = self.integers().astype(np.float32) * self._per_channel(self.scales.astype(np.float32))
        if self.offsets is not None:
            weights += self._per_channel(self.offsets.astype(np.float32))
        return weights

    def with_offsets(self) -> Self:
        """The same codes and scales in the offset form, which the affine path of `fp_int_gemm` takes.

        Each offset is ``-scale * zero_point`` rounded to FP16, so the weights move by up to half its last place.
        """
        if self.offsets is not None:
            return self
        symmetric = np.full(self.scales.shape, 1 << (self.bits - 1))
        zero_points = symmetric if self.zero_points is None else self.zero_points
        offsets = -(self.scales.astype(np.float64) * zero_points)
        if np.abs(offsets).max() >= 65520:
            raise InputError("scales: -scale * zero_point overflows FP16; keep the zero-point form")
        return type(self)(self.codes, self.scales, self.bits, self.group_size, offsets=offsets.astype(np.float16))

    def to_int4(self) -> Int4Weights:
        """The operand of `fp_int_gemm`: symmetric codes as they are, zero points in the offset form.

        Raises
        ------
        InputError
            The codes have more than 4 bits.
        """
        if self.bits > 4:
            raise InputError(f"bits: {self.bits} do not fit the 4-bit GeMM; use weight_gemm")
        if self.zero_points is None and self.offsets is None:
            return Int4Weights(self.integers().astype(np.int8), self.scales, self.group_size)
        affine = self.with_offsets()
        return Int4Weights(self.codes.astype(np.int8), self.scales, self.group_size, affine.offsets)

    @classmethod
    def from_int4(cls, w: Int4Weights) -> Self:
        """The same weights in this class: symmetric, or (GGUF's Q4_1 among them) with offsets."""
        if w.offsets is None:
            return cls((w.codes + 8).astype(np.uint8), w.scales, 4, w.group_size)
        if w.codes.min() < 0:
            raise InputError("codes: are negative and have offsets; give codes in 0..15")
        return cls(w.codes.astype(np.uint8), w.scales, 4, w.group_size, offsets=w.offsets)

    def pack(self) -> Image:
        """Codes as 32-bit words along the input channels, zero points as words along the groups (`pack_codes`)."""
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
    """Round each weight to the nearest point of its group's grid.

    Parameters
    ----------
    bits
        2 to 8.
    group_size
        Input channels that share a scale; the last group may be shorter.
    symmetric
        Codes around a fixed middle; otherwise each group has a zero point.
    """

    name: ClassVar[str] = "rtn"
    source: ClassVar[str] = "Frantar et al., GPTQ (arXiv 2210.17323), baseline"
    statistic: ClassVar[Statistic] = "none"

    bits: int = 4
    group_size: int = 128
    symmetric: bool = False

    def __post_init__(self) -> None:
        check_choice("bits", self.bits, CODE_BITS)
        check_at_least("group_size", self.group_size, 1)

    @property
    def parameters(self) -> dict[str, Any]:
        """The fields, by name."""
        return asdict(self)

    def average_bits(self, in_channels: int = 4096) -> float:
        """Storage of a weight: code, and its share of scale and zero point."""
        return average_bits(self.bits, self.group_size, self.symmetric, in_channels)

    def quantize(self, w: NDArray[np.floating], statistic: NDArray[np.floating] | None = None) -> IntegerWeights:
        """Quantise floating-point ``[in, out]``.

        Raises
        ------
        InputError
            ``w`` is not a finite matrix in the range of FP16, or a statistic is given, which has no use here.
        """
        if statistic is not None:
            raise InputError("statistic: round to nearest uses none; leave it out")
        weights = check_weights(w)
        starts = range(0, weights.shape[0], self.group_size)
        groups = [weights[start : start + self.group_size] for start in starts]
        grids = [fit_grid(group, self.bits, self.symmetric) for group in groups]
        codes = [round_to_grid(group, grid, self.bits) for group, grid in zip(groups, grids, strict=True)]
        return assemble(np.concatenate(codes), grids, self.bits, self.group_size, self.symmetric)


def average_bits(bits: int, group_size: int, symmetric: bool, in_channels: int) -> float:
    """Storage of a weight: the code, and its share of the FP16 scale and, if affine, of the zero point.

    >>> average_bits(4, 128, symmetric=False, in_channels=4096)
    4.15625
    """
    groups = -(-in_channels // group_size)
    return bits + (16 if symmetric else 16 + bits) * groups / in_channels


def assemble(
    codes: NDArray[np.uint8], grids: list[Grid], bits: int, group_size: int, symmetric: bool
) -> IntegerWeights:
    """Weights from codes ``[in, out]`` and the grid of each group."""
    scales = np.stack([grid.scales for grid in grids])
    zero_points = None if symmetric else np.stack([grid.zero_points for grid in grids])
    return IntegerWeights(codes, scales, bits, group_size, zero_points)


def _require(name: str, values: NDArray[Any], dtype: type, shape: tuple[int, int]) -> None:
    if values.dtype != dtype or values.shape != shape:
        expected = f"{np.dtype(dtype)} {list(shape)}"
        raise InputError(f"{name}: is {values.dtype} {list(values.shape)}; the codes and group_size need {expected}")
    if not np.isfinite(values).all():
        index = tuple(int(i) for i in np.argwhere(~np.isfinite(values))[0])
        raise InputError(f"{name}: element {index} is {values[index]}; give finite values")
