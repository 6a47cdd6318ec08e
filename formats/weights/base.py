"""What all weight formats share: a quantiser holds the parameters, `PackedWeights` the result.

A quantiser is a frozen value object; `WeightQuantizer.quantize` turns a weight matrix ``[in, out]``, and the statistic
of the calibration data that the method needs, into packed weights. Those decode exactly, know their size by formula
and by bytes, and are an operand of `anda_codesign.formats.weight_gemm`.
"""

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Literal, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..numeric.fp16 import MAX_FP16
from . import serialization as weight_file

Statistic = Literal["none", "hessian", "fisher"]
"""What a method learns from calibration data: nothing, ``X^T X`` of its input ``[in, in]``, or the squared gradients
of its weights ``[in, out]``."""


class PackedWeights(ABC):
    """A weight matrix ``[in, out]`` in a packed format."""

    name: ClassVar[str]
    """The format's name, also in its file."""
    source: ClassVar[str]
    """Where the format is defined."""

    @property
    @abstractmethod
    def shape(self) -> tuple[int, int]:
        """``(in, out)``."""

    @property
    @abstractmethod
    def bits_per_weight(self) -> float:
        """Average storage of a weight by the format's formula."""

    @abstractmethod
    def decode(self) -> NDArray[np.float32]:
        """The weights that the packed form stands for, float32 ``[in, out]``."""

    def dequantize(self) -> NDArray[np.float32]:
        """The same as `decode`, under the name that `Int4Weights` has for it."""
        return self.decode()

    @abstractmethod
    def pack(self) -> weight_file.Image:
        """Parameters and arrays as they lie in memory."""

    @classmethod
    @abstractmethod
    def unpack(cls, image: weight_file.Image) -> Self:
        """Inverse of `pack`; raises `KeyError` for what is missing, `InputError` for what does not fit."""

    @property
    def bits_per_weight_stored(self) -> float:
        """Average storage of a weight by the bytes of the packed arrays; the file's header is not counted."""
        channels, out = self.shape
        return 8 * self.pack().array_bytes / (channels * out)

    def to_bytes(self) -> bytes:
        """The memory image with header and checksum (layout: `anda_codesign.formats.weights.serialization`)."""
        return weight_file.write(self.name, self.pack())

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Read what `to_bytes` wrote.

        Raises
        ------
        InputError
            The bytes are truncated or damaged, or hold something else.
        """
        name, image = weight_file.read(data)
        if name != cls.name:
            raise InputError(f"data: holds {name!r} weights, not {cls.name!r}; read it with that format")
        try:
            return cls.unpack(image)
        except InputError:
            raise
        except KeyError as missing:
            raise InputError(f"data: lacks the entry {missing}; write it again with to_bytes()") from None
        except (TypeError, ValueError, IndexError) as error:
            raise InputError(f"data: holds no {name} weights ({error}); write it again with to_bytes()") from None


class WeightQuantizer(Protocol):
    """A quantisation method with its parameters."""

    name: ClassVar[str]
    """The method's name."""
    source: ClassVar[str]
    """Where the method is defined."""
    statistic: ClassVar[Statistic]
    """What `quantize` takes as its second argument."""

    @property
    def parameters(self) -> dict[str, Any]:
        """The fields, by name."""
        ...

    def average_bits(self, in_channels: int = 4096) -> float:
        """Storage of a weight by formula; outliers whose number depends on the data are not counted."""
        ...

    def quantize(self, w: NDArray[np.floating], statistic: NDArray[np.floating] | None = None, /) -> PackedWeights:
        """Quantise floating-point ``[in, out]``."""
        ...


def check_weights(w: NDArray[np.floating]) -> NDArray[np.float64]:
    """Weights as float64 ``[in, out]``; `InputError` unless they are finite and in the range of FP16."""
    if w.ndim != 2 or w.size == 0 or not np.issubdtype(w.dtype, np.floating):
        raise InputError(f"w: is {w.dtype} {list(w.shape)}; give floating point [in, out], not empty")
    bad = ~(np.abs(w) <= MAX_FP16)
    if bad.any():
        index = tuple(int(i) for i in np.argwhere(bad)[0])
        raise InputError(f"w: element {index} is {w[index]}; weights must be finite and within FP16's +-{MAX_FP16:g}")
    return w.astype(np.float64)


def check_statistic(name: Statistic, value: NDArray[np.floating] | None, shape: tuple[int, int]) -> NDArray[np.float64]:
    """A calibration statistic as float64; `InputError` if it is absent, misshapen or not finite."""
    if value is None:
        raise InputError(f"{name}: is missing; this method needs it as an array {list(shape)}")
    if value.shape != shape or not np.issubdtype(value.dtype, np.floating):
        raise InputError(
            f"{name}: is {value.dtype} {list(value.shape)}; these weights need floating point {list(shape)}"
        )
    if not np.isfinite(value).all():
        index = tuple(int(i) for i in np.argwhere(~np.isfinite(value))[0])
        raise InputError(f"{name}: element {index} is {value[index]}; give finite values")
    return value.astype(np.float64)


def check_choice(name: str, value: object, choices: range | tuple[Any, ...]) -> None:
    """`InputError` unless ``value`` is one of ``choices``."""
    if isinstance(value, bool) or value not in choices:
        allowed = f"{choices[0]} to {choices[-1]}" if isinstance(choices, range) else ", ".join(map(str, choices))
        raise InputError(f"{name}: {value!r} is not valid; choose one of {allowed}")


def check_at_least(name: str, value: float, least: float) -> None:
    """`InputError` unless ``value`` is a number of at least ``least``."""
    if isinstance(value, bool) or not value >= least:
        raise InputError(f"{name}: {value!r} is not valid; choose a number of at least {least:g}")
