"""GeMM of Anda activations and packed weights, bit-exact to a stated order of operations.

**Integer codes** (symmetric, with zero points, or with offsets) use the arithmetic of `fp_int_gemm`, for codes of any
width; zero points are subtracted from the codes first.

**Dense and sparse weights** (SqueezeLLM, SpQR). No public source defines their product with grouped activations; this is
this project's choice. For each activation group, in increasing channel order, the exact sum of mantissa times FP16 dense
weight is rounded once to FP32 and added to an FP32 accumulator. Then, for each sparse entry in increasing channel
order, the FP32 product of activation and value is added. The sum over a group is exact, so its order does not matter.

In both cases every addition to the accumulator rounds to nearest even. At the end the accumulator is rounded to FP16, to
nearest even, saturating.
"""

import numpy as np
from numpy.typing import NDArray

from ..anda.format import AndaTensor
from ..errors import InputError
from ..numeric.fp16 import round_to_fp16
from ..weights.base import PackedWeights
from ..weights.dense_sparse import DenseSparseWeights, SparseWeights
from ..weights.grouped_int import IntegerWeights
from ..weights.int4 import Int4Weights
from .fp_int import fp_int_gemm
from .operands import GemmFlags, check_groups

_FP16_UNIT = 24
"""Every FP16 number is an integer times ``2^-24``."""


def weight_gemm(a: AndaTensor, w: Int4Weights | PackedWeights, flags: GemmFlags | None = None) -> NDArray[np.float16]:
    """Multiply activations ``[..., in]`` by packed weights ``[in, out]``: float16 ``[..., out]``.

    Parameters
    ----------
    a, w
        Activations ``[..., in]`` and weights ``[in, out]``.
    flags
        Set where a value overflows FP16.

    Raises
    ------
    InputError
        The operands do not fit each other, or the format has no GeMM.
    """
    flags = GemmFlags() if flags is None else flags
    if isinstance(w, Int4Weights):
        return fp_int_gemm(a, w, flags=flags)
    if a.shape[-1] != w.shape[0]:
        raise InputError(f"w: has {w.shape[0]} input channels, a has {a.shape[-1]}; give the same number")
    if isinstance(w, IntegerWeights):
        if w.bits <= 4 and w.zero_points is None:
            return fp_int_gemm(a, w.to_int4(), flags=flags)
        accumulator = _integer_products(a, w, flags)
    elif isinstance(w, DenseSparseWeights):
        accumulator = _dense_products(a, w.dense())
        _add_sparse_products(accumulator, a, w.sparse)
    else:
        raise InputError(f"w: the format {w.name!r} has no GeMM; multiply its decoded weights")
    result, saturated = round_to_fp16(accumulator)
    flags.result_saturated |= saturated
    return result.reshape(*a.shape[:-1], w.shape[1])


def _integer_products(a: AndaTensor, w: IntegerWeights, flags: GemmFlags) -> NDArray[np.float32]:
    """Accumulators ``[tokens, out]`` by the arithmetic of `fp_int_gemm`, for codes of any width."""
    group, channels = a.format.group_size, w.shape[0]
    check_groups(group, w.group_size)
    small = min(group, w.group_size)
    integers, units = _operands(a)
    codes = w.integers().astype(np.float64)
    accumulator = np.zeros((len(integers), w.shape[1]), np.float32)
    for start in range(0, channels, small):
        own, unit = integers[:, start : start + small], units[:, start // group, None]
        sums = own @ codes[start : start + small]
        accumulator += _partial(sums, unit, flags) * w.scales[start // w.group_size].astype(np.float32)
        if w.offsets is not None:
            sums = own.sum(axis=1, keepdims=True)
            accumulator += _partial(sums, unit, flags) * w.offsets[start // w.group_size].astype(np.float32)
    return accumulator


def _partial(sums: NDArray[np.float64], unit: NDArray[np.int32], flags: GemmFlags) -> NDArray[np.float32]:
    """Integer sums times ``2^unit``, rounded to FP16."""
    rounded, saturated = round_to_fp16(np.ldexp(sums, unit))
    flags.partial_saturated |= saturated
    return rounded.astype(np.float32)


def _dense_products(a: AndaTensor, dense: NDArray[np.float16]) -> NDArray[np.float32]:
    """Accumulators ``[tokens, out]`` after the dense part."""
    integers, units = _operands(a)
    group = a.format.group_size
    # float64 sums are exact up to 53 bits: for every M these are dense weights up to 64 in groups of 64.
    largest = int(np.abs(integers).max(initial=1)) * int(np.ldexp(np.abs(dense).max().astype(np.float64), _FP16_UNIT))
    if group * largest >= 1 << 63:
        raise InputError("w: dense weights are too large for the exact sums; scale the weights down")
    scaled = np.ldexp(dense.astype(np.float64), _FP16_UNIT)
    if group * largest >= 1 << 53:
        integers, scaled = integers.astype(np.int64), scaled.astype(np.int64)
    accumulator = np.zeros((len(integers), dense.shape[1]), np.float32)
    for index in range(units.shape[1]):
        own = slice(index * group, (index + 1) * group)
        sums = (integers[:, own] @ scaled[own]).astype(np.float32)
        accumulator += np.ldexp(sums, units[:, index, None] - _FP16_UNIT)
    return accumulator


def _add_sparse_products(accumulator: NDArray[np.float32], a: AndaTensor, sparse: SparseWeights) -> None:
    """Add the sparse part to the accumulators ``[tokens, out]``, one entry of every output channel at a time."""
    integers, units = _operands(a)
    activations = np.ldexp(integers, np.repeat(units, a.format.group_size, axis=1)[:, : a.shape[-1]]).astype(np.float32)
    starts = sparse.row_offsets[:-1].astype(np.int64)
    counts = np.diff(sparse.row_offsets.astype(np.int64))
    values = sparse.values.astype(np.float32)
    for k in range(int(counts.max(initial=0))):
        rows = np.flatnonzero(counts > k)
        entries = starts[rows] + k
        accumulator[:, rows] += activations[:, sparse.columns[entries]] * values[entries]


def _operands(a: AndaTensor) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    """Signed integers ``[tokens, in]`` and the exponents of their units ``[tokens, groups]``."""
    units = a.unit_exponents().reshape(-1, a.exponents.shape[-1])
    padded = a.signed_integers().reshape(len(units), units.shape[1] * a.format.group_size)
    return padded[:, : a.shape[-1]].astype(np.float64), units
