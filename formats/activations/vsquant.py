"""VS-Quant: 4-bit integers, an integer scale for every vector of 16, one floating-point scale for the tensor."""

from dataclasses import asdict, dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ..options import Rounding
from .base import (
    Parameters,
    bit_parallel_cycles,
    join_groups,
    require_grouping,
    require_integer,
    round_to_integers,
    split_groups,
)


@dataclass(frozen=True, kw_only=True)
class VsQuantFormat:
    """Per-vector scaled quantisation with two-level scales.

    With ``q = 2^(N-1) - 1`` (7 at N = 4 bits, sign included) and ``Q = 2^scale_bits - 1``: the ideal scale of a vector
    is ``max |x| / q``; the tensor's scale ``g`` is the largest ideal one divided by ``Q``; a vector's stored scale is
    ``s = round(ideal / g)``, an integer up to ``Q``; an element is ``round(x / (s g))``, saturating at ``q``, and
    stands for ``code * (s g)`` in float32. A vector whose stored scale is 0 holds zeros.

    Choices of this project: scales of 6 bits (the source studies several); the tensor's own maximum instead of a
    calibrated one; elements quantised with the stored scale, not the ideal one; nearest even.

    Since scales are not powers of two, encoding a decoded tensor again may give other values.
    """

    name: ClassVar[str] = "vs-quant"
    source: ClassVar[str] = "Dai et al., MLSys 2021 (arXiv 2102.04503)"

    mantissa_bits: int = 4
    scale_bits: int = 6
    group_size: int = 16
    rounding: Rounding = "nearest"

    def __post_init__(self) -> None:
        require_integer("mantissa_bits", self.mantissa_bits, 2, 8)
        require_integer("scale_bits", self.scale_bits, 1, 16)
        require_grouping(self.group_size, self.rounding)

    @property
    def parameters(self) -> Parameters:
        """The fields, by name."""
        return asdict(self)

    @property
    def bits_per_value(self) -> float:
        """The element and its share of the vector's scale."""
        return self.mantissa_bits + self.scale_bits / self.group_size

    @property
    def cycles_per_group(self) -> int:
        """The element's bits, on a bit-parallel datapath of equal area."""
        return bit_parallel_cycles(self.mantissa_bits)

    def encode(self, x: NDArray[np.float16]) -> "VsQuantTensor":
        """Encode float16 ``[..., channels]``; `InputError` for other dtypes, shapes and non-finite values."""
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
    """``codes`` int8 ``[..., vectors, group_size]``, ``scales`` uint16 ``[..., vectors]``, ``tensor_scale`` float32."""

    format: VsQuantFormat
    shape: tuple[int, ...]
    codes: NDArray[np.int8]
    scales: NDArray[np.uint16]
    tensor_scale: np.float32

    def decode(self) -> NDArray[np.float32]:
        """``code * (scale * tensor_scale)``, each product rounded to float32."""
        steps = self.scales.astype(np.float32) * self.tensor_scale
        return join_groups(self.codes.astype(np.float32) * steps[..., None], self.shape, self.format.group_size)
