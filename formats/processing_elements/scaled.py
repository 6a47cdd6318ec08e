"""Scaling of group dot products: rounded to FP16, times the scale of the group, summed in FP32."""

import numpy as np
from numpy.typing import NDArray

from ..numeric.fp16 import round_to_fp16


def scale_and_accumulate(
    partials: NDArray[np.floating], scales: NDArray[np.float16]
) -> tuple[NDArray[np.float32], bool]:
    """Sum of FP16 dot products times scales over the groups, in order.

    The conversion to FP16 rounds to nearest even and saturates. The product of two FP16 numbers is exact in FP32. The
    sum rounds to nearest even after every group. These are steps 2 to 4 of `formats.fp_int_gemm`.

    Parameters
    ----------
    partials
        Dot products ``[..., groups]``, finite float32 or exact float64.
    scales
        float16 ``[..., groups]``, finite.

    Returns
    -------
    float32 ``[...]``, and True if a conversion saturated.
    """
    rounded, saturated = round_to_fp16(partials)
    products = rounded.astype(np.float32) * scales.astype(np.float32)
    accumulator = np.zeros(products.shape[:-1], np.float32)
    for group in range(products.shape[-1]):
        np.add(accumulator, products[..., group], out=accumulator)
    return accumulator, saturated
