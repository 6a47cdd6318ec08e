"""What every activation format answers, and the rules that the comparison formats share.

A format is a frozen value object. ``fmt.encode(x)`` takes float16 ``[..., channels]`` and groups along the last axis;
the tensor that it returns decodes to the values that a processing element would work with. The Anda format keeps the
same protocol, so that a study can put any format in any place.

Two counts make formats comparable:

* ``bits_per_value``: storage in memory, shared exponents and scales included. What a whole tensor shares (Flexpoint's
  exponent, the FP32 scale of NVFP4) vanishes in the average and is left out.
* ``cycles_per_group``: cycles of one processing element for 64 activations against 4-bit weights. The scale is that of
  the Anda paper (arXiv 2411.15982, section V): a 16-bit datapath takes 16 cycles, and a design of equal area with
  ``n``-bit operands takes ``n``, as the published speedups of FIGNA-M11 (16/11) and FIGNA-M8 (16/8) are counted.
"""

from typing import Any, ClassVar, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..latency.elements import FP16_GROUP_CYCLES
from ..options import Rounding

Parameters = dict[str, int | str]

LEAST_NORMAL_EXPONENT = -14
"""The exponent of FP16's subnormals and smallest normal numbers: the field is 1 or, for subnormals, counts as 1."""

LEAST_EXPONENT = -24
"""The exponent of FP16's smallest subnormal number, normalised."""


class ActivationTensor(Protocol):
    """An encoded tensor."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the array that was encoded."""
        ...

    def decode(self) -> NDArray[np.float16] | NDArray[np.float32]:
        """The values, of shape ``shape``: float16 where FP16 holds all that the format can give, otherwise float32."""
        ...


class ActivationFormat(Protocol):
    """A number format for activations.

    Attributes
    ----------
    name
        The name in the registry: ``activation_format(name, **parameters)`` builds an equal object.
    source
        Where the format is defined.
    """

    name: ClassVar[str]
    source: ClassVar[str]

    @property
    def parameters(self) -> Parameters:
        """The fields, by name."""
        ...

    @property
    def bits_per_value(self) -> float:
        """Storage of one value in memory, in bits."""
        ...

    @property
    def cycles_per_group(self) -> int:
        """Cycles of one processing element for 64 activations against 4-bit weights."""
        ...

    def encode(self, x: NDArray[np.float16]) -> ActivationTensor:
        """Encode float16 ``[..., channels]``; raises `InputError` for another dtype, no channels, infinities, NaN."""
        ...


def bit_parallel_cycles(operand_bits: int) -> int:
    """Cycles for 64 activations of ``operand_bits`` bits on a bit-parallel datapath of the 16-bit baseline's area."""
    return FP16_GROUP_CYCLES * operand_bits // 16


def require_integer(name: str, value: object, least: int, most: int) -> None:
    """Raise `InputError` unless ``value`` is an integer from ``least`` to ``most``."""
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise InputError(f"{name}: {value!r} is not valid; choose an integer from {least} to {most}")


def require_choice(name: str, value: object, choices: tuple[Any, ...]) -> None:
    """Raise `InputError` unless ``value`` is one of ``choices``."""
    if isinstance(value, bool) or value not in choices:
        raise InputError(f"{name}: {value!r} is not valid; choose one of {', '.join(map(str, choices))}")


def require_grouping(group_size: object, rounding: object) -> None:
    """Check the two parameters that most block formats have."""
    require_integer("group_size", group_size, 1, 65536)
    require_choice("rounding", rounding, get_args(Rounding))


def require_activations(x: NDArray[np.float16]) -> None:
    """Raise `InputError` unless ``x`` is a finite float16 array with channels."""
    if getattr(x, "dtype", None) != np.float16:
        found = getattr(x, "dtype", type(x).__name__)
        raise InputError(f"x: is {found}, not a float16 array; convert it with numpy.asarray(x, numpy.float16)")
    if x.ndim == 0 or x.shape[-1] == 0:
        raise InputError(f"x: shape {x.shape} has no channels; give an array of shape [..., channels]")
    nonfinite = ~np.isfinite(x)
    if nonfinite.any():
        index = tuple(int(i) for i in np.unravel_index(int(nonfinite.argmax()), x.shape))
        raise InputError(
            f"x: element {index} is {x[index]}; remove or replace it, this format holds finite values only"
        )


def split_groups(x: NDArray[np.float16], group_size: int) -> NDArray[np.float32]:
    """Checked activations as float32 ``[..., groups, group_size]``; a short last group is padded with +0."""
    require_activations(x)
    padding = -x.shape[-1] % group_size
    padded = np.pad(x, [(0, 0)] * (x.ndim - 1) + [(0, padding)]) if padding else x
    return padded.reshape(*x.shape[:-1], padded.shape[-1] // group_size, group_size).astype(np.float32)


def join_groups(groups: NDArray[Any], shape: tuple[int, ...], group_size: int) -> NDArray[Any]:
    """Inverse of `split_groups`: an array of shape ``shape``, without the padding."""
    *leading, channels = shape
    return groups.reshape(*leading, channels + -channels % group_size)[..., :channels]


def group_exponents(groups: NDArray[np.float32], least: int) -> NDArray[np.int8]:
    """``floor(log2(max |x|))`` over the last axis, at least ``least``; a group of zeros has ``least``."""
    largest = np.abs(groups).max(axis=-1, initial=0)
    exponents = np.frexp(largest)[1] - 1
    return np.where(largest > 0, np.maximum(exponents, least), least).astype(np.int8)


def power_of_two(exponents: NDArray[np.integer]) -> NDArray[np.float32]:
    """``2^exponents``, exact in float32 for exponents from -126 to 127."""
    return np.ldexp(np.float32(1), exponents.astype(np.int32))


def round_to_integers(values: NDArray[np.float32], most: int, rounding: Rounding) -> NDArray[np.float32]:
    """Integers from ``-most`` to ``most``: cut toward zero, or rounded to nearest even; larger ones saturate."""
    integers = np.trunc(values) if rounding == "truncate" else np.rint(values)
    return np.clip(integers, -most, most, dtype=np.float32)
