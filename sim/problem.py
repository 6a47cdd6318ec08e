"""One GeMM as an architecture sees it: array tiles, cycles of a tile, bits of a token, a channel and a result row."""

from dataclasses import dataclass
from functools import cached_property

from ..formats import InputError, latency
from ..workloads import MODULES, Gemm, Precision
from .architecture import Architecture

CONSUMER = {"o": "u", "u": "d", "d": "qkv"}
"""The module whose input a module's results become, and whose mantissa length they are compressed to.

Residual additions, norms and activation functions lie between and happen in the vector unit, before compression. The
results of ``qkv`` go to the attention and the KV cache, as FP16 or at the precision of the cache.
"""


@dataclass(frozen=True)
class Problem:
    """The product ``[tokens, in_channels] @ [in_channels, out_channels]`` on one architecture."""

    architecture: Architecture
    tokens: int
    in_channels: int
    out_channels: int
    mantissa_bits: int
    """M of the datapath, and of the stored activations where they are Anda."""
    result_mantissa_bits: int | None
    """M to which the results are compressed; None where they stay FP16."""
    groups: int
    """Groups of channels in the reduction; the last one may be short and takes as long as the others."""
    row_tiles: int
    """Tiles of the array along the tokens."""
    column_tiles: int
    """Tiles of the array along the output channels."""
    group_cycles: int
    token_bits: int
    """Stored bits of one token's activations."""
    channel_bits: int
    """Stored bits of one output channel's weights."""
    result_bits: int
    """Stored bits of one token's results."""

    @cached_property
    def tiles(self) -> int:
        """Tiles of the array in all."""
        return self.row_tiles * self.column_tiles

    @cached_property
    def compress_cycles(self) -> int:
        """Cycles in which the compressor emits the groups of one strip of 16 tokens; 0 where results stay FP16."""
        bits = self.result_mantissa_bits
        return 0 if bits is None else latency.bpc_cycles_per_group(bits)

    @cached_property
    def collect_cycles(self) -> int:
        """Cycles between two tiles at the output: one row of results a cycle, and no faster than the compressor."""
        return max(self.architecture.array.rows, self.compress_cycles)

    @cached_property
    def tile_cycles(self) -> int:
        """Cycles from one tile to the next: its groups, or the output where the reduction is very short."""
        return max(self.groups * self.group_cycles, self.collect_cycles)

    @cached_property
    def array_cycles(self) -> int:
        """Cycles in which the array works through all tiles when no operand is ever late."""
        return self.tiles * self.tile_cycles

    @cached_property
    def element_cycles(self) -> int:
        """Cycles in which the elements work at their published power; waiting for weights or memory is not work."""
        per_group = self.architecture.processing_element.element_cycles(self.mantissa_bits)
        return self.tiles * self.groups * per_group

    @cached_property
    def tail_cycles(self) -> int:
        """Cycles from the last plane of the last tile until its results are in the activation buffer."""
        compress = latency.BPC_LATENCY_CYCLES + self.compress_cycles if self.compress_cycles else 0
        return latency.PE_RESULT_CYCLES + self.collect_cycles + compress


def problem(gemm: Gemm, architecture: Architecture, precision: Precision, cache_bits: int | None = None) -> Problem:
    """Lay a GeMM out on an architecture.

    Args:
        gemm: its `repeat` is left out.
        architecture: the machine.
        precision: the mantissa bits that the datapath uses (`Architecture.precision`).
        cache_bits: M to which the results of ``qkv`` are compressed; None where the attention takes them as FP16.

    Raises:
        InputError: the module is not one of the four whose weights are INT4, or a size is not positive.
    """
    if gemm.module not in MODULES:
        raise InputError(f"gemm.module: {gemm.module!r} has no INT4 weights; use {', '.join(MODULES)}")
    for field in ("tokens", "in_channels", "out_channels", "repeat"):
        if getattr(gemm, field) < 1:
            raise InputError(f"gemm.{field}: is {getattr(gemm, field)}; give at least 1")
    array, compressed = architecture.array, architecture.compressor is not None
    mantissa_bits: int = getattr(precision, gemm.module)
    result_bits = None
    if compressed:
        result_bits = cache_bits if gemm.module == "qkv" else int(getattr(precision, CONSUMER[gemm.module]))
    return Problem(
        architecture=architecture,
        tokens=gemm.tokens,
        in_channels=gemm.in_channels,
        out_channels=gemm.out_channels,
        mantissa_bits=mantissa_bits,
        result_mantissa_bits=result_bits,
        groups=-(-gemm.in_channels // architecture.group_size),
        row_tiles=-(-gemm.tokens // array.rows),
        column_tiles=-(-gemm.out_channels // array.columns),
        group_cycles=architecture.array_cycles_per_group(mantissa_bits),
        token_bits=architecture.token_bits(gemm.in_channels, mantissa_bits),
        channel_bits=architecture.weights.channel_bits(gemm.in_channels),
        result_bits=architecture.token_bits(gemm.out_channels, result_bits),
    )
