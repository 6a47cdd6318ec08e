"""Anda format: groups of FP16 values with a shared exponent, and mantissas of 1 to 16 bits stored as bit-planes.

Source: Fang et al., "Anda: Unlocking Efficient LLM Inference with a Variable-Length Grouped Activation Data Format",
HPCA 2025 (arXiv 2411.15982), section III.
"""

import dataclasses
import io
import math
from dataclasses import dataclass
from typing import IO, ClassVar, get_args

import numpy as np
from numpy.typing import NDArray

from ..checks import check_array, check_choice, check_float16, check_integer
from ..documents.border import border
from ..errors import InputError
from ..latency.elements import pe_cycles_per_group
from ..numeric.alignment import EXPONENT_OFFSET, GROUP_SIZE, MAX_MANTISSA_BITS
from ..options import Nonfinite, Reconstruct, Rounding
from . import bitplanes
from . import serialization as image
from .codec import Words, decode_rows, encode_rows

GROUP_SIZES = (8, 16, 32, 64, 128)
EXPONENT_BITS = 5
MAX_MASK_ROWS = 64


@dataclass(frozen=True)
class AndaFormat:
    """Parameters of an Anda tensor.

    Parameters
    ----------
    mantissa_bits
        M, 1 to 16, counted from the hidden bit of the group's largest element.
    group_size
        G, the number of channels that share an exponent: 8, 16, 32, 64 or 128.
    rounding
        ``"truncate"`` cuts the mantissa bits past M, as in the paper. ``"nearest"`` rounds the aligned significand to
        nearest even, saturating at ``2^M - 1``.
    nonfinite
        Treatment of infinities and NaN: ``"raise"`` an `InputError` that names the first one, or ``"saturate"`` to the
        largest finite magnitude with the same sign, as the circuit does.
    reconstruct
        Value of a mantissa m in `AndaTensor.decode` and in the GeMM. ``"truncate"`` takes m. ``"midpoint"`` takes
        ``m + 1/2`` where m > 0: the middle of the interval that truncation maps to m, so use it with
        ``rounding="truncate"``. This is an option of this project, not of the paper.
    mask_rows
        Number of tokens that share a plane mask, at most 64; 0 for no masks. With masks, the array skips planes that
        are zero in all these tokens (see `anda_codesign.formats.anda.plane_mask`). Values do not depend on it. This is
        an option of this project, too.

    Raises
    ------
    InputError
        A parameter is out of range.
    """

    name: ClassVar[str] = "anda"
    source: ClassVar[str] = "Fang et al., HPCA 2025 (arXiv 2411.15982), section III"
    bit_planes: ClassVar[bool] = True
    lane_groups: ClassVar[bool] = True

    mantissa_bits: int
    group_size: int = GROUP_SIZE
    rounding: Rounding = "truncate"
    nonfinite: Nonfinite = "raise"
    reconstruct: Reconstruct = "truncate"
    mask_rows: int = 0

    def __post_init__(self) -> None:
        check_integer("mantissa_bits", self.mantissa_bits, 1, MAX_MANTISSA_BITS)
        check_choice("group_size", self.group_size, GROUP_SIZES)
        check_choice("rounding", self.rounding, get_args(Rounding))
        check_choice("nonfinite", self.nonfinite, get_args(Nonfinite))
        check_choice("reconstruct", self.reconstruct, get_args(Reconstruct))
        check_integer("mask_rows", self.mask_rows, 0, MAX_MASK_ROWS)

    @property
    def parameters(self) -> dict[str, int | str]:
        """Parameters by name, as `activation_format` takes them."""
        return dataclasses.asdict(self)

    @property
    def bits_per_value(self) -> float:
        """Storage of one value in bits: sign, mantissa, and shares of the 5-bit exponent and of a plane mask if any."""
        mask_bits = (self.mantissa_bits - 1) / self.mask_rows if self.mask_rows else 0
        return self.mantissa_bits + 1 + (EXPONENT_BITS + mask_bits) / self.group_size

    @property
    def shared_bits(self) -> int:
        """Bits of a group's exponent."""
        return EXPONENT_BITS

    @property
    def cycles_per_group(self) -> int:
        """Cycles of a bit-serial processing element for one group; fewer if it skips planes."""
        return pe_cycles_per_group(self.mantissa_bits)

    def groups(self, channels: int) -> int:
        """Number of groups for ``channels`` values; the last group may be padded with zeros."""
        return -(-channels // self.group_size)

    def encode(self, x: NDArray[np.float16]) -> "AndaTensor":
        """Encode float16 ``[..., channels]``, grouped along the last axis; a short last group is padded with +0.

        Raises
        ------
        InputError
            ``x`` is not float16, has no channels, or (``nonfinite="raise"``) holds an infinity or NaN.
        """
        check_float16("x", x)
        *leading, channels = x.shape
        groups = (*leading, self.groups(channels))
        rows = np.ascontiguousarray(x).view(np.uint16).reshape(-1, channels)
        words, nonfinite = encode_rows(rows, self.group_size, self.mantissa_bits, self.rounding)
        if nonfinite and self.nonfinite == "raise":
            index = tuple(int(i) for i in np.argwhere(~np.isfinite(x))[0])
            raise InputError(f'x: element {index} is {x[index]}; remove it or encode with nonfinite="saturate"')
        axis = bitplanes.word_axis(self.group_size)
        signs = words.signs.reshape(*groups, *axis)
        planes = words.planes.reshape(*groups, self.mantissa_bits, *axis)
        return AndaTensor(self, x.shape, signs, planes, words.exponents.reshape(groups), nonfinite)


@dataclass(frozen=True, eq=False)
class AndaTensor:
    """Tensor in the Anda format, as memory words.

    Attributes
    ----------
    format
        The format; ``M`` is its number of mantissa bits.
    shape
        ``(..., channels)``, without padding.
    signs
        uint64 ``[..., groups]``: bit i is the sign of element i of the group, 1 for negative.
    planes
        uint64 ``[..., groups, M]``: bit-planes of the mantissas, most significant first.
    exponents
        uint8 ``[..., groups]``: shared exponents, 1 to 30.
    saturated
        True if the encoder replaced an infinity or NaN.

    For groups of 128, ``signs`` and ``planes`` have a trailing axis of two words. The value of an element is
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
        check_array("signs", self.signs, np.uint64, (*groups, *words))
        check_array("planes", self.planes, np.uint64, (*groups, self.format.mantissa_bits, *words))
        check_array("exponents", self.exponents, np.uint8, groups)

    def mantissas(self) -> NDArray[np.uint16]:
        """Unsigned mantissas with padding: uint16 ``[..., groups, group_size]``."""
        return bitplanes.unpack_planes(self.planes, self.format.group_size)

    def signed_integers(self) -> NDArray[np.int32]:
        """Signed integers of the GeMM's dot products with padding: int32 ``[..., groups, group_size]``.

        They are the signed mantissas, in units of ``2^unit_exponents()``. With midpoint reconstruction, a mantissa
        m > 0 becomes ``2 m + 1``, in units of half the size.
        """
        mantissas = self.mantissas().astype(np.int32)
        if self.format.reconstruct == "midpoint":
            mantissas = 2 * mantissas + (mantissas > 0)
        return np.where(bitplanes.unpack_bits(self.signs, self.format.group_size) == 1, -mantissas, mantissas)

    def unit_exponents(self) -> NDArray[np.int32]:
        """Exponent of the power of two that is one unit of `signed_integers`: int32 ``[..., groups]``."""
        half = self.format.reconstruct == "midpoint"
        return self.exponents.astype(np.int32) - (EXPONENT_OFFSET + self.format.mantissa_bits + half)

    def decode(self) -> NDArray[np.float16]:
        """Decode to float16 of shape ``shape``; a negative element with mantissa 0 becomes -0.

        With ``reconstruct="truncate"``, every tensor that `AndaFormat.encode` made decodes exactly. Bits that FP16
        cannot hold are cut off: this is the half of ``m + 1/2`` for M of 11 or more, and nothing for M <= 10. So
        encoding the result again, with truncation, gives the same words.
        """
        group_size, axis = self.format.group_size, bitplanes.word_axis(self.format.group_size)
        words = Words(
            self.signs.reshape(-1, *axis),
            self.planes.reshape(-1, self.format.mantissa_bits, *axis),
            self.exponents.reshape(-1),
        )
        patterns = decode_rows(words, group_size, self.shape[-1], self.format.reconstruct == "midpoint")
        return patterns.view(np.float16).reshape(self.shape)

    def as_matrix(self) -> "AndaTensor":
        """View of the tensor with joined leading axes: shape ``(tokens, channels)``."""
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
        """View of a slice of the first axis."""
        exponents = self.exponents[rows]
        shape = (len(exponents), *self.shape[1:])
        return dataclasses.replace(
            self, shape=shape, signs=self.signs[rows], planes=self.planes[rows], exponents=exponents
        )

    def to_bytes(self) -> bytes:
        """Memory image with header and checksum (layout: `anda_codesign.formats.anda.serialization`)."""
        file = io.BytesIO()
        self.write(file)
        return file.getvalue()

    def write(self, file: IO[bytes]) -> None:
        """Write the memory image of `to_bytes` to a file, part by part: memory holds no copy of it."""
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
        image.write(file, header, self.signs, self.planes, self.exponents)

    @classmethod
    def from_bytes(cls, data: bytes) -> "AndaTensor":
        """Read a memory image that `to_bytes` wrote.

        Raises
        ------
        InputError
            The bytes are not such an image, or are truncated or damaged.
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
        with border(
            f"data: has a header that no tensor fits, with shape {header.shape[:4]}", "it is damaged, write it again"
        ):
            return cls(fmt, header.shape, *image.read_memories(header, data), bool(header.saturated))
