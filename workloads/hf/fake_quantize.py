"""Fake quantisation to the Anda format in torch, on any device. Needs torch (extra ``hf``)."""

from __future__ import annotations

from typing import Any

from ...formats import AndaFormat, InputError
from ...formats.options import Reconstruct, Rounding
from ..extras import import_extra

Tensor = Any

LEAST_NORMAL_EXPONENT = -14
"""Exponent of FP16's smallest normal number; groups of smaller values share it."""


def fake_quantize(
    x: Tensor,
    mantissa_bits: int,
    group_size: int = 64,
    rounding: Rounding = "truncate",
    reconstruct: Reconstruct = "truncate",
) -> Tensor:
    """Round activations to the values of the Anda format.

    Parameters
    ----------
    x
        float16, bfloat16 or float32 ``[..., channels]``; float32 is first rounded to FP16, to nearest even.
    mantissa_bits, group_size, rounding, reconstruct
        Parameters of `AndaFormat`.

    Returns
    -------
    Tensor
        Values of the format, in the type and shape of `x`. They are exact in float16 and float32; bfloat16 holds 8 bits,
        and rounds longer mantissas.

    Raises
    ------
    InputError
        A parameter is out of its range, or `x` overflows FP16 or holds a NaN.
    """
    torch = import_extra("torch")
    AndaFormat(mantissa_bits, group_size=group_size, rounding=rounding, reconstruct=reconstruct)  # checks
    channels = x.shape[-1]
    work = x.to(torch.float16).float()
    padded = torch.nn.functional.pad(work, (0, -channels % group_size))
    groups = padded.view(*x.shape[:-1], -1, group_size)
    largest = groups.abs().amax(dim=-1, keepdim=True)
    if not bool(torch.isfinite(largest).all()):  # a NaN is the largest of its group
        raise InputError("x: overflows FP16 or holds a NaN; give finite activations below 65520")
    exponents = (torch.frexp(largest).exponent - 1).clamp_(min=LEAST_NORMAL_EXPONENT)
    lsb = exponents - (mantissa_bits - 1)
    unit = _power_of_two(torch, lsb)
    scaled = groups.abs() * _power_of_two(torch, -lsb)
    nearest = rounding == "nearest"
    mantissas = scaled.round_().clamp_(max=float(2**mantissa_bits - 1)) if nearest else scaled.floor_()
    values = mantissas * unit
    if reconstruct == "midpoint":
        values = torch.where(mantissas > 0, _cut_to_fp16(torch, values + unit * 0.5), values)
    return torch.copysign(values, groups).flatten(-2)[..., :channels].to(x.dtype)


def _power_of_two(torch: Any, exponents: Tensor) -> Tensor:
    """``2^exponents`` as float32, from its bits, since a device's power function may round."""
    return ((exponents.to(torch.int32) + 127) << 23).view(torch.float32)


def _cut_to_fp16(torch: Any, x: Tensor) -> Tensor:
    """Cut off what FP16's fraction, or its least bit, cannot hold; `x` is at least 0."""
    normal = (x.view(torch.int32) & -0x2000).view(torch.float32)
    subnormal = torch.floor(x * 2.0**24) * 2.0**-24
    return torch.where(x >= 2.0**LEAST_NORMAL_EXPONENT, normal, subnormal)
