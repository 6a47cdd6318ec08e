"""The attention's products: queries with keys, probabilities with values, on the same array.

FP-FP multiplies FP16 by FP16 and runs them as they are. The other arrays multiply by INT4: there a key or value is taken
as a sign and mantissa of `bits`, sharing exponents along the reduction as activations do, and passes as 4-bit digits, one
after the other, at the cycles of a group each. With a FP16 cache that is 11 bits, which keeps the largest of a group
exact, and three digits. The publication leaves the attention out; this is the project's choice.

The query heads that share a key/value head form the rows of one product. Strips of 16 rows skip the tiles of keys that
the causal mask hides from all of them. Scores stay on chip: the softmax runs along as the keys pass.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..formats import InputError
from ..formats.bfp import SIGNIFICAND_BITS
from ..formats.int4 import BITS as INT4_BITS
from ..workloads import ModelShape
from ..workloads.gemms import FP16_BITS
from .architecture import Architecture
from .closed import SramBits


@dataclass(frozen=True, slots=True)
class KvCache:
    """How keys and values are stored, and with how many mantissa bits the attention computes."""

    format: str = "fp16"
    """``fp16`` or ``anda``."""
    mantissa_bits: int = SIGNIFICAND_BITS

    @classmethod
    def parse(cls, text: str, architecture: Architecture) -> "KvCache":
        """Read ``fp16`` or ``anda:M``.

        Raises:
            InputError: the text is neither, or the architecture has no compressor for Anda.
        """
        if text == "fp16":
            return cls()
        name, _, bits = text.partition(":")
        if name != "anda" or not bits.isdecimal() or not 1 <= int(bits) <= FP16_BITS:
            raise InputError(f"kv_cache: {text!r} is unknown; write fp16 or anda:M with M from 1 to 16")
        if architecture.compressor is None:
            raise InputError(f"kv_cache: {architecture.name} has no compressor; use fp16")
        return cls("anda", int(bits))


@dataclass(frozen=True, slots=True)
class AttentionWork:
    """Both products of one layer, all heads and sequences."""

    macs: int
    rows: int
    """Query rows: tokens times heads."""
    scores: int
    """Scores that the mask leaves."""
    groups: int
    """Groups of the reductions of all tiles; with digits, each takes as many passes."""
    array_cycles: int
    element_cycles: int
    dram_bits: int
    sram: SramBits


def attention_work(
    shape: ModelShape,
    architecture: Architecture,
    cache: KvCache,
    tokens: int,
    context: int,
    batch: int,
    output_mantissa_bits: int,
) -> AttentionWork:
    """Count one layer.

    Args:
        shape: the model.
        architecture: the machine.
        cache: format of the keys and values.
        tokens: new tokens of each sequence; token i sees `context` + i + 1 keys.
        context: cached tokens of each sequence.
        batch: sequences.
        output_mantissa_bits: M to which the outputs are compressed, where activations are Anda.
    """
    heads, shared = batch * shape.kv_heads, shape.heads // shape.kv_heads
    head = _Head(shape.head_dim, tokens * shared, context + tokens, architecture, cache)
    strips = np.arange(0, head.rows, architecture.array.rows)
    last_rows = np.minimum(strips + architecture.array.rows, head.rows) - 1
    keys_seen = context + last_rows // shared + 1
    seen = shared * (tokens * context + tokens * (tokens + 1) // 2)
    tiles = head.group_tiles(keys_seen)
    array_cycles, element_cycles = head.group_cycles()
    fetched, cached = head.query_bits, head.cached_bits()
    output_bits = head.rows * architecture.token_bits(shape.head_dim, output_mantissa_bits)
    return AttentionWork(
        macs=heads * 2 * seen * shape.head_dim,
        rows=heads * head.rows,
        scores=heads * seen,
        groups=heads * tiles,
        array_cycles=heads * tiles * array_cycles,
        element_cycles=heads * tiles * element_cycles,
        dram_bits=heads * (fetched + cached + output_bits),
        sram=SramBits(
            activation_reads=heads * (head.activation_reads(keys_seen) + output_bits),
            activation_writes=heads * (head.activation_writes(keys_seen) + fetched + output_bits),
            weight_reads=heads * 2 * int(keys_seen.sum()) * head.row_bits,
            weight_writes=heads * cached,
        ),
    )


@dataclass(frozen=True, slots=True)
class _Head:
    """The products of one key/value head of one sequence, with the queries of all heads that share it."""

    channels: int
    rows: int
    keys: int
    architecture: Architecture
    cache: KvCache

    def group_tiles(self, keys_seen: NDArray[np.int64]) -> int:
        """Groups of all tiles of both products, for strips of rows that see so many keys."""
        columns, group = self.architecture.array.columns, self.architecture.group_size
        scores = -(-keys_seen // columns) * -(-self.channels // group)
        values = -(-self.channels // columns) * -(-keys_seen // group)
        return int(scores.sum() + values.sum())

    def group_cycles(self) -> tuple[int, int]:
        """Cycles of the array, and of working elements, for one group and all digits of the key or value."""
        element, bits = self.architecture.processing_element, self.cache.mantissa_bits
        digits = 1 if element.weight_operand == "fp16" else -(-(bits + 1) // INT4_BITS)
        used = bits if element.mantissa_bits == "variable" else element.mantissa_bits
        return digits * self.architecture.array_cycles_per_group(used), digits * element.element_cycles(used)

    @property
    def row_bits(self) -> int:
        """Stored bits of a query, a key or a value."""
        return self._stored(self.channels)

    def _stored(self, channels: int) -> int:
        return self.architecture.token_bits(channels, self.cache.mantissa_bits if self.cache.format == "anda" else None)

    @property
    def query_bits(self) -> int:
        """Queries from DRAM."""
        return self.rows * self.row_bits

    def cached_bits(self) -> int:
        """Keys and values from DRAM: once if they fit their buffer, or else for each tile of queries."""
        cached = 2 * self.keys * self.row_bits
        if cached <= self.architecture.weight_buffer.capacity_bytes * 8:
            return cached
        resident = max(self.architecture.activation_buffer.capacity_bytes * 8 // (2 * self.row_bits), 1)
        return -(-self.rows // resident) * cached

    def activation_reads(self, keys_seen: NDArray[np.int64]) -> int:
        """Queries and probabilities for each tile of the array; scores once, in FP16, for the softmax."""
        columns = self.architecture.array.columns
        queries = self.row_bits * -(-keys_seen // columns)
        probabilities = keys_seen * -(-self.channels // columns) * self._probability_bits
        return int((self._strip * (queries + probabilities + keys_seen * FP16_BITS)).sum())

    def activation_writes(self, keys_seen: NDArray[np.int64]) -> int:
        """Scores in FP16, and the probabilities that the softmax makes of them."""
        return int((self._strip * keys_seen * (FP16_BITS + self._probability_bits)).sum())

    @property
    def _strip(self) -> int:
        return min(self.architecture.array.rows, self.rows)

    @property
    def _probability_bits(self) -> float:
        return self._stored(self.architecture.group_size) / self.architecture.group_size
