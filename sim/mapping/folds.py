"""Cycles and traffic of an array whose elements hold an operand.

A fold fills the elements with a part of that operand, and then all of the other operand that is on chip streams past, one step of the
array after the other. The next step of the mapping fills them again, unless tiles are one fold
and it needs the same one.
"""

from typing import Any

import numpy as np

from .gemm_mapping import GemmMapping
from .mapped_gemm import MappedGemm


def one_fold(mapped: MappedGemm, mapping: GemmMapping) -> Any:
    """True if no tile of the held operand is more than a fold; the tile sizes may be arrays."""
    groups = -(-mapping.in_channels // mapped.architecture.group_size)
    weights = mapped.dataflow.held == "weights"
    fits = mapping.out_channels <= mapped.tile.channels if weights else mapping.tokens <= mapped.tile.tokens
    return fits & (groups <= mapped.tile.groups)


def fills(mapped: MappedGemm, mapping: GemmMapping) -> Any:
    """Number of times that each part of the held operand enters the elements; the tile sizes may be arrays.

    Once if its tiles are one fold and the next step needs the same tile: it stays, or there is no other one. Else once for each tile
    of the other operand.
    """
    one = one_fold(mapped, mapping)
    if mapped.dataflow.held == "weights":
        streamed, only = -(-mapped.tokens // mapping.tokens), mapping.out_channels >= mapped.out_channels
    else:
        streamed, only = -(-mapped.out_channels // mapping.out_channels), mapping.tokens >= mapped.tokens
    if mapping.stays != mapped.dataflow.held:
        one = one & only & (mapping.in_channels >= mapped.in_channels)
    return np.where(one, 1, streamed) if isinstance(one, np.ndarray) else 1 if one else streamed


def array_cycles(mapped: MappedGemm, mapping: GemmMapping) -> Any:
    """Cycles from the first fill to the last step of all folds if no operand is late; the tile sizes may be arrays."""
    return mapped.folds * (fills(mapped, mapping) * mapped.fill_cycles + mapped.fold_steps * mapped.step_cycles)
