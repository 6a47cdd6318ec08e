"""Activations that are stored in one format and computed with in another."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from .base import ActivationFormat, ActivationTensor, Parameters


@dataclass(frozen=True)
class ChainedFormat:
    """The format of a memory, then that of a datapath that reads it, such as Anda in memory and FIGNA's alignment.

    Attributes
    ----------
    memory
        Format of the stored activations.
    datapath
        Format of the operands, made from the stored values as FP16.
    """

    memory: ActivationFormat
    datapath: ActivationFormat

    name: ClassVar[str] = "chained"
    source: ClassVar[str] = "this project: what an element reads is what the memory holds"

    @property
    def parameters(self) -> Parameters:
        """Empty: the formats have parameters of their own."""
        return {}

    @property
    def bits_per_value(self) -> float:
        """Those of the memory."""
        return self.memory.bits_per_value

    @property
    def cycles_per_group(self) -> int:
        """Those of the datapath."""
        return self.datapath.cycles_per_group

    def encode(self, x: NDArray[np.float16]) -> ActivationTensor:
        """Encode float16 ``[..., channels]`` in both formats, one after the other."""
        return self.datapath.encode(self.memory.encode(x).decode().astype(np.float16))
