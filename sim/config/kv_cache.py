"""Storage format of the key/value cache."""

from dataclasses import dataclass, replace
from typing import Self

from ...formats import InputError
from ...formats.activations.registry import registry
from ...formats.activations.stored import StoredFormat
from ...formats.latency.elements import pe_cycles_per_group
from ...formats.named_format import OPEN, NamedFormat
from ...formats.numeric.alignment import MAX_MANTISSA_BITS, SIGNIFICAND_BITS
from .architecture import Architecture

FIELD = "kv_cache"
PLAIN = NamedFormat.parse("fp16", FIELD)


@dataclass(frozen=True, slots=True)
class KvCache:
    """How keys and values are stored, and with how many mantissa bits the attention computes."""

    format: NamedFormat = PLAIN

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read an activation format: ``fp16``, ``mxfp8-e4m3``, ``my-format bits=6``; ``anda:M`` is short for ``anda mantissa_bits=M``.

        >>> str(KvCache.parse("anda:7"))
        'anda:7'

        Raises
        ------
        InputError
            There is no such format, or it leaves its mantissa bits open.
        """
        name, colon, bits = text.partition(":")
        if (name not in registry.names() and len(text.split()) < 2) or (colon and not bits.isdecimal()):
            raise InputError(
                f"kv_cache: {text!r} is unknown; use fp16, anda:M with M from 1 to {MAX_MANTISSA_BITS}, or another activation format, "
                "such as mxfp8-e4m3"
            )
        named = NamedFormat(text, name, ((OPEN, int(bits)),), field=FIELD) if colon else NamedFormat.parse(text, FIELD)
        if named.is_open:
            raise InputError(f"kv_cache: {text!r} has no mantissa bits; give them, such as {name}:7")
        named.longest(lanes=64)
        return cls(named)

    def stored(self, architecture: Architecture) -> StoredFormat:
        """Keys and values in the memory of an architecture."""
        return self.format.stored(1, architecture.group_size)

    def operand_bits(self, architecture: Architecture) -> int:
        """Mantissa bits of a key or a value in the array: 11 keep the largest value of a group exact where they are FP16."""
        stored = self.stored(architecture)
        return stored.mantissa_bits if stored.needs_compressor else min(stored.mantissa_bits, SIGNIFICAND_BITS)

    def queries(self, architecture: Architecture) -> StoredFormat:
        """Queries as the array takes them: of FP16 ones, as many planes as keys have, where its elements take any number."""
        stored = self.stored(architecture)
        if stored.needs_compressor or architecture.processing_element.mantissa_bits != "variable":
            return stored
        bits = self.operand_bits(architecture)
        return replace(stored, mantissa_bits=bits, cycles=pe_cycles_per_group(bits))

    def datapath_bits(self, architecture: Architecture) -> int:
        """`mantissa_bits` that set an element's cycles for queries in this format."""
        return architecture.datapath_bits(self.queries(architecture))

    def check(self, architecture: Architecture) -> None:
        """Check that an architecture can store this format.

        Raises
        ------
        InputError
            The format needs a compressor and the architecture has none.
        """
        if self.stored(architecture).needs_compressor and architecture.compressor is None:
            raise InputError(f"kv_cache: {architecture.name} has no compressor for {self}; use fp16")

    def __str__(self) -> str:
        return self.format.text
