"""OCP microscaling formats (MX) and NVFP4; `ml_dtypes` encodes the elements.

Sources: OCP Microscaling Formats (MX) Specification v1.0, 2023 (also arXiv 2310.10537); NVFP4: NVIDIA, "Pretraining
Large Language Models with NVFP4", 2025 (arXiv 2509.25149).
"""

from dataclasses import asdict, dataclass
from typing import Any, ClassVar, NamedTuple

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from ..checks import check_integer
from .base import (
    LEAST_EXPONENT,
    MAX_GROUP_SIZE,
    Parameters,
    bit_parallel_cycles,
    group_exponents,
    join_groups,
    power_of_two,
    split_groups,
)

SCALE_BITS = 8
SCALE_BIAS = 127
INT8_UNIT = 64
"""Divisor of the integer in an MXINT8 element."""


class Element(NamedTuple):
    """Element type: width in bits, exponent of the largest number (``emax``), the largest number, and the dtype."""

    bits: int
    largest_exponent: int
    largest: float
    dtype: type


E4M3 = Element(8, 8, 448.0, ml_dtypes.float8_e4m3fn)
E5M2 = Element(8, 15, 57344.0, ml_dtypes.float8_e5m2)
E2M3 = Element(6, 2, 7.5, ml_dtypes.float6_e2m3fn)
E3M2 = Element(6, 4, 28.0, ml_dtypes.float6_e3m2fn)
E2M1 = Element(4, 2, 6.0, ml_dtypes.float4_e2m1fn)
INT8 = Element(8, 0, 127 / INT8_UNIT, np.int8)


@dataclass(frozen=True, kw_only=True)
class MxFormat:
    """MX format: blocks of 32 narrow elements with one power-of-two scale of 8 bits (E8M0).

    The scale is ``2^(floor(log2(max |x|)) - emax)``, with ``emax`` the exponent of the largest element. An element is
    ``x / scale``, clamped to the largest magnitude and rounded to nearest even (specification, section 6.3).

    Choices of this project where the specification leaves them open: MXINT8 rounds to nearest even and does not use the
    code -128; a block of zeros has the scale of the smallest FP16 number.
    """

    name: ClassVar[str]
    source: ClassVar[str] = "OCP Microscaling Formats (MX) Specification v1.0, 2023 (arXiv 2310.10537)"
    element: ClassVar[Element]
    shared_bits: ClassVar[int] = SCALE_BITS

    group_size: int = 32

    def __post_init__(self) -> None:
        check_integer("group_size", self.group_size, 1, MAX_GROUP_SIZE)

    @property
    def parameters(self) -> Parameters:
        """Parameters by name, as `activation_format` takes them."""
        return asdict(self)

    @property
    def bits_per_value(self) -> float:
        """Element and its share of the block's scale."""
        return self.element.bits + SCALE_BITS / self.group_size

    @property
    def cycles_per_group(self) -> int:
        """The width of an element, on a bit-parallel datapath of equal area (this project's choice)."""
        return bit_parallel_cycles(self.element.bits)

    def encode(self, x: NDArray[np.float16]) -> "MxTensor":
        """Encode float16 ``[..., channels]``; `InputError` for another dtype, no channels, infinities or NaN."""
        groups = split_groups(x, self.group_size)
        exponents = group_exponents(groups, LEAST_EXPONENT).astype(np.int32) - self.element.largest_exponent
        largest = self.element.largest
        scaled = np.clip(groups * power_of_two(-exponents)[..., None], -largest, largest, dtype=np.float32)
        elements = np.rint(scaled * INT8_UNIT) if self.element is INT8 else scaled
        return MxTensor(self, x.shape, elements.astype(self.element.dtype), (exponents + SCALE_BIAS).astype(np.uint8))


class MxFp8E4m3Format(MxFormat):
    """MXFP8 with E4M3 elements, the largest is 448."""

    name: ClassVar[str] = "mxfp8-e4m3"
    element: ClassVar[Element] = E4M3


class MxFp8E5m2Format(MxFormat):
    """MXFP8 with E5M2 elements, the largest is 57344."""

    name: ClassVar[str] = "mxfp8-e5m2"
    element: ClassVar[Element] = E5M2


class MxFp6E2m3Format(MxFormat):
    """MXFP6 with E2M3 elements, the largest is 7.5."""

    name: ClassVar[str] = "mxfp6-e2m3"
    element: ClassVar[Element] = E2M3


class MxFp6E3m2Format(MxFormat):
    """MXFP6 with E3M2 elements, the largest is 28."""

    name: ClassVar[str] = "mxfp6-e3m2"
    element: ClassVar[Element] = E3M2


