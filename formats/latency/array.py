"""Cycles of the matrix unit, the compressor, the buffers and the controller (Anda, arXiv 2411.15982, section IV)."""

from .elements import SIGN_LOAD_CYCLES, pe_cycles_per_group

WEIGHT_LOAD_CYCLES = 4
"""Cycles to stream one group of weights for 16 columns: 16 x 64 x 4 bit over a 1024-bit buffer port."""

MIDPOINT_CYCLES = 1
"""Cycles by which midpoint reconstruction delays a group's dot product; the rate stays the same."""

FETCH_CYCLES = 2
"""Cycles from a program's start until its first instruction can be issued: address, instruction memory."""

MEMORY_OUTSTANDING_ROWS = 64
"""Outstanding requests that the memory of the accelerator's test bench allows."""

BUFFER_READ_CYCLES = 1
"""Cycles from the request for a row of an on-chip buffer until the row can be taken."""

BPC_LATENCY_CYCLES = 1
"""Cycles from a group of FP16 values that a compressor lane takes until its sign plane and exponent are valid."""

_UNIT_PIPELINE_CYCLES = 5  # dot product, conversion, product, accumulation, conversion to FP16
_AFFINE_CYCLES = 1  # the product with the offset is accumulated after the product with the scale


def array_cycles_per_group(mantissa_bits: int, weight_load_cycles: int = WEIGHT_LOAD_CYCLES) -> int:
    """Cycles of the array for one group when the weights stream from the buffer: ``max(M + 1, 4)``."""
    return max(pe_cycles_per_group(mantissa_bits), weight_load_cycles)


def unit_pipeline_cycles(affine: bool = False, midpoint: bool = False) -> int:
    """Cycles from a tile's last mantissa plane until its first outputs are valid."""
    return _UNIT_PIPELINE_CYCLES + _AFFINE_CYCLES * affine + MIDPOINT_CYCLES * midpoint


def drain_cycles(columns: int, affine: bool = False, midpoint: bool = False) -> int:
    """Cycles from a tile's last mantissa plane until its last column of outputs has left, one column per cycle."""
    return unit_pipeline_cycles(affine, midpoint) + columns


def array_cycles(tiles: int, reduction_cycles: int, drain_cycles: int) -> int:
    """Cycles from the first sign plane of ``tiles`` tiles to their last mantissa plane, if no operand is late.

    A tile is computed while the outputs of the tile before leave; only its last plane waits until they have left. This
    matters if the reduction is shorter than the pipeline and the columns together.
    """
    return reduction_cycles + (tiles - 1) * max(reduction_cycles, drain_cycles)


def start_cycles(weight_load_cycles: int = WEIGHT_LOAD_CYCLES) -> int:
    """Cycles from a command until the last row of the first group's weights is in the dispatcher.

    The first row takes three cycles: address, buffer, dispatcher.
    """
    return 1 + weight_load_cycles


def preload_cycles(rows: int, load_cycles: int) -> int:
    """Cycles to fill the elements with an operand that they hold, one row of the array after the other."""
    return rows * load_cycles


def fold_cycles(steps: int, step_cycles: int, rows: int, preload_cycles: int) -> int:
    """Cycles of an array whose elements hold an operand, from the first row that is filled to the last row's last step.

    Sums move down a column, one row a cycle, so each row is a cycle behind the row above.
    """
    return preload_cycles + steps * step_cycles + rows - 1


def bpc_cycles_per_group(mantissa_bits: int) -> int:
    """Cycles of one compressor lane for one group: the sign plane, then one cycle per mantissa plane."""
    return SIGN_LOAD_CYCLES + mantissa_bits


def bpc_cycles_per_block(mantissa_bits: int, rows: int) -> int:
    """Cycles of the compressor for one group of each of ``rows`` tokens, which enter one per cycle."""
    return max(rows, bpc_cycles_per_group(mantissa_bits))


def bpc_cycles(blocks: int, mantissa_bits: int, rows: int) -> int:
    """Cycles of the compressor from the first group taken to the last row sent, of ``blocks`` times ``rows`` groups."""
    first_row = rows - 1 + BPC_LATENCY_CYCLES
    return (blocks - 1) * bpc_cycles_per_block(mantissa_bits, rows) + first_row + bpc_cycles_per_group(mantissa_bits)


def compress_cycles(blocks: int, mantissa_bits: int, rows: int) -> int:
    """Cycles from issuing a compress instruction to its last row of planes."""
    return BUFFER_READ_CYCLES + bpc_cycles(blocks, mantissa_bits, rows)


def store_cycles(rows: int) -> int:
    """Cycles from issuing a store of ``rows`` rows of a buffer to its last row of memory: request, read, write."""
    return 1 + BUFFER_READ_CYCLES + rows
