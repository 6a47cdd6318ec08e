"""A mapping of a GeMM: tile sizes, loop order, copies of the tiles in the buffers, and the place of partial sums.

The array is output-stationary: a tile of its outputs stays in the elements while the array reduces. Reuse beyond one tile of
the array comes from the buffers. The tile that stays on chip longest names the loop order, outermost loop first:

================ ============ =================================== ==========================================
stays            partial sums loops                               tile of the reduction
================ ============ =================================== ==========================================
``activations``  array        tokens, output channels             all input channels
``weights``      array        output channels, tokens             all input channels
``nothing``      array        tokens, output channels, reduction  any; the other tiles are those of the array
``sums``         buffer       tokens, output channels, reduction  a part
``activations``  buffer       tokens, reduction, output channels  a part
``weights``      buffer       output channels, reduction, tokens  a part
================ ============ =================================== ==========================================

A stream that is one tile stays, too. The other three orders never move fewer bits and never take less room than one of these with the same tiles.

In the buffer, partial sums are FP32 and take room in the activation buffer, which also holds the results: a tile of
outputs where ``sums`` stay, else a whole row or column of tiles. They are saved after each part of the reduction but
the last, and restored before each but the first.
"""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np

from ...formats import InputError

if TYPE_CHECKING:
    from .mapped_gemm import MappedGemm

Stays = Literal["activations", "weights", "nothing", "sums"]
"""The tile that stays on chip while the others stream past it."""

PartialSums = Literal["array", "buffer"]
"""Place of the partial sums of a reduction that the array does in parts."""

FAMILIES: dict[str, tuple[Stays, ...]] = {
    "array": ("activations", "weights", "nothing"),
    "buffer": ("sums", "activations", "weights"),
}
"""Choices of the operand that stays on chip, by the place of partial sums."""

COPIES = {"single": 1, "double": 2}
PATTERN = re.compile(
    r"(activations|weights|nothing|sums):(\d+)x(\d+)x(\d+)(?::(single|double)/(single|double))?(?::(array|buffer))?",
    re.ASCII,
)
FORM = "STAYS:TOKENSxINPUTSxOUTPUTS:ACTIVATIONS/WEIGHTS:SUMS, such as activations:128x4096x64:single/double:array"


@dataclass(frozen=True, slots=True)
class GemmMapping:
    """One mapping. As a text it reads ``activations:128x4096x64:single/double:array``, and `parse` takes it back.

    Attributes
    ----------
    stays
        The tile that stays on chip longest, and so the loop order.
    tokens, in_channels, out_channels
        Tile sizes: tokens of an activation tile, input channels of both tiles, output channels of a weight tile.
    activation_copies, weight_copies
        Tiles of each operand that its buffer holds: 2 if double-buffered. A tile that stays single-buffered is replaced
        strip by strip, as the array uses it for the last time.
    partial_sums
        Place of the partial sums.
    """

    stays: Stays
    tokens: int
    in_channels: int
    out_channels: int
    activation_copies: int = 2
    weight_copies: int = 2
    partial_sums: PartialSums = "array"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the text of a mapping; buffering and place of the sums may be left out.

        >>> GemmMapping.parse("sums:240x64x1024:double/double:buffer").tokens
        240

        Raises
        ------
        InputError
            The text has another form.
        """
        if (found := PATTERN.fullmatch(text)) is None:
            raise InputError(f"mapping: {text!r} is no mapping; write {FORM}")
        stays, *sizes, activations, weights, place = found.groups()
        place = place or ("buffer" if stays == "sums" else "array")
        if stays not in FAMILIES[place]:
            raise InputError(f"mapping: {stays} cannot stay with sums in the {place}; use {', '.join(FAMILIES[place])}")
        tokens, in_channels, out_channels = map(int, sizes)
        copies = COPIES[activations or "double"], COPIES[weights or "double"]
        return cls(stays, tokens, in_channels, out_channels, *copies, place)  # pyright: ignore[reportArgumentType]

    def __str__(self) -> str:
        names = {copies: name for name, copies in COPIES.items()}
        tile = f"{self.tokens}x{self.in_channels}x{self.out_channels}"
        copies = f"{names[self.activation_copies]}/{names[self.weight_copies]}"
        return f"{self.stays}:{tile}:{copies}:{self.partial_sums}"

    @property
    def buffered_sums(self) -> bool:
        """True if partial sums leave the array."""
        return self.partial_sums == "buffer"

    @property
    def in_parts(self) -> bool:
        """True if both operands come in parts of the reduction, and no strip holds all of it."""
        return self.buffered_sums or self.stays == "nothing"

    def activation_passes(self, mapped: "MappedGemm") -> int:
        """Number of times that all activations are fetched from DRAM."""
        if self.stays == "activations" or (not self.in_parts and self.tokens == mapped.tokens):
            return 1
        passes = -(-mapped.out_channels // self.out_channels)
        return passes if mapped.holds_outputs else self._once_if(self.tokens == mapped.tokens, mapped, passes)

    def weight_passes(self, mapped: "MappedGemm") -> int:
        """Number of times that all weights are fetched from DRAM."""
        if self.stays == "weights" or (not self.in_parts and self.out_channels == mapped.out_channels):
            return 1
        passes = -(-mapped.tokens // self.tokens)
        return (
            passes if mapped.holds_outputs else self._once_if(self.out_channels == mapped.out_channels, mapped, passes)
        )

    def _once_if(self, all_there: Any, mapped: "MappedGemm", passes: Any) -> Any:
        """One pass where an operand is a single tile, which stays on chip; tile sizes may be arrays."""
        once = all_there & (self.in_channels == mapped.in_channels)
        return np.where(once, 1, passes) if isinstance(once, np.ndarray) else 1 if once else passes

    def saves(self, mapped: "MappedGemm") -> int:
        """Number of times that each output's partial sum is saved to the buffer and restored."""
        if not mapped.holds_outputs:
            return mapped.group_tiles - 1
        return -(-mapped.in_channels // self.in_channels) - 1 if self.buffered_sums else 0

    def resident_copies(self) -> int:
        """Copies of the tile that stays."""
        return self.weight_copies if self.stays == "weights" else self.activation_copies

    def replaced(self, mapped: "MappedGemm") -> bool:
        """True if the resident tile is single-buffered and followed by another."""
        whole = self.out_channels >= mapped.out_channels if self.stays == "weights" else self.tokens >= mapped.tokens
        return self.resident_copies() == 1 and not whole

    def in_place(self, mapped: "MappedGemm") -> bool:
        """True if the resident tile is a single strip, which is replaced part by part."""
        tile = mapped.tile
        strip = self.out_channels <= tile.channels if self.stays == "weights" else self.tokens <= tile.tokens
        return self.replaced(mapped) and strip
