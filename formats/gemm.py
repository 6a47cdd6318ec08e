"""The FP-INT GeMM: Anda activations times INT4 weights, bit-exact to the processing element.

Arithmetic of each output (Anda, arXiv 2411.15982, section IV; where the paper is silent, this project's choice):
for each segment of ``min(group_size, weight group)`` channels, in increasing channel order,

1. the integer dot product of mantissas and codes,
2. converted to FP16, round to nearest even, saturating at +-65504 (``partial="fp32"``: to FP32 instead),
3. times the FP16 scale, in FP32 (exact for FP16 partial sums),
4. added to the FP32 accumulator, round to nearest even;
5. with offsets, the sum of the mantissas takes the same way: converted, times the FP16 offset, added.

The accumulator is converted to FP16 at the end, round to nearest even, saturating.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from .anda import AndaTensor
from .errors import InputError
from .fp16 import round_to_fp16
from .int4 import Int4Weights

Partial = Literal["fp16", "fp32"]


@dataclass
class GemmFlags:
    """Sticky flags of the GeMM's conversions to FP16; a GeMM sets them and never clears them."""

    partial_saturated: bool = False
    """A segment's integer sum overflowed FP16."""
    result_saturated: bool = False
    """An output overflowed FP16."""


class Segment(NamedTuple):
    """Channels whose products are summed as integers: in one activation group and in one weight group."""

    channels: slice
    activation_group: int
    weight_group: int


def segments(a: AndaTensor, w: Int4Weights) -> Iterator[Segment]:
    """The segments of a GeMM in the order of accumulation."""
    channels = a.shape[-1]
    step = min(a.format.group_size, w.group_size)
    for start in range(0, channels, step):
        stop = min(start + step, channels)
        yield Segment(slice(start, stop), start // a.format.group_size, start // w.group_size)


def check_operands(a: AndaTensor, w: Int4Weights, partial: str) -> None:
    """Raise `InputError` unless the operands of a GeMM fit together."""
    if partial not in get_args(Partial):
        raise InputError(f"partial: {partial!r} is not valid; choose one of {', '.join(get_args(Partial))}")
    if a.shape[-1] != w.codes.shape[0]:
        raise InputError(f"w: has {w.codes.shape[0]} input channels, a has {a.shape[-1]}; give operands that match")
    large, small = max(a.format.group_size, w.group_size), min(a.format.group_size, w.group_size)
    if large % small:
        raise InputError(
            f"w: weight group {w.group_size} and activation group {a.format.group_size} do not nest; "
            "choose sizes of which one is a multiple of the other"
        )


def fp_int_gemm(
    a: AndaTensor, w: Int4Weights, partial: Partial = "fp16", flags: GemmFlags | None = None
) -> NDArray[np.float16]:
    """Multiply activations ``[..., in]`` by weights ``[in, out]``: float16 ``[..., out]``, bit-exact to the circuit.

    Parameters
    ----------
    a, w
        The operands.
    partial
        What a segment's integer sum is converted to before it is scaled.
    flags
        Where overflows are recorded.

    Raises
    ------
    InputError
        The operands do not fit together.
    """
    check_operands(a, w, partial)
    flags = GemmFlags() if flags is None else flags
    tokens, groups = math.prod(a.shape[:-1]), a.exponents.shape[-1]
    integers = a.signed_integers().reshape(tokens, groups * a.format.group_size).astype(np.float64)
    units = a.unit_exponents().reshape(tokens, groups)
    codes = w.codes.astype(np.float64)
    accumulator = np.zeros((tokens, w.codes.shape[1]), np.float32)
    for segment in segments(a, w):
        unit = units[:, segment.activation_group, None]
        own = integers[:, segment.channels]
        sums = own @ codes[segment.channels]
        accumulator += _partial(sums, unit, partial, flags) * w.scales[segment.weight_group].astype(np.float32)
        if w.offsets is not None:
            sums = own.sum(axis=1, keepdims=True)
            accumulator += _partial(sums, unit, partial, flags) * w.offsets[segment.weight_group].astype(np.float32)
    result, saturated = round_to_fp16(accumulator)
    flags.result_saturated |= saturated
    return result.reshape(*a.shape[:-1], w.codes.shape[1])


def _partial(
    sums: NDArray[np.float64], unit: NDArray[np.int32], partial: Partial, flags: GemmFlags
) -> NDArray[np.float32]:
    """Integer sums in their unit, rounded to the partial sum's type."""
    values = np.ldexp(sums, unit)
    if partial == "fp32":
        return values.astype(np.float32)
    rounded, saturated = round_to_fp16(values)
    flags.partial_saturated |= saturated
    return rounded.astype(np.float32)
