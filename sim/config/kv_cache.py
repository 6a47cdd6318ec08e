"""Storage format of the key/value cache."""

from dataclasses import dataclass
from typing import Literal, Self

from ...formats import InputError
from ...formats.numeric.alignment import MAX_MANTISSA_BITS, SIGNIFICAND_BITS
from .architecture import Architecture


@dataclass(frozen=True, slots=True)
class KvCache:
    """How keys and values are stored, and with how many mantissa bits the attention computes."""

    format: Literal["fp16", "anda"] = "fp16"
    mantissa_bits: int = SIGNIFICAND_BITS

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``fp16`` or ``anda:M``.

        >>> KvCache.parse("anda:7")
        KvCache(format='anda', mantissa_bits=7)

        Raises
        ------
        InputError
            The text has another form, or M is out of range.
        """
        if text == "fp16":
            return cls()
        name, _, bits = text.partition(":")
        if name != "anda" or not bits.isdecimal() or not 1 <= int(bits) <= MAX_MANTISSA_BITS:
            raise InputError(f"kv_cache: {text!r} is unknown; use fp16, or anda:M with M from 1 to {MAX_MANTISSA_BITS}")
        return cls("anda", int(bits))

    def check(self, architecture: Architecture) -> None:
        """Check that an architecture can store this format.

        Raises
        ------
        InputError
            The format is Anda and the architecture has no compressor.
        """
        if self.format == "anda" and architecture.compressor is None:
            raise InputError(f"kv_cache: {architecture.name} has no compressor for Anda; use fp16")

    def __str__(self) -> str:
        return "fp16" if self.format == "fp16" else f"anda:{self.mantissa_bits}"
