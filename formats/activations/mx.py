"""The OCP microscaling formats (MX) and NVFP4, with `ml_dtypes` as the codec of their elements.

Sources: OCP Microscaling Formats (MX) Specification v1.0, 2023 (also arXiv 2310.10537); NVFP4: NVIDIA, "Pretraining
Large Language Models with NVFP4", 2025 (arXiv 2509.25149).
"""

from dataclasses import asdict, dataclass
from typing import Any, ClassVar, NamedTuple

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from .base import (
    LEAST_EXPONENT,
    Parameters,
    bit_parallel_cycles,
    group_exponents,
    join_groups,
    power_of_two,
    require_integer,
    split_groups,
)

SCALE_BITS = 8
SCALE_BIAS = 127
INT8_UNIT = 64
"""An MXINT8 element is an integer divided by 64."""


class Element(NamedTuple):
    """An element type: its bits, the exponent of its largest number (``emax``), that number, and the codec."""

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
    """An MX format: 32 elements of a narrow type under one power-of-two scale of 8 bits (E8M0).

    The scale is ``2^(floor(log2(max |x|)) - emax)`` with ``emax`` the exponent of the type's largest element; an
    element is ``x / scale``, clamped to the largest magnitude and rounded to nearest even (specification, section 6.3).

    Choices where the specification leaves them: MXINT8 rounds to nearest even too and leaves its code -128 unused;
    a block of zeros has the scale of the smallest FP16 number.
    """

    name: ClassVar[str]
    source: ClassVar[str] = "OCP Microscaling Formats (MX) Specification v1.0, 2023 (arXiv 2310.10537)"
    element: ClassVar[Element]

    group_size: int = 32

    def __post_init__(self) -> None:
        require_integer("group_size", self.group_size, 1, 65536)

    @property
    def parameters(self) -> Parameters:
        """The fields, by name."""
        return asdict(self)

    @property
    def bits_per_value(self) -> float:
        """The element and its share of the block's scale."""
        return self.element.bits + SCALE_BITS / self.group_size

    @property
    def cycles_per_group(self) -> int:
        """The element's bits, on a bit-parallel datapath of equal area (choice)."""
        return bit_parallel_cycles(self.element.bits)

    def encode(self, x: NDArray[np.float16]) -> "MxTensor":
        """Encode float16 ``[..., channels]``; `InputError` for other dtypes, shapes and non-finite values."""
        groups = split_groups(x, self.group_size)
        exponents = group_exponents(groups, LEAST_EXPONENT).astype(np.int32) - self.element.largest_exponent
        largest = self.element.largest
        scaled = np.clip(groups * power_of_two(-exponents)[..., None], -largest, largest, dtype=np.float32)
        elements = np.rint(scaled * INT8_UNIT) if self.element is INT8 else scaled
        return MxTensor(self, x.shape, elements.astype(self.element.dtype), (exponents + SCALE_BIAS).astype(np.uint8))


class MxFp8E4m3Format(MxFormat):
    """MXFP8 with E4M3 elements: the largest is 448."""

    name: ClassVar[str] = "mxfp8-e4m3"
    element: ClassVar[Element] = E4M3


class MxFp8E5m2Format(MxFormat):
    """MXFP8 with E5M2 elements: the largest is 57344."""

    name: ClassVar[str] = "mxfp8-e5m2"
    element: ClassVar[Element] = E5M2


class MxFp6E2m3Format(MxFormat):
    """MXFP6 with E2M3 elements: the largest is 7.5."""

    name: ClassVar[str] = "mxfp6-e2m3"
    element: ClassVar[Element] = E2M3


class MxFp6E3m2Format(MxFormat):
    """MXFP6 with E3M2 elements: the largest is 28."""

    name: ClassVar[str] = "mxfp6-e3m2"
    element: ClassVar[Element] = E3M2


class MxFp4Format(MxFormat):
    """MXFP4: E2M1 elements, the largest is 6."""

    name: ClassVar[str] = "mxfp4"
    element: ClassVar[Element] = E2M1


class MxInt8Format(MxFormat):
    """MXINT8: integers in units of 1/64, from -127 to 127."""

    name: ClassVar[str] = "mxint8"
    element: ClassVar[Element] = INT8


@dataclass(frozen=True, eq=False)
class MxTensor:
    """A tensor of MX blocks.

    Attributes
    ----------
    elements
        ``[..., blocks, group_size]`` in the `ml_dtypes` type of the element, or int8 for MXINT8.
    scales
        uint8 ``[..., blocks]``: E8M0, the biased exponent of the block's scale, ``2^(scale - 127)``.
    """

    format: MxFormat
    shape: tuple[int, ...]
    elements: NDArray[Any]
    scales: NDArray[np.uint8]

    def decode(self) -> NDArray[np.float32]:
        """The values, exact; FP16 holds all that `MxFormat.encode` makes, not every code under every scale."""
        unit = INT8_UNIT if self.format.element is INT8 else 1
        scales = power_of_two(self.scales.astype(np.int32) - SCALE_BIAS) / np.float32(unit)
        values = self.elements.astype(np.float32) * scales[..., None]
        return join_groups(values, self.shape, self.format.group_size)


@dataclass(frozen=True, kw_only=True)
class NvFp4Format:
    """NVFP4: E2M1 elements, an E4M3 scale for each block of 16, one FP32 scale for the tensor.

    The tensor's scale is ``max |x| / (6 * 448)``, 6 and 448 being the largest E2M1 and E4M3 numbers; a block's scale is
    ``max |block| / 6`` divided by the tensor's, rounded to E4M3; an element is ``x`` divided by the product of both, in
    float32, clamped to 6 and rounded to nearest even. A block whose scale rounds to 0 holds zeros (choice).

    Since scales are not powers of two, encoding a decoded tensor again may give other values.
    """

    name: ClassVar[str] = "nvfp4"
    source: ClassVar[str] = "NVIDIA, Pretraining Large Language Models with NVFP4, 2025 (arXiv 2509.25149)"

    group_size: int = 16

    def __post_init__(self) -> None:
        require_integer("group_size", self.group_size, 1, 65536)

    @property
    def parameters(self) -> Parameters:
        """The fields, by name."""
        return asdict(self)

    @property
    def bits_per_value(self) -> float:
        """The element and its share of the block's scale; the tensor's scale vanishes in the average."""
        return E2M1.bits + SCALE_BITS / self.group_size

    @property
    def cycles_per_group(self) -> int:
        """4: the element's bits, on a bit-parallel datapath of equal area (choice)."""
        return bit_parallel_cycles(E2M1.bits)

    def encode(self, x: NDArray[np.float16]) -> "NvFp4Tensor":
        """Encode float16 ``[..., channels]``; `InputError` for other dtypes, shapes and non-finite values."""
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
    """``elements`` E2M1 ``[..., blocks, group_size]``, ``scales`` E4M3 ``[..., blocks]``, ``tensor_scale`` float32."""

    format: NvFp4Format
    shape: tuple[int, ...]
    elements: NDArray[Any]
    scales: NDArray[Any]
    tensor_scale: np.float32

    def decode(self) -> NDArray[np.float32]:
        """``element * (scale * tensor_scale)``, each product rounded to float32."""
        steps = self.scales.astype(np.float32) * self.tensor_scale
        values = self.elements.astype(np.float32) * steps[..., None]
        return join_groups(values, self.shape, self.format.group_size)
