"""GeMM of decoded activations of any format with INT4 weights: sums of groups rounded as by a processing element.

For an Anda tensor the result is that of `fp_int_gemm`, bit for bit.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..numeric.fp16 import round_to_fp16
from ..options import Partial
from ..weights.int4 import Int4Weights
from .operands import check_groups


def decoded_gemm(values: NDArray[Any], w: Int4Weights, group_size: int, partial: Partial) -> NDArray[np.float16]:
    """Multiply decoded activations ``[tokens, in]`` by weights ``[in, out]``: float16 ``[tokens, out]``.

    The sum of each segment of ``min(group_size, weight group)`` channels is exact if products and sums have 53 bits. It is
    rounded to `partial`, multiplied by the FP16 scale and added in FP32.
    """
    check_groups(group_size, w.group_size)
    step, wide = min(group_size, w.group_size), values.astype(np.float64)
    accumulator = np.zeros((len(wide), w.codes.shape[1]), np.float32)
    for first in range(0, wide.shape[1], step):
        own, group = wide[:, first : first + step], first // w.group_size
        sums = own @ w.codes[first : first + step].astype(np.float64)
        accumulator += _rounded(sums, partial) * w.scales[group].astype(np.float32)
        if w.offsets is not None:
            accumulator += _rounded(own.sum(axis=1, keepdims=True), partial) * w.offsets[group].astype(np.float32)
    return round_to_fp16(accumulator)[0]


def _rounded(sums: NDArray[np.float64], partial: Partial) -> NDArray[np.float32]:
    return sums.astype(np.float32) if partial == "fp32" else round_to_fp16(sums)[0].astype(np.float32)
