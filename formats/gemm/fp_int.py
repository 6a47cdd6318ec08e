"""FP-INT GeMM: Anda activations times INT4 weights, bit-exact to the processing element.

Arithmetic of each output (Anda, arXiv 2411.15982, section IV; this project's choice where the paper does not say): for
each segment of ``min(group_size, weight group)`` channels, in increasing channel order,

1. compute the integer dot product of mantissas and codes;
2. round it to FP16, to nearest even, saturating at +-65504 (``partial="fp32"``: to FP32 instead);
3. multiply by the FP16 scale in FP32 (exact for FP16 partial sums);
4. add to the FP32 accumulator, rounding to nearest even;
5. with offsets, do steps 2 to 4 with the sum of the mantissas and the FP16 offset.

At the end the accumulator is rounded to FP16, to nearest even, saturating.
"""

import numpy as np
from numpy.typing import NDArray

from ..anda.format import AndaTensor
from ..kernels.dispatch import use_compiled
from ..numeric.fp16 import round_to_fp16
from ..options import Partial
from ..weights.int4 import Int4Weights
from .operands import GemmFlags, check_operands, segment_length

_NUMPY_TOKENS = 64
"""Tokens that the NumPy code processes at a time; this bounds its temporary arrays."""


def fp_int_gemm(
    a: AndaTensor, w: Int4Weights, partial: Partial = "fp16", flags: GemmFlags | None = None
) -> NDArray[np.float16]:
    """Multiply activations ``[..., in]`` by weights ``[in, out]``: float16 ``[..., out]``, bit-exact to the circuit.

    Parameters
    ----------
    a, w
        Activations ``[..., in]`` and weights ``[in, out]``.
    partial
        Type to which a segment's integer sum is rounded before it is scaled.
    flags
        Set where a value overflows FP16.

    Raises
    ------
    InputError
        The operands do not fit each other.
    """
    check_operands(a, w, partial)
    flags = GemmFlags() if flags is None else flags
    rows = a.as_matrix()
    if use_compiled(rows.shape[0] * w.codes.size):
        from .parallel import gemm_compiled as gemm
    else:
        gemm = gemm_numpy
    return gemm(rows, w, partial, flags).reshape(*a.shape[:-1], w.codes.shape[1])


def gemm_numpy(a: AndaTensor, w: Int4Weights, partial: Partial, flags: GemmFlags) -> NDArray[np.float16]:
    """`fp_int_gemm` of a matrix ``[tokens, in]`` in plain NumPy; float64 holds every integer sum exactly."""
    tokens, channels = a.shape
    result = np.empty((tokens, w.codes.shape[1]), np.float16)
    for start in range(0, tokens, _NUMPY_TOKENS):
        block = a.take(slice(start, start + _NUMPY_TOKENS))
        accumulator = np.zeros((block.shape[0], w.codes.shape[1]), np.float32)
        accumulate(accumulator, block, w, range(channels), partial, flags)
        result[start : start + _NUMPY_TOKENS], saturated = round_to_fp16(accumulator)
        flags.result_saturated |= saturated
    return result


def accumulate(
    accumulator: NDArray[np.float32], a: AndaTensor, w: Int4Weights, channels: range, partial: Partial, flags: GemmFlags
) -> None:
    """Add the products of some input channels to the FP32 accumulators ``[tokens, out]``, in place.

    The channels begin and end with a segment. So a reduction can be done in parts, each with the accumulators that the part
    before left, and gives the same bits.
    """
    integers = a.signed_integers().reshape(a.shape[0], -1).astype(np.float64)
    units = a.unit_exponents()
    step = segment_length(a, w)
    for first in range(channels.start, channels.stop, step):
        own = integers[:, first : min(first + step, channels.stop)]
        unit = units[:, first // a.format.group_size, None]
        sums = own @ w.codes[first : first + own.shape[1]].astype(np.float64)
        accumulator += _convert(sums, unit, partial, flags) * w.scales[first // w.group_size].astype(np.float32)
        if w.offsets is not None:
            sums = own.sum(axis=1, keepdims=True)
            offsets = w.offsets[first // w.group_size].astype(np.float32)
            accumulator += _convert(sums, unit, partial, flags) * offsets


def _convert(
    sums: NDArray[np.float64], unit: NDArray[np.int32], partial: Partial, flags: GemmFlags
) -> NDArray[np.float32]:
    """Integer sums times ``2^unit``, rounded to the type of partial sums."""
    values = np.ldexp(sums, unit)
    if partial == "fp32":
        return values.astype(np.float32)
    rounded, saturated = round_to_fp16(values)
    flags.partial_saturated |= saturated
    return rounded.astype(np.float32)
