"""The Anda format: FP16 values in groups that share an exponent, with mantissas of 1 to 16 bits stored as bit-planes.

Source: Fang et al., "Anda: Unlocking Efficient LLM Inference with a Variable-Length Grouped Activation Data Format",
HPCA 2025 (arXiv 2411.15982), section III.
"""

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, ClassVar, get_args

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..latency.elements import pe_cycles_per_group
from ..numeric.alignment import EXPONENT_OFFSET, GROUP_SIZE, MAX_MANTISSA_BITS
from ..options import Nonfinite, Reconstruct, Rounding
from . import bitplanes
from . import serialization as image
from .codec import Words, decode_groups, encode_groups

GROUP_SIZES = (8, 16, 32, 64, 128)
EXPONENT_BITS = 5
MAX_MASK_ROWS = 64


@dataclass(frozen=True)
class AndaFormat:
    """The parameters of an Anda tensor.

    Parameters
    ----------
    mantissa_bits
        M, 1 to 16, counted from the hidden-bit position of the group's largest element.
    group_size
        G, the channels that share an exponent: 8, 16, 32, 64 or 128.
    rounding
        ``"truncate"`` cuts the mantissa bits past M, as the circuit does; ``"nearest"`` rounds the aligned significand
        to nearest even, saturating at ``2^M - 1``.
    nonfinite
        What `encode` does with infinities and NaN: ``"raise"`` an `InputError` that names the first one, or
        ``"saturate"`` to the largest finite magnitude with the same sign, as the circuit does.
    reconstruct
        ``"truncate"`` takes a mantissa m for what it says; ``"midpoint"`` takes ``m + 1/2`` where m > 0 (the middle of
        the interval that truncation maps to m, so it is meant for ``rounding="truncate"``), in `AndaTensor.decode` and
        in the GeMM. It is this project's option, not the paper's.
    mask_rows
        Tokens whose planes share a plane mask, with which the array skips planes that are zero in all of them (see
        `anda_codesign.formats.anda.plane_mask`): the array's rows, at most 64. 0: no masks. Values do not depend on it. It is
        this project's option, too.

    Raises
    ------
    InputError
        A parameter is out of its range.
    """

    name: ClassVar[str] = "anda"
    source: ClassVar[str] = "Fang et al., HPCA 2025 (arXiv 2411.15982), section III"

    mantissa_bits: int
    group_size: int = GROUP_SIZE
    rounding: Rounding = "truncate"
    nonfinite: Nonfinite = "raise"
    reconstruct: Reconstruct = "truncate"
    mask_rows: int = 0

    def __post_init__(self) -> None:
        _require_choice("mantissa_bits", self.mantissa_bits, range(1, MAX_MANTISSA_BITS + 1), "an integer from 1 to 16")
        _require_choice("group_size", self.group_size, GROUP_SIZES)
        _require_choice("rounding", self.rounding, get_args(Rounding))
        _require_choice("nonfinite", self.nonfinite, get_args(Nonfinite))
        _require_choice("reconstruct", self.reconstruct, get_args(Reconstruct))
        _require_choice("mask_rows", self.mask_rows, range(MAX_MASK_ROWS + 1), "an integer from 0 to 64")

    @property
    def parameters(self) -> dict[str, int | str]:
        """The fields, by name."""
        return dataclasses.asdict(self)

    @property
    def bits_per_value(self) -> float:
        """Storage of one value: sign, mantissa, its share of the group's 5-bit exponent, and of a plane mask if any."""
        mask_bits = (self.mantissa_bits - 1) / self.mask_rows if self.mask_rows else 0
        return self.mantissa_bits + 1 + (EXPONENT_BITS + mask_bits) / self.group_size

    @property
    def cycles_per_group(self) -> int:
        """Cycles that a bit-serial processing element takes for one group, at most if it skips planes."""
        return pe_cycles_per_group(self.mantissa_bits)

    def groups(self, channels: int) -> int:
        """Groups that hold ``channels`` values; the last one may be padded with zeros."""
        return -(-channels // self.group_size)

    def encode(self, x: NDArray[np.float16]) -> "AndaTensor":
        """Encode float16 ``[..., channels]``, grouped along the last axis; a short last group is padded with +0.

        Raises
        ------
        InputError
            ``x`` is not float16, has no channels, or (``nonfinite="raise"``) holds an infinity or NaN.
        """
        _require_float16(x)
        *leading, channels = x.shape
        groups = (*leading, self.groups(channels))
        patterns = np.ascontiguousarray(x).view(np.uint16)
        if padding := -channels % self.group_size:
            patterns = np.pad(patterns, [(0, 0)] * len(leading) + [(0, padding)])
        words, nonfinite = encode_groups(patterns.reshape(-1, self.group_size), self.mantissa_bits, self.rounding)
        if nonfinite and self.nonfinite == "raise":
            index = tuple(int(i) for i in np.argwhere(~np.isfinite(x))[0])
            raise InputError(f'x: element {index} is {x[index]}; remove it or encode with nonfinite="saturate"')
        axis = bitplanes.word_axis(self.group_size)
        signs = words.signs.reshape(*groups, *axis)
        planes = words.planes.reshape(*groups, self.mantissa_bits, *axis)
        return AndaTensor(self, x.shape, signs, planes, words.exponents.reshape(groups), nonfinite)


@dataclass(frozen=True, eq=False)
class AndaTensor:
    """A tensor in the Anda format, as its memory words.

    Attributes
    ----------
    format
        Its parameters; ``M`` and ``G`` below are its mantissa bits and group size.
    shape
        ``(..., channels)``, the true length of the channel axis.
    signs
        uint64 ``[..., groups]``: bit i is the sign of element i of the group (1 is negative).
    planes
        uint64 ``[..., groups, M]``: the mantissas' bit-planes, most significant first.
    exponents
        uint8 ``[..., groups]``: the shared exponents, 1 to 30.
    saturated
        Sticky flag: the encoder replaced an infinity or NaN.

    Groups of 128 add a trailing axis of two words to ``signs`` and ``planes``. The value of an element is
    ``(-1)^sign * mantissa * 2^(exponent - 14 - M)``.
    """

    format: AndaFormat
    shape: tuple[int, ...]
    signs: NDArray[np.uint64]
    planes: NDArray[np.uint64]
    exponents: NDArray[np.uint8]
    saturated: bool = False

    def __post_init__(self) -> None:
        if not self.shape or self.shape[-1] < 1:
            raise InputError(f"shape: {self.shape} has no channels; give (..., channels)")
        groups = (*self.shape[:-1], self.format.groups(self.shape[-1]))
        words = bitplanes.word_axis(self.format.group_size)
        _require_array("signs", self.signs, np.uint64, (*groups, *words))
        _require_array("planes", self.planes, np.uint64, (*groups, self.format.mantissa_bits, *words))
        _require_array("exponents", self.exponents, np.uint8, groups)

    def mantissas(self) -> NDArray[np.uint16]:
        """Unsigned mantissas of all groups, padding included: uint16 ``[..., groups, group_size]``."""
        return bitplanes.unpack_planes(self.planes, self.format.group_size)

    def signed_integers(self) -> NDArray[np.int32]:
        """The integers of the GeMM's dot products: int32 ``[..., groups, group_size]``, padding included.

        Signed mantissas, whose unit is ``2^unit_exponents()``. Midpoint reconstruction doubles them and moves those
        that are not zero by one, away from zero: ``2 m + 1``, in a unit of half the size.
        """
        mantissas = self.mantissas().astype(np.int32)
        if self.format.reconstruct == "midpoint":
            mantissas = 2 * mantissas + (mantissas > 0)
        return np.where(bitplanes.unpack_bits(self.signs, self.format.group_size) == 1, -mantissas, mantissas)

    def unit_exponents(self) -> NDArray[np.int32]:
        """The power of two that one unit of `signed_integers` stands for: int32 ``[..., groups]``."""
        half = self.format.reconstruct == "midpoint"
        return self.exponents.astype(np.int32) - (EXPONENT_OFFSET + self.format.mantissa_bits + half)

    def decode(self) -> NDArray[np.float16]:
        """The values as float16, of shape ``shape``; a negative element whose mantissa is 0 becomes -0.

        Every tensor that `AndaFormat.encode` made decodes exactly with ``reconstruct="truncate"``. Bits that FP16's
        11-bit significand and least exponent cannot hold are cut off, as everywhere in this format: that is the half of
        ``m + 1/2`` where M is 11 or more, and nothing at M <= 10. So encoding the result again, by truncation, gives
        the same words.
        """
        group_size, axis = self.format.group_size, bitplanes.word_axis(self.format.group_size)
        words = Words(
            self.signs.reshape(-1, *axis),
            self.planes.reshape(-1, self.format.mantissa_bits, *axis),
            self.exponents.reshape(-1),
        )
        patterns = decode_groups(words, group_size, self.format.reconstruct == "midpoint")
        *leading, groups = self.exponents.shape
        decoded = patterns.view(np.float16).reshape(*leading, groups * group_size)[..., : self.shape[-1]]
        return np.ascontiguousarray(decoded)

    def as_matrix(self) -> "AndaTensor":
        """The same tensor with its leading axes joined: shape ``(tokens, channels)``, sharing the arrays."""
        tokens, groups = math.prod(self.shape[:-1]), self.exponents.shape[-1]
        axis = bitplanes.word_axis(self.format.group_size)
        return dataclasses.replace(
            self,
            shape=(tokens, self.shape[-1]),
            signs=self.signs.reshape(tokens, groups, *axis),
            planes=self.planes.reshape(tokens, groups, self.format.mantissa_bits, *axis),
            exponents=self.exponents.reshape(tokens, groups),
        )

    def take(self, rows: slice) -> "AndaTensor":
        """The part of the tensor that a slice of the first axis selects, sharing the arrays."""
        exponents = self.exponents[rows]
        shape = (len(exponents), *self.shape[1:])
        return dataclasses.replace(
            self, shape=shape, signs=self.signs[rows], planes=self.planes[rows], exponents=exponents
        )

    def to_bytes(self) -> bytes:
        """The memory image: header, mantissa memory, exponent memory, checksum (see `anda_codesign.formats.anda.serialization`)."""
        header = image.Header(
            mantissa_bits=self.format.mantissa_bits,
            group_size=self.format.group_size,
            rounding=image.ROUNDING_CODES[self.format.rounding],
            nonfinite=image.NONFINITE_CODES[self.format.nonfinite],
            reconstruct=image.RECONSTRUCT_CODES[self.format.reconstruct],
            saturated=int(self.saturated),
            shape=self.shape,
            mask_rows=self.format.mask_rows,
        )
        return image.write(header, self.signs, self.planes, self.exponents)

    @classmethod
    def from_bytes(cls, data: bytes) -> "AndaTensor":
        """Read a memory image that `to_bytes` wrote.

        Raises
        ------
        InputError
            The bytes are truncated or damaged, or are no such image.
        """
        header = image.read_header(data)
        fmt = AndaFormat(
            mantissa_bits=header.mantissa_bits,
            group_size=header.group_size,
            rounding=image.option(image.ROUNDING_CODES, header.rounding),
            nonfinite=image.option(image.NONFINITE_CODES, header.nonfinite),
            reconstruct=image.option(image.RECONSTRUCT_CODES, header.reconstruct),
            mask_rows=header.mask_rows,
        )
        return cls(fmt, header.shape, *image.read_memories(header, data), bool(header.saturated))


def _require_choice(name: str, value: object, choices: range | tuple[Any, ...], hint: str = "") -> None:
    if isinstance(value, bool | float) or value not in choices:
        hint = hint or "one of " + ", ".join(str(choice) for choice in choices)
        raise InputError(f"{name}: {value!r} is not valid; choose {hint}")


def _require_float16(x: NDArray[np.float16]) -> None:
    if getattr(x, "dtype", None) != np.float16:
        found = getattr(x, "dtype", type(x).__name__)
        raise InputError(f"x: is {found}, not a float16 array; convert it with numpy.asarray(x, numpy.float16)")
    if x.ndim == 0 or x.shape[-1] == 0:
        raise InputError(f"x: shape {x.shape} has no channels; give an array of shape [..., channels]")


def _require_array(name: str, array: NDArray[Any], dtype: type, shape: tuple[int, ...]) -> None:
    if array.dtype != dtype or array.shape != shape:
        expected = f"{np.dtype(dtype)} {list(shape)}"
        raise InputError(f"{name}: is {array.dtype} {list(array.shape)}; the format and shape need {expected}")
