"""Size of an accelerator, for its circuit, its memory image and its cycle model."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

from ..anda.format import EXPONENT_BITS, AndaFormat
from ..anda.plane_mask import MASK_BITS
from ..checks import check_choice, check_flags, check_integer
from ..errors import InputError
from ..latency.array import WEIGHT_LOAD_CYCLES
from ..weights.int4 import BITS as CODE_BITS
from .instructions import ADDRESS_BITS, Buffer

Signs = Literal["own", "row"]
"""Place of the signs of activations in the array."""


@dataclass(frozen=True)
class AcceleratorConfig:
    """Size and options of an accelerator.

    Parameters
    ----------
    rows, columns
        Size of the array: tokens and output channels of a tile.
    lanes
        Channels of a group and of a row of results; a multiple of `columns`.
    affine
        Accept weights with offsets.
    max_mantissa_bits
        Largest M.
    memory_bits
        Width of the memory port in bits, a multiple of 8. A row of memory holds as many rows of a buffer as fit.
    plane_depth, exponent_depth, weight_depth, factor_depth, result_depth
        Number of rows of the buffers, 2 to 16,384.
    instruction_depth
        Largest number of instructions of a program, 2 to 16,384.
    vector_unit
        Build the vector unit, with `lanes` lanes; these must then be a power of two.
    midpoint, nearest, skipping
        Options beyond the paper: midpoint reconstruction in the array, rounding to nearest in the compressor, and
        zero-plane skipping.
    signs
        Place of the signs: ``"own"``, in each unit of the array, or ``"row"``, once for all units of a row.
    units
        Units of a row that share conversion, multiplier, adder and rounder in turn, 1 to 4; a divisor of `columns`. No
        cycle changes, because a group takes at least four.

    Raises
    ------
    InputError
        A size is out of range, `columns` does not divide `lanes`, or a row of memory is too narrow for a buffer row.
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
    signs: Signs = "own"
    units: int = 1

    def __post_init__(self) -> None:
        check_flags(self)
        for name in ("rows", "columns", "lanes", "max_mantissa_bits", "memory_bits"):
            check_integer(name, getattr(self, name), 1)
        check_choice("signs", self.signs, get_args(Signs))
        check_integer("units", self.units, 1, WEIGHT_LOAD_CYCLES)
        if self.lanes % self.columns:
            raise InputError(f"columns: {self.columns} does not divide {self.lanes} lanes; choose a divisor")
        if self.lanes * self.columns % WEIGHT_LOAD_CYCLES:
            raise InputError(
                f"lanes: {self.lanes} x {self.columns} weights are not four equal rows; choose a multiple of 4"
            )
        widest = max(self.row_bits, key=lambda buffer: self.row_bits[buffer])
        if self.memory_bits < self.row_bits[widest] or self.memory_bits % 8:
            raise InputError(
                f"memory_bits: is {self.memory_bits}, a row of {widest.name.lower()} has {self.row_bits[widest]}; "
                "choose a multiple of 8 that holds it"
            )
        for name in (*_DEPTHS.values(), "instruction_depth"):
            check_integer(name, getattr(self, name), 2, 1 << ADDRESS_BITS)

    @cached_property
    def row_bits(self) -> Mapping[Buffer, int]:
        """Width of a row of each buffer, in bits."""
        return {
            Buffer.PLANES: self.rows * self.lanes,
            Buffer.EXPONENTS: self.rows * EXPONENT_BITS + MASK_BITS * self.skipping,
            Buffer.WEIGHTS: self.lanes * self.columns * CODE_BITS // WEIGHT_LOAD_CYCLES,
            Buffer.FACTORS: self.columns * 16 * (1 + self.affine),
            Buffer.RESULTS: self.lanes * 16,
        }

    def format(self, mantissa_bits: int) -> AndaFormat:
        """Format that the compressor writes and the array reads, in groups of `lanes`."""
        return AndaFormat(
            mantissa_bits,
            self.lanes,
            rounding="nearest" if self.nearest else "truncate",
            reconstruct="midpoint" if self.midpoint else "truncate",
            mask_rows=self.rows if self.skipping else 0,
        )

    def depth(self, buffer: Buffer) -> int:
        """Number of rows of a buffer."""
        return int(getattr(self, _DEPTHS[buffer]))

    def packed(self, buffer: Buffer) -> int:
        """Number of buffer rows in one row of memory."""
        return self.memory_bits // self.row_bits[buffer]

    def memory_rows(self, buffer: Buffer, rows: int) -> int:
        """Rows of memory for `rows` rows of a buffer."""
        return -(-rows // self.packed(buffer))

    @property
    def tiles(self) -> int:
        """Number of tiles of the array in a group of `lanes` results."""
        return self.lanes // self.columns


_DEPTHS = {
    Buffer.PLANES: "plane_depth",
    Buffer.EXPONENTS: "exponent_depth",
    Buffer.WEIGHTS: "weight_depth",
    Buffer.FACTORS: "factor_depth",
    Buffer.RESULTS: "result_depth",
}
