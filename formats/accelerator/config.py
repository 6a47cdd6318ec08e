"""The size of an accelerator: what its circuit is built from, its memory image laid out for, and its cycles counted with."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from ..anda.format import EXPONENT_BITS, AndaFormat
from ..anda.plane_mask import MASK_BITS
from ..errors import InputError
from ..latency.array import WEIGHT_LOAD_CYCLES
from ..weights.int4 import BITS as CODE_BITS
from .instructions import ADDRESS_BITS, Buffer


@dataclass(frozen=True)
class AcceleratorConfig:
    """An accelerator: its array, the rows of its buffers, and its memory port.

    Parameters
    ----------
    rows, columns
        The array: tokens times output channels of a tile.
    lanes
        Channels of a group, and of a row of results; a multiple of `columns`.
    affine
        Whether weights may have offsets.
    max_mantissa_bits
        The largest M.
    memory_bits
        Width of the memory port, a multiple of 8; a row of memory holds as many rows of a buffer as fit.
    plane_depth, exponent_depth, weight_depth, factor_depth, result_depth
        Rows of the buffers, 2 to 16,384.
    instruction_depth
        Instructions of a program, 2 to 16,384.
    vector_unit
        Whether there is one; it has as many lanes, a power of two.
    midpoint, nearest, skipping
        Options beyond the paper, see `format`: midpoint reconstruction in the array, rounding to nearest in the
        compressor, zero-plane skipping.

    Raises
    ------
    InputError
        `columns` does not divide `lanes`, or a row of memory does not hold a row of a buffer.
    """

    rows: int = 16
    columns: int = 16
    lanes: int = 64
    affine: bool = False
    max_mantissa_bits: int = 16
    memory_bits: int = 1024
    plane_depth: int = 8192
    exponent_depth: int = 8192
    weight_depth: int = 8192
    factor_depth: int = 8192
    result_depth: int = 2048
    instruction_depth: int = 4096
    vector_unit: bool = True
    midpoint: bool = False
    nearest: bool = False
    skipping: bool = False

    def __post_init__(self) -> None:
        for name in ("rows", "columns", "lanes", "max_mantissa_bits", "memory_bits"):
            if getattr(self, name) < 1:
                raise InputError(f"{name}: {getattr(self, name)} is not valid; choose a positive integer")
        if self.lanes % self.columns:
            raise InputError(f"columns: {self.columns} does not divide {self.lanes} lanes; choose a divisor")
        if self.lanes * self.columns % WEIGHT_LOAD_CYCLES:
            raise InputError(
                f"lanes: {self.lanes} x {self.columns} weights do not make four rows; choose a multiple of 4"
            )
        widest = max(self.row_bits, key=lambda buffer: self.row_bits[buffer])
        if self.memory_bits < self.row_bits[widest] or self.memory_bits % 8:
            raise InputError(
                f"memory_bits: is {self.memory_bits}, a row of {widest.name.lower()} has {self.row_bits[widest]}; "
                "choose a multiple of 8 that holds it"
            )
        for name in (*_DEPTHS.values(), "instruction_depth"):
            if not 2 <= getattr(self, name) <= 1 << ADDRESS_BITS:
                raise InputError(f"{name}: {getattr(self, name)} is not valid; choose 2 to {1 << ADDRESS_BITS}")

    @cached_property
    def row_bits(self) -> Mapping[Buffer, int]:
        """Bits of a row of each buffer."""
        return {
            Buffer.PLANES: self.rows * self.lanes,
            Buffer.EXPONENTS: self.rows * EXPONENT_BITS + MASK_BITS * self.skipping,
            Buffer.WEIGHTS: self.lanes * self.columns * CODE_BITS // WEIGHT_LOAD_CYCLES,
            Buffer.FACTORS: self.columns * 16 * (1 + self.affine),
            Buffer.RESULTS: self.lanes * 16,
        }

    def format(self, mantissa_bits: int) -> AndaFormat:
        """What the compressor writes and the array reads, in groups of `lanes`."""
        return AndaFormat(
            mantissa_bits,
            self.lanes,
            rounding="nearest" if self.nearest else "truncate",
            reconstruct="midpoint" if self.midpoint else "truncate",
            mask_rows=self.rows if self.skipping else 0,
        )

    def depth(self, buffer: Buffer) -> int:
        """Rows of a buffer."""
        return int(getattr(self, _DEPTHS[buffer]))

    def packed(self, buffer: Buffer) -> int:
        """Rows of a buffer that share a row of memory."""
        return self.memory_bits // self.row_bits[buffer]

    def memory_rows(self, buffer: Buffer, rows: int) -> int:
        """Rows of memory that `rows` rows of a buffer take."""
        return -(-rows // self.packed(buffer))

    @property
    def tiles(self) -> int:
        """Tiles of the array whose columns make a group of results."""
        return self.lanes // self.columns


_DEPTHS = {
    Buffer.PLANES: "plane_depth",
    Buffer.EXPONENTS: "exponent_depth",
    Buffer.WEIGHTS: "weight_depth",
    Buffer.FACTORS: "factor_depth",
    Buffer.RESULTS: "result_depth",
}
