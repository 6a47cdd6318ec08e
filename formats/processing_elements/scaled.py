"""What a processing element does with a group's dot product: to FP16, times the group's scale, summed in FP32."""

import numpy as np
from numpy.typing import NDArray

from ..numeric.fp16 import round_to_fp16


def scale_and_accumulate(
    partials: NDArray[np.floating], scales: NDArray[np.float16]
) -> tuple[NDArray[np.float32], bool]:
    """Sum over the groups, in order, of a dot product in FP16 times its scale.

    The conversion to FP16 rounds to nearest even and saturates; the product of two halves is exact as a single; the sum
    rounds to nearest even after every group. These are steps 2 to 4 of `formats.fp_int_gemm`.

    Parameters
    ----------
    partials
        ``[..., groups]``: the groups' dot products, finite singles or exact doubles.
    scales
        float16 ``[..., groups]``, finite.

    Returns
    -------
    float32 ``[...]``, and whether a conversion saturated.
    """
    halves, saturated = round_to_fp16(partials)
    products = halves.astype(np.float32) * scales.astype(np.float32)
    accumulator = np.zeros(products.shape[:-1], np.float32)
    for group in range(products.shape[-1]):
        np.add(accumulator, products[..., group], out=accumulator)
    return accumulator, saturated
