"""Operands and flags of an FP-INT GeMM."""

from dataclasses import dataclass
from typing import get_args

from ..anda.format import AndaTensor
from ..checks import check_choice
from ..errors import InputError
from ..options import Partial
from ..weights.int4 import Int4Weights


@dataclass
class GemmFlags:
    """Sticky overflow flags; a GeMM sets them and never clears them."""

    partial_saturated: bool = False
    """The integer sum of a segment overflowed FP16."""
    result_saturated: bool = False
    """An output overflowed FP16."""


def check_operands(a: AndaTensor, w: Int4Weights, partial: str) -> None:
    """Raise `InputError` unless the operands of a GeMM fit each other."""
    check_choice("partial", partial, get_args(Partial))
    if a.shape[-1] != w.codes.shape[0]:
        raise InputError(f"w: has {w.codes.shape[0]} input channels, a has {a.shape[-1]}; give the same number")
    check_groups(a.format.group_size, w.group_size)


def check_groups(activation_group: int, weight_group: int) -> None:
    """Raise `InputError` unless one group size is a multiple of the other."""
    if max(activation_group, weight_group) % min(activation_group, weight_group):
        raise InputError(
            f"w: weight group {weight_group} and activation group {activation_group} do not nest; "
            "choose sizes of which one is a multiple of the other"
        )


def segment_length(a: AndaTensor, w: Int4Weights) -> int:
    """Channels of a segment, which share an activation group and a weight group and are summed as integers."""
    return min(a.format.group_size, w.group_size)
