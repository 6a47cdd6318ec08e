"""FP16 and BF16 activations: no grouping, 16 bits in memory and in the datapath."""

from dataclasses import dataclass
from typing import Any, ClassVar

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from .base import Parameters, bit_parallel_cycles, require_activations


@dataclass(frozen=True)
class Fp16Format:
    """IEEE 754 binary16: the activations of weight-only quantised models, and the reference of every comparison."""

    name: ClassVar[str] = "fp16"
    source: ClassVar[str] = "IEEE 754-2019, binary16"

    @property
    def parameters(self) -> Parameters:
        """None."""
        return {}

    @property
    def bits_per_value(self) -> float:
        """16."""
        return 16.0

    @property
    def cycles_per_group(self) -> int:
        """16: the baseline's 4 MAC per cycle for 64 values."""
        return bit_parallel_cycles(16)

    def encode(self, x: NDArray[np.float16]) -> "Fp16Tensor":
        """Keep float16 ``[..., channels]`` as it is; `InputError` for other dtypes, shapes and non-finite values."""
        require_activations(x)
        return Fp16Tensor(x.copy())


@dataclass(frozen=True, eq=False)
class Fp16Tensor:
    """``values``: float16 ``[..., channels]``."""

    values: NDArray[np.float16]

    @property
    def shape(self) -> tuple[int, ...]:
        """``(..., channels)``."""
        return self.values.shape

    def decode(self) -> NDArray[np.float16]:
        """The values, unchanged."""
        return self.values.copy()


@dataclass(frozen=True)
class Bf16Format:
    """bfloat16: 8 exponent and 7 fraction bits. FP16 values round to nearest even; none of them overflows or vanishes.

    Values decode to float32: the largest FP16 numbers round up to 65536, which FP16 does not hold.
    """

    name: ClassVar[str] = "bf16"
    source: ClassVar[str] = "Kalamkar et al., 2019 (arXiv 1905.12322)"

    @property
    def parameters(self) -> Parameters:
        """None."""
        return {}

    @property
    def bits_per_value(self) -> float:
        """16."""
        return 16.0

    @property
    def cycles_per_group(self) -> int:
        """16, as a 16-bit datapath."""
        return bit_parallel_cycles(16)

    def encode(self, x: NDArray[np.float16]) -> "Bf16Tensor":
        """Round float16 ``[..., channels]``; `InputError` for other dtypes, shapes and non-finite values."""
        require_activations(x)
        return Bf16Tensor(x.astype(np.float32).astype(ml_dtypes.bfloat16))


@dataclass(frozen=True, eq=False)
class Bf16Tensor:
    """``values``: bfloat16 ``[..., channels]``."""

    values: NDArray[Any]

    @property
    def shape(self) -> tuple[int, ...]:
        """``(..., channels)``."""
        return self.values.shape

    def decode(self) -> NDArray[np.float32]:
        """The values in float32, exact."""
        return self.values.astype(np.float32)
