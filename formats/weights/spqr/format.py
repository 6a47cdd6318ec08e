"""SpQR: codes of 3 or 4 bits in small groups, quantised group statistics, and a few outliers of 16 bits.

Source: Dettmers et al., SpQR (arXiv 2306.03078), and its released code where the paper does not say.
"""

from dataclasses import asdict, dataclass
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from ...checks import check_choice, check_integer
from ...errors import InputError
from ..bit_packing import check_codes
from ..dense_sparse import DenseSparseWeights, SparseWeights
from ..serialization import Image
from .layout import (
    KERNEL_BITS,
    TILE,
    Ptcsr,
    from_ptcsr,
    pack_blocks,
    pack_outliers,
    pack_words,
    to_ptcsr,
    unpack_blocks,
    unpack_outliers,
    unpack_words,
)
from .statistics import PLAIN_BITS, Statistics, decode_affine

__all__ = [
    "KernelImage",
    "Ptcsr",
    "SpQRParameters",
    "SpQRWeights",
    "average_bits",
    "from_ptcsr",
    "pack_outliers",
    "pack_words",
    "to_kernel",
    "to_ptcsr",
    "unpack_outliers",
    "unpack_words",
]

STATISTICS_BITS = (2, 3, 4, 5, PLAIN_BITS)
MAX_CHANNELS = 1 << 16
"""Limit of the 16-bit columns of outliers and of the permutation."""


def average_bits(
    bits: int, statistics_bits: int, group_size: int, statistics_group: int, outlier_fraction: float = 0.0
) -> float:
    """Storage of a weight in bits: ``b + (b_s + b_z) / beta1 + 64 / (beta1 beta2) + 32 r`` with ``b_s = b_z`` (paper).

    Statistics of 16 bits have no second level, so the third term is 0.

    >>> average_bits(3, 3, 16, 16), average_bits(4, 3, 16, 16), average_bits(3, 3, 8, 64)
    (3.625, 4.625, 3.875)
    """
    second_order = 0 if statistics_bits == PLAIN_BITS else 64 / (group_size * statistics_group)
    return bits + 2 * statistics_bits / group_size + second_order + 32 * outlier_fraction


@dataclass(frozen=True)
class SpQRParameters:
    """Parameters of the format.

    Parameters
    ----------
    bits
        Width of a code, 2 to 4.
    group_size
        Number of input channels that share a scale and a zero point, at least 2 (beta1 in the paper).
    statistics_bits
        Width of the codes of scales and zero points: 2 to 5, or 16 for FP16 numbers without a second level.
    statistics_group
        Number of neighbouring output channels that share a second level (beta2 in the paper).
    """

    bits: int = 3
    group_size: int = 16
    statistics_bits: int = 3
    statistics_group: int = 16

    def __post_init__(self) -> None:
        check_integer("bits", self.bits, 2, 4)
        check_integer("group_size", self.group_size, 2)
        check_choice("statistics_bits", self.statistics_bits, STATISTICS_BITS)
        check_integer("statistics_group", self.statistics_group, 1)

    def check_shape(self, shape: tuple[int, int]) -> None:
        """Raise `InputError` unless ``(in, out)`` divides into blocks of ``group_size x statistics_group``."""
        channels, out = shape
        if channels % self.group_size or channels > MAX_CHANNELS:
            raise InputError(
                f"w: has {channels} input channels; give a multiple of the group size {self.group_size}, "
                f"at most {MAX_CHANNELS}"
            )
        if out % self.statistics_group:
            raise InputError(
                f"w: has {out} output channels; give a multiple of the statistics group {self.statistics_group}"
            )