class MxFp4Format(MxFormat):
    """MXFP4 with E2M1 elements, the largest is 6."""

    name: ClassVar[str] = "mxfp4"
    element: ClassVar[Element] = E2M1


class MxInt8Format(MxFormat):
    """MXINT8: integers from -127 to 127, in units of 1/64."""

    name: ClassVar[str] = "mxint8"
    element: ClassVar[Element] = INT8


@dataclass(frozen=True, eq=False)
class MxTensor:
    """Tensor of MX blocks.

    Attributes
    ----------
    elements
        ``[..., blocks, group_size]`` in the `ml_dtypes` type of the element, or int8 for MXINT8.
    scales
        uint8 ``[..., blocks]``, E8M0: the scale of a block is ``2^(scale - 127)``.
    """

    format: MxFormat
    shape: tuple[int, ...]
    elements: NDArray[Any]
    scales: NDArray[np.uint8]

    def decode(self) -> NDArray[np.float32]:
        """Decode exactly. FP16 would hold every value that `MxFormat.encode` makes, but not every code with every scale."""
        unit = INT8_UNIT if self.format.element is INT8 else 1
        scales = power_of_two(self.scales.astype(np.int32) - SCALE_BIAS) / np.float32(unit)
        values = self.elements.astype(np.float32) * scales[..., None]
        return join_groups(values, self.shape, self.format.group_size)


@dataclass(frozen=True, kw_only=True)
class NvFp4Format:
    """NVFP4: E2M1 elements, an E4M3 scale for each block of 16, and one FP32 scale for the tensor.

    The scale of the tensor is ``max |x| / (6 * 448)``, where 6 and 448 are the largest E2M1 and E4M3 numbers. The scale
    of a block is ``max |block| / 6`` divided by the scale of the tensor, rounded to E4M3. An element is ``x`` divided by
    both scales in float32, clamped to 6 and rounded to nearest even. If the scale of a block rounds to 0, its elements
    are zeros (this project's choice).

    The scales are not powers of two, so encoding a decoded tensor again may change values.
    """

    name: ClassVar[str] = "nvfp4"
    source: ClassVar[str] = "NVIDIA, Pretraining Large Language Models with NVFP4, 2025 (arXiv 2509.25149)"
    shared_bits: ClassVar[int] = SCALE_BITS

    group_size: int = 16

    def __post_init__(self) -> None:
        check_integer("group_size", self.group_size, 1, MAX_GROUP_SIZE)

    @property
    def parameters(self) -> Parameters:
        """Parameters by name, as `activation_format` takes them."""
        return asdict(self)

    @property
    def bits_per_value(self) -> float:
        """Element and its share of the block's scale; the scale of the tensor is negligible."""
        return E2M1.bits + SCALE_BITS / self.group_size

    @property
    def cycles_per_group(self) -> int:
        """4 cycles: the width of an element, on a bit-parallel datapath of equal area (this project's choice)."""
        return bit_parallel_cycles(E2M1.bits)

    def encode(self, x: NDArray[np.float16]) -> "NvFp4Tensor":
        """Encode float16 ``[..., channels]``; `InputError` for another dtype, no channels, infinities or NaN."""
        groups = split_groups(x, self.group_size)
        largest_element = np.float32(E2M1.largest)
        largest = np.abs(groups).max(axis=-1, initial=0)
        tensor_scale = largest.max(initial=0) / (largest_element * np.float32(E4M3.largest))
        if tensor_scale == 0:
            tensor_scale = np.float32(1)
        scales = (largest / largest_element / tensor_scale).astype(ml_dtypes.float8_e4m3fn)
        steps = (scales.astype(np.float32) * tensor_scale)[..., None]
        quotients = np.divide(groups, steps, where=steps > 0, out=np.zeros_like(groups))
        elements = np.clip(quotients, -largest_element, largest_element).astype(ml_dtypes.float4_e2m1fn)
        return NvFp4Tensor(self, x.shape, elements, scales, tensor_scale)


@dataclass(frozen=True, eq=False)
class NvFp4Tensor:
    """Tensor of ``elements`` E2M1 ``[..., blocks, group_size]``, ``scales`` E4M3 ``[..., blocks]`` and one float32."""

    format: NvFp4Format
    shape: tuple[int, ...]
    elements: NDArray[Any]
    scales: NDArray[Any]
    tensor_scale: np.float32

    def decode(self) -> NDArray[np.float32]:
        """Decode to ``element * (scale * tensor_scale)``, each product rounded to float32."""
        steps = self.scales.astype(np.float32) * self.tensor_scale
        values = self.elements.astype(np.float32) * steps[..., None]
        return join_groups(values, self.shape, self.format.group_size)
