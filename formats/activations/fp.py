"""FP16 and BF16 activations: no groups, 16 bits in memory and in the datapath."""

from dataclasses import dataclass
from typing import Any, ClassVar

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from .base import Parameters, bit_parallel_cycles, check_activations


@dataclass(frozen=True)
class Fp16Format:
    """IEEE 754 binary16: activations of weight-only quantised models, the reference of every comparison."""

    name: ClassVar[str] = "fp16"
    source: ClassVar[str] = "IEEE 754-2019, binary16"

    @property
    def parameters(self) -> Parameters:
        """Empty: the format has no parameters."""
        return {}

    @property
    def bits_per_value(self) -> float:
        """16 bits."""
        return 16.0

    @property
    def cycles_per_group(self) -> int:
        """16 cycles: 64 values at the 4 MAC per cycle of the baseline."""
        return bit_parallel_cycles(16)

    def encode(self, x: NDArray[np.float16]) -> "Fp16Tensor":
        """Copy float16 ``[..., channels]``; `InputError` for another dtype, no channels, infinities or NaN."""
        check_activations(x)
        return Fp16Tensor(x.copy())


@dataclass(frozen=True, eq=False)
class Fp16Tensor:
    """Tensor of ``values``, float16 ``[..., channels]``."""

    values: NDArray[np.float16]

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape ``(..., channels)``."""
        return self.values.shape

    def decode(self) -> NDArray[np.float16]:
        """Return a copy of the values."""
        return self.values.copy()


@dataclass(frozen=True)
class Bf16Format:
    """bfloat16: 8 exponent bits and 7 fraction bits, rounded to nearest even; no FP16 value overflows or becomes zero.

    Values decode to float32, since the largest FP16 numbers round up to 65536, which FP16 cannot hold.
    """

    name: ClassVar[str] = "bf16"
    source: ClassVar[str] = "Kalamkar et al., 2019 (arXiv 1905.12322)"

    @property
    def parameters(self) -> Parameters:
        """Empty: the format has no parameters."""
        return {}

    @property
    def bits_per_value(self) -> float:
        """16 bits."""
        return 16.0

    @property
    def cycles_per_group(self) -> int:
        """16 cycles, as for FP16."""
        return bit_parallel_cycles(16)

    def encode(self, x: NDArray[np.float16]) -> "Bf16Tensor":
        """Round float16 ``[..., channels]``; `InputError` for another dtype, no channels, infinities or NaN."""
        check_activations(x)
        return Bf16Tensor(x.astype(np.float32).astype(ml_dtypes.bfloat16))


@dataclass(frozen=True, eq=False)
class Bf16Tensor:
    """Tensor of ``values``, bfloat16 ``[..., channels]``."""

    values: NDArray[Any]

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape ``(..., channels)``."""
        return self.values.shape

    def decode(self) -> NDArray[np.float32]:
        """Decode exactly to float32."""
        return self.values.astype(np.float32)
