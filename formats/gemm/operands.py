"""The operands, options and flags of an FP-INT GeMM."""

from dataclasses import dataclass
from typing import get_args

from ..anda.format import AndaTensor
from ..checks import check_choice
from ..errors import InputError
from ..options import Partial
from ..weights.int4 import Int4Weights


@dataclass
class GemmFlags:
    """Sticky flags of the GeMM's conversions to FP16; a GeMM sets them and never clears them."""

    partial_saturated: bool = False
    """A segment's integer sum overflowed FP16."""
    result_saturated: bool = False
    """An output overflowed FP16."""


def check_operands(a: AndaTensor, w: Int4Weights, partial: str) -> None:
    """Raise `InputError` unless the operands of a GeMM fit together."""
    check_choice("partial", partial, get_args(Partial))
    if a.shape[-1] != w.codes.shape[0]:
        raise InputError(f"w: has {w.codes.shape[0]} input channels, a has {a.shape[-1]}; give operands that match")
    large, small = max(a.format.group_size, w.group_size), min(a.format.group_size, w.group_size)
    if large % small:
        raise InputError(
            f"w: weight group {w.group_size} and activation group {a.format.group_size} do not nest; "
            "choose sizes of which one is a multiple of the other"
        )


def segment_length(a: AndaTensor, w: Int4Weights) -> int:
    """Channels whose products are summed as integers: they share an activation group and a weight group."""
    return min(a.format.group_size, w.group_size)
