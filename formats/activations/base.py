"""Protocol of activation formats, and functions that the compared formats share.

A format is a frozen value object. ``fmt.encode(x)`` takes float16 ``[..., channels]`` and groups along the last axis.
The tensor that it returns decodes to the values that a processing element works with. The Anda format has the same
protocol, so a study can use any format in any place.

Two numbers make formats comparable:

* ``bits_per_value``: storage in memory with shared exponents and scales. Data of a whole tensor (Flexpoint's exponent,
  the FP32 scale of NVFP4) is negligible and not counted.
* ``cycles_per_group``: cycles of one processing element for 64 activations with 4-bit weights, on the scale of the Anda
  paper (arXiv 2411.15982, section V): a 16-bit datapath takes 16 cycles, and a design of equal area with ``n``-bit
  operands takes ``n``. The published speedups of FIGNA-M11 (16/11) and FIGNA-M8 (16/8) are counted in this way.
"""

from typing import Any, ClassVar, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

from ..checks import check_choice, check_finite, check_float16, check_integer
from ..latency.elements import FP16_GROUP_CYCLES
from ..options import Rounding

Parameters = dict[str, int | str]

MAX_GROUP_SIZE = 65536

LEAST_NORMAL_EXPONENT = -14
"""Exponent of the subnormal and the smallest normal FP16 numbers."""

LEAST_EXPONENT = -24
"""Exponent of the smallest subnormal FP16 number, normalised."""


class ActivationTensor(Protocol):
    """An encoded tensor."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the encoded array."""
        ...

    def decode(self) -> NDArray[np.float16] | NDArray[np.float32]:
        """Decode to ``shape``: float16 if FP16 holds every value of the format, otherwise float32."""
        ...


class ActivationFormat(Protocol):
    """A number format for activations.

    Attributes
    ----------
    name
        Name in the registry: ``activation_format(name, **parameters)`` builds an equal object.
    source
        Publication that defines the format.
    """

    name: ClassVar[str]
    source: ClassVar[str]

    @property
    def parameters(self) -> Parameters:
        """Parameters by name, as `activation_format` takes them."""
        ...

    @property
    def bits_per_value(self) -> float:
        """Storage of one value in memory, in bits."""
        ...

    @property
    def cycles_per_group(self) -> int:
        """Cycles of one processing element for 64 activations with 4-bit weights."""
        ...

    def encode(self, x: NDArray[np.float16]) -> ActivationTensor:
        """Encode float16 ``[..., channels]``; `InputError` for another dtype, no channels, infinities or NaN.

        Several threads may call it at once.
        """
        ...


def bit_parallel_cycles(operand_bits: int) -> int:
    """Cycles for 64 activations of ``operand_bits`` bits on a bit-parallel datapath with the area of the baseline."""
    return FP16_GROUP_CYCLES * operand_bits // 16


def check_grouping(group_size: object, rounding: object) -> None:
    """Check the two parameters that most block formats have."""
    check_integer("group_size", group_size, 1, MAX_GROUP_SIZE)
    check_choice("rounding", rounding, get_args(Rounding))


def check_activations(x: NDArray[np.float16]) -> None:
    """Raise `InputError` unless ``x`` is a finite float16 array with channels."""
    check_finite("x", check_float16("x", x))


def split_groups(x: NDArray[np.float16], group_size: int) -> NDArray[np.float32]:
    """Check activations and cut them into groups, float32 ``[..., groups, group_size]``, the last one padded with +0."""
    check_activations(x)
    padding = -x.shape[-1] % group_size
    padded = np.pad(x, [(0, 0)] * (x.ndim - 1) + [(0, padding)]) if padding else x
    return padded.reshape(*x.shape[:-1], padded.shape[-1] // group_size, group_size).astype(np.float32)


def join_groups(groups: NDArray[Any], shape: tuple[int, ...], group_size: int) -> NDArray[Any]:
    """Join the groups that `split_groups` made to an array of shape ``shape``, without the padding."""
    *leading, channels = shape
    return groups.reshape(*leading, channels + -channels % group_size)[..., :channels]


def group_exponents(groups: NDArray[np.float32], least: int) -> NDArray[np.int8]:
    """``floor(log2(max |x|))`` over the last axis, at least ``least``; groups of zeros get ``least``."""
    largest = np.abs(groups).max(axis=-1, initial=0)
    exponents = np.frexp(largest)[1] - 1
    return np.where(largest > 0, np.maximum(exponents, least), least).astype(np.int8)


def power_of_two(exponents: NDArray[np.integer]) -> NDArray[np.float32]:
    """``2^exponents``, exact in float32 for exponents from -126 to 127."""
    return np.ldexp(np.float32(1), exponents.astype(np.int32))


def round_to_integers(values: NDArray[np.float32], most: int, rounding: Rounding) -> NDArray[np.float32]:
    """Integers from ``-most`` to ``most``: truncated, or rounded to nearest even; larger ones saturate."""
    integers = np.trunc(values) if rounding == "truncate" else np.rint(values)
    return np.clip(integers, -most, most, dtype=np.float32)
