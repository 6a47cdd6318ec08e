"""Base of the weight formats: `WeightQuantizer` holds the parameters of a method, `PackedWeights` its result.

A quantiser is a frozen value object. `WeightQuantizer.quantize` takes a weight matrix ``[in, out]``, and the statistic of
the calibration data that the method needs, and returns packed weights. These decode exactly, know their size by formula
and by bytes, and are an operand of `anda_codesign.formats.weight_gemm`.
"""

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Literal, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from ..checks import check_finite
from ..documents.border import border
from ..errors import InputError
from ..numeric.fp16 import MAX_FP16
from . import serialization as weight_file

Statistic = Literal["none", "hessian", "fisher"]
"""Calibration data of a method: none, ``X^T X`` of the input ``[in, in]``, or squared gradients of the weights
``[in, out]``."""


class PackedWeights(ABC):
    """Weight matrix ``[in, out]`` in a packed format."""

    name: ClassVar[str]
    """Name of the format, also in its file."""
    source: ClassVar[str]
    """Publication that defines the format."""

    @property
    @abstractmethod
    def shape(self) -> tuple[int, int]:
        """Shape ``(in, out)``."""

    @property
    @abstractmethod
    def bits_per_weight(self) -> float:
        """Average storage of a weight in bits, by the formula of the format."""

    @abstractmethod
    def decode(self) -> NDArray[np.float32]:
        """Decode to float32 ``[in, out]``."""

    def dequantize(self) -> NDArray[np.float32]:
        """Same as `decode`; `Int4Weights` uses this name."""
        return self.decode()

    @abstractmethod
    def pack(self) -> weight_file.Image:
        """Parameters and packed arrays for a file."""

    @classmethod
    @abstractmethod
    def unpack(cls, image: weight_file.Image) -> Self:
        """Inverse of `pack`; `KeyError` for a missing entry, `InputError` for an entry that does not fit."""

    @property
    def bits_per_weight_stored(self) -> float:
        """Average storage of a weight in bits, by the bytes of the packed arrays without the file header."""
        channels, out = self.shape
        return 8 * self.pack().array_bytes / (channels * out)

    def to_bytes(self) -> bytes:
        """Bytes of the file with checksum (`anda_codesign.formats.weights.serialization`)."""
        return weight_file.write(self.name, self.pack())

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Read the bytes that `to_bytes` wrote.

        Raises
        ------
        InputError
            The bytes are truncated or damaged, or hold another format.
        """
        return cls.from_image(*weight_file.read(data))

    @classmethod
    def from_image(cls, name: str, image: weight_file.Image) -> Self:
        """Make the weights of what `anda_codesign.formats.weights.serialization.read` gave.

        Raises
        ------
        InputError
            The image is of another format, or lacks an entry.
        """
        if name != cls.name:
            raise InputError(f"data: holds {name!r} weights, not {cls.name!r}; read it with that format")
        with border(f"data: holds no {name} weights", "write it again with to_bytes()"):
            return cls.unpack(image)


class WeightQuantizer(Protocol):
    """Quantisation method with its parameters."""

    name: ClassVar[str]
    """Name of the method."""
    source: ClassVar[str]
    """Publication that defines the method."""
    statistic: ClassVar[Statistic]
    """Second argument of `quantize`."""

    @property
    def parameters(self) -> dict[str, Any]:
        """Parameters by name, as `weight_quantizer` takes them."""
        ...

    def average_bits(self, in_channels: int = 4096) -> float:
        """Storage of a weight in bits, by formula, without outliers if their number depends on the data."""
        ...

    def quantize(self, w: NDArray[np.floating], statistic: NDArray[np.floating] | None = None, /) -> PackedWeights:
        """Quantise a floating-point matrix ``[in, out]``."""
        ...


def check_weights(w: NDArray[np.floating]) -> NDArray[np.float64]:
    """Convert weights ``[in, out]`` to float64; `InputError` unless they are finite and in the range of FP16."""
    if w.ndim != 2 or w.size == 0 or not np.issubdtype(w.dtype, np.floating):
        raise InputError(f"w: is {w.dtype} {list(w.shape)}; give a floating-point matrix [in, out], not empty")
    bad = ~(np.abs(w) <= MAX_FP16)
    if bad.any():
        index = tuple(int(i) for i in np.argwhere(bad)[0])
        raise InputError(f"w: element {index} is {w[index]}; give finite weights within +-{MAX_FP16:g}")
    return w.astype(np.float64)


def check_statistic(name: Statistic, value: NDArray[np.floating] | None, shape: tuple[int, int]) -> NDArray[np.float64]:
    """Convert a statistic to float64; `InputError` if it is missing, not finite, or has the wrong shape."""
    if value is None:
        raise InputError(f"{name}: is missing; give an array {list(shape)}")
    if value.shape != shape or not np.issubdtype(value.dtype, np.floating):
        raise InputError(f"{name}: is {value.dtype} {list(value.shape)}; give a floating-point array {list(shape)}")
    return check_finite(name, value).astype(np.float64)
