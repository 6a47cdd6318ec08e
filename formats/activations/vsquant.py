"""VS-Quant: 4-bit integers, an integer scale for each vector of 16, and one FP32 scale for the tensor."""

from dataclasses import asdict, dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ..checks import check_integer
from ..options import Rounding
from .base import (
    Parameters,
    bit_parallel_cycles,
    check_grouping,
    join_groups,
    round_to_integers,
    split_groups,
)


@dataclass(frozen=True, kw_only=True)
class VsQuantFormat:
    """Per-vector scaled quantisation with two levels of scales.

    Let ``q = 2^(N-1) - 1`` (7 for N = 4 bits with sign) and ``Q = 2^scale_bits - 1``. The ideal scale of a vector is
    ``max |x| / q``. The scale ``g`` of the tensor is the largest ideal scale divided by ``Q``. The stored scale of a
    vector is the integer ``s = round(ideal / g)``. An element is the code ``round(x / (s g))``, saturating at ``q``; its
    value is ``code * (s g)`` in float32. If the stored scale of a vector is 0, its elements are zeros.

    Choices of this project: scales of 6 bits (the source studies several); the tensor's own maximum instead of a
    calibrated one; elements quantised with the stored scale, not the ideal one; rounding to nearest even.

    The scales are not powers of two, so encoding a decoded tensor again may change values.
    """

    name: ClassVar[str] = "vs-quant"
    source: ClassVar[str] = "Dai et al., MLSys 2021 (arXiv 2102.04503)"

    mantissa_bits: int = 4
    scale_bits: int = 6
    group_size: int = 16
    rounding: Rounding = "nearest"

    def __post_init__(self) -> None:
        check_integer("mantissa_bits", self.mantissa_bits, 2, 8)
        check_integer("scale_bits", self.scale_bits, 1, 16)
        check_grouping(self.group_size, self.rounding)

    @property
    def parameters(self) -> Parameters:
        """Parameters by name, as `activation_format` takes them."""
        return asdict(self)

    @property
    def bits_per_value(self) -> float:
        """Element and its share of the vector's scale."""
        return self.mantissa_bits + self.scale_bits / self.group_size

    @property
    def shared_bits(self) -> int:
        """Bits of a vector's scale."""
        return self.scale_bits

    @property
    def cycles_per_group(self) -> int:
        """The width of an element, on a bit-parallel datapath of equal area."""
        return bit_parallel_cycles(self.mantissa_bits)

    def encode(self, x: NDArray[np.float16]) -> "VsQuantTensor":
        """Encode float16 ``[..., channels]``; `InputError` for another dtype, no channels, infinities or NaN."""
        groups = split_groups(x, self.group_size)
        largest_code = (1 << (self.mantissa_bits - 1)) - 1
        ideal = np.abs(groups).max(axis=-1, initial=0) / np.float32(largest_code)
        tensor_scale = np.float32(ideal.max(initial=0) / np.float32((1 << self.scale_bits) - 1))
        if tensor_scale == 0:
            tensor_scale = np.float32(1)
        scales = np.rint(ideal / tensor_scale).astype(np.uint16)
        steps = scales.astype(np.float32) * tensor_scale
        quotients = np.divide(groups, steps[..., None], where=steps[..., None] > 0, out=np.zeros_like(groups))
        codes = round_to_integers(quotients, largest_code, self.rounding).astype(np.int8)
        return VsQuantTensor(self, x.shape, codes, scales, tensor_scale)


@dataclass(frozen=True, eq=False)
class VsQuantTensor:
    """Tensor of ``codes`` int8 ``[..., vectors, group_size]``, ``scales`` uint16 ``[..., vectors]`` and one float32."""

    format: VsQuantFormat
    shape: tuple[int, ...]
    codes: NDArray[np.int8]
    scales: NDArray[np.uint16]
    tensor_scale: np.float32

    def decode(self) -> NDArray[np.float32]:
        """Decode to ``code * (scale * tensor_scale)``, each product rounded to float32."""
        steps = self.scales.astype(np.float32) * self.tensor_scale
        return join_groups(self.codes.astype(np.float32) * steps[..., None], self.shape, self.format.group_size)