@dataclass(frozen=True, eq=False)
class SpQRWeights(DenseSparseWeights):
    """Weight matrix of codes on grids ``scale * (code - zero)`` with quantised scales and zeros, and outliers.

    Parameters
    ----------
    codes
        uint8 ``[in, out]``, with channels in storage order.
    scales, zeros
        Statistics of each group of stored channels and each output channel.
    outliers
        Sparse float16 values that are added to the dense part; columns are uint16 in natural order.
    parameters
        Parameters of the format.
    permutation
        uint16 ``[in]``: stored channel i is channel ``permutation[i]``; None for the natural order.

    Raises
    ------
    InputError
        A shape, code or permutation does not fit.
    """

    name: ClassVar[str] = "spqr"
    source: ClassVar[str] = "Dettmers et al., SpQR (arXiv 2306.03078), section 4, and its released code"

    codes: NDArray[np.uint8]
    scales: Statistics
    zeros: Statistics
    outliers: SparseWeights
    parameters: SpQRParameters
    permutation: NDArray[np.uint16] | None = None

    def __post_init__(self) -> None:
        self.parameters.check_shape(self.shape)
        if check_codes("codes", self.codes, self.parameters.bits).shape != self.shape:
            raise InputError(
                f"codes: have shape {list(self.codes.shape)}; give the shape of the outliers, {list(self.shape)}"
            )
        expected = (self.shape[0] // self.parameters.group_size, self.shape[1])
        for name, statistics in (("scales", self.scales), ("zeros", self.zeros)):
            with np.errstate(over="ignore", invalid="ignore"):
                decoded = statistics.decode()
            if decoded.shape != expected or not np.isfinite(decoded).all():
                raise InputError(f"{name}: are {list(decoded.shape)}; give finite values {list(expected)}")
        order = self.permutation
        if order is not None and not np.array_equal(np.sort(order), np.arange(self.shape[0])):
            raise InputError(f"permutation: is not an order of {self.shape[0]} channels; give each channel once")

    @property
    def sparse(self) -> SparseWeights:
        """Outliers."""
        return self.outliers

    @property
    def bits_per_weight(self) -> float:
        """Formula of the paper (`average_bits`), without row offsets (32 / in) and a permutation (16 / out)."""
        p = self.parameters
        return average_bits(p.bits, p.statistics_bits, p.group_size, p.statistics_group, self.sparse_fraction)

    def dense(self) -> NDArray[np.float16]:
        """Grid points ``s * (code - z)`` in FP16 arithmetic, float16 ``[in, out]`` in natural order."""
        span = self.parameters.group_size
        scales, zeros = (np.repeat(part.decode(), span, axis=0) for part in (self.scales, self.zeros))
        stored = decode_affine(self.codes, scales, zeros)
        if self.permutation is None:
            return stored
        natural = np.empty_like(stored)
        natural[self.permutation] = stored
        return natural

    def pack(self) -> Image:
        """Pack the blocks of the paper, the outliers as CSR, and the permutation if there is one."""
        p = self.parameters
        codes = self._blocks(self.codes, p.group_size)
        pairs = np.stack([self._blocks(part.fields, 1)[..., 0] for part in (self.scales, self.zeros)], axis=-1)
        levels = [level.T.ravel() for level in self.scales.levels + self.zeros.levels]
        numbers = np.array(levels, np.float16).reshape(-1, len(codes)).T
        blocks = pack_blocks(codes, p.bits, pairs, p.statistics_bits, np.ascontiguousarray(numbers))
        arrays: dict[str, NDArray[Any]] = {"blocks": blocks}
        if self.outliers.entries:
            arrays |= {"row_offsets": self.outliers.row_offsets, "columns": self.outliers.columns}
            arrays["values"] = self.outliers.values
        if self.permutation is not None:
            arrays["permutation"] = self.permutation
        return Image({"shape": list(self.shape)} | asdict(p), arrays)

    @property
    def _tiles(self) -> tuple[int, int]:
        """Number of blocks along the input and the output channels."""
        return self.shape[0] // self.parameters.group_size, self.shape[1] // self.parameters.statistics_group

    def _blocks(self, values: NDArray[Any], inputs: int) -> NDArray[Any]:
        """Cut ``[in, out]`` into ``[blocks, outputs, inputs]``, with output tiles outermost."""
        span = self.parameters.statistics_group
        tiles = values.reshape(self._tiles[0], inputs, self._tiles[1], span)
        return tiles.transpose(2, 0, 3, 1).reshape(-1, span, inputs)

    @classmethod
    def unpack(cls, image: Image) -> Self:
        """Inverse of `pack`."""
        fields, arrays = dict(image.parameters), image.arrays
        channels, out = fields.pop("shape")
        p = SpQRParameters(**fields)
        tiles = out // p.statistics_group, channels // p.group_size
        count = 0 if p.statistics_bits == PLAIN_BITS else 4
        codes, pairs, numbers = unpack_blocks(
            arrays["blocks"], p.statistics_group, p.group_size, p.bits, p.statistics_bits, count
        )
        levels = [numbers[:, k].reshape(tiles).T for k in range(count)]

        def merge(blocks: NDArray[Any]) -> NDArray[Any]:
            """Join ``[blocks, outputs, inputs]`` to ``[in, out]``."""
            ordered = blocks.reshape(*tiles, *blocks.shape[1:]).transpose(1, 3, 0, 2)
            return ordered.reshape(tiles[1] * blocks.shape[2], out)

        scales = Statistics.from_fields(merge(pairs[..., 0, None]), levels[:2])
        zeros = Statistics.from_fields(merge(pairs[..., 1, None]), levels[2:])
        if "row_offsets" in arrays:
            outliers = SparseWeights((channels, out), arrays["row_offsets"], arrays["columns"], arrays["values"])
        else:
            outliers = SparseWeights.empty((channels, out), np.uint16, np.float16)
        return cls(merge(codes), scales, zeros, outliers, p, arrays.get("permutation"))


class KernelImage(NamedTuple):
    """Operands of the released GPU kernel, with input channels in storage order."""

    words: NDArray[np.uint64]
    """Words of `pack_words`."""
    row_offsets: NDArray[np.uint32]
    """Row offsets ``[out + 1]``."""
    outliers: NDArray[np.uint32]
    """Words of `pack_outliers`."""
    permutation: NDArray[np.uint16] | None
    """Order in which the kernel gathers the activations."""


def to_kernel(w: SpQRWeights) -> KernelImage:
    """Convert weights of 3 bits with 3-bit statistics in 16 x 16 tiles to the operands of the GPU kernel.

    Raises
    ------
    InputError
        The parameters are others, or there are more than 32768 input channels.
    """
    if w.parameters != SpQRParameters(KERNEL_BITS, TILE, KERNEL_BITS, TILE):
        raise InputError(
            "parameters: do not fit the kernel; quantise with 3 bits and 3-bit statistics in 16 x 16 tiles"
        )
    if w.scales.codes is None or w.zeros.codes is None or w.scales.zeros is None or w.zeros.zeros is None:
        raise InputError("scales: have no second level; quantise with 3-bit statistics")
    words = pack_words(
        w.codes.T,
        w.scales.codes.T,
        w.zeros.codes.T,
        scale_of_scale=w.scales.scales.T,
        zero_of_scale=w.scales.zeros.T,
        scale_of_zero=w.zeros.scales.T,
        zero_of_zero=w.zeros.zeros.T,
    )
    rows, columns = w.outliers.rows(), w.outliers.columns
    if w.permutation is not None:
        columns = np.argsort(w.permutation)[columns]
    order = np.lexsort((columns, rows))
    return KernelImage(
        words, w.outliers.row_offsets, pack_outliers(columns[order], w.outliers.values[order]), w.permutation
    )
