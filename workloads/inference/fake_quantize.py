"""Fake quantisation: what the Anda format leaves of float32 activations, without forming bit-planes."""

from __future__ import annotations

import numpy as np

from ...formats import AndaFormat
from ..models.parameters import FloatArray


def to_fp16(x: FloatArray) -> FloatArray:
    """Round to FP16, nearest even, as float32; magnitudes from 65520 become infinite."""
    with np.errstate(over="ignore"):
        return x.astype(np.float16).astype(np.float32)


def fake_quantize(x: FloatArray, fmt: AndaFormat) -> FloatArray:
    """The Anda values of `x`, bit for bit those of `fake_quantize_numpy`, in one compiled pass.

    Args:
        x: float32 ``[tokens, channels]``.
        fmt: the format, with all its options.

    Returns:
        float32 ``[tokens, channels]`` of FP16 values.

    Raises:
        InputError: `x` overflows FP16 or holds a NaN, and ``fmt.nonfinite`` is ``"raise"``.
    """
    from . import compiled

    x = np.ascontiguousarray(x)
    out = np.empty_like(x)
    nearest, midpoint = fmt.rounding == "nearest", fmt.reconstruct == "midpoint"
    finite = compiled.fake_quantize(x, fmt.mantissa_bits, fmt.group_size, nearest, midpoint, out)
    return out if finite else fake_quantize_numpy(x, fmt)


def fake_quantize_numpy(x: FloatArray, fmt: AndaFormat) -> FloatArray:
    """The same through FP16 and the format's own encoder and decoder."""
    with np.errstate(over="ignore"):
        return fmt.encode(x.astype(np.float16)).decode().astype(np.float32)
