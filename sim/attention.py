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
from ..workloads import ModelShape
from .architecture import FP16_BITS, Architecture

FP16_SIGNIFICAND_BITS = 11


@dataclass(frozen=True, slots=True)
class KvCache:
    """How keys and values are stored, and with how many mantissa bits the attention computes."""

    format: str = "fp16"
    """``fp16`` or ``anda``."""
    mantissa_bits: int = FP16_SIGNIFICAND_BITS

    @classmethod
    def parse(cls, text: str, architecture: Architecture) -> "KvCache":
        """Read ``fp16`` or ``anda:M``.

        Raises:
            InputError: the text is neither, or the architecture has no compressor for Anda.
        """
        if text == "fp16":
            return cls()
        name, _, bits = text.partition(":")
        if name != "anda" or not bits.isdigit() or not 1 <= int(bits) <= FP16_BITS:
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
    array_cycles: int
    element_cycles: int
    dram_bits: int
    sram_bits: int


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
    output_bits = head.rows * architecture.token_bits(shape.head_dim, output_mantissa_bits)
    return AttentionWork(
        macs=heads * 2 * seen * shape.head_dim,
        rows=heads * head.rows,
        scores=heads * seen,
        array_cycles=heads * tiles * array_cycles,
        element_cycles=heads * tiles * element_cycles,
        dram_bits=heads * (head.fetched_bits() + output_bits),
        sram_bits=heads * (head.fetched_bits() + 2 * output_bits + head.read_bits(keys_seen)),
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
        digits = 1 if element.weight_operand == "fp16" else -(-(bits + 1) // self.architecture.weights.bits)
        used = bits if element.mantissa_bits == "variable" else element.mantissa_bits
        return digits * self.architecture.array_cycles_per_group(used), digits * element.element_cycles(used)

    @property
    def row_bits(self) -> int:
        """Stored bits of a query, a key or a value."""
        return self._stored(self.channels)

    def _stored(self, channels: int) -> int:
        return self.architecture.token_bits(channels, self.cache.mantissa_bits if self.cache.format == "anda" else None)

    def fetched_bits(self) -> int:
        """From DRAM: queries once; keys and values once if they fit their buffer, or for each tile of queries."""
        cached = 2 * self.keys * self.row_bits
        passes = 1
        if cached > self.architecture.weight_buffer.capacity_bytes * 8:
            resident = max(self.architecture.activation_buffer.capacity_bytes * 8 // (2 * self.row_bits), 1)
            passes = -(-self.rows // resident)
        return self.rows * self.row_bits + passes * cached

    def read_bits(self, keys_seen: NDArray[np.int64]) -> int:
        """Between buffers, array and vector unit: operands for each tile; scores in FP16 out and in, weights back."""
        columns, strip = self.architecture.array.columns, min(self.architecture.array.rows, self.rows)
        operands = 2 * keys_seen * self.row_bits
        queries = strip * self.row_bits * -(-keys_seen // columns)
        probability_bits = self._stored(self.architecture.group_size) / self.architecture.group_size
        probabilities = strip * keys_seen * probability_bits * (1 + -(-self.channels // columns))
        scores = 2 * strip * keys_seen * FP16_BITS
        return int((operands + queries + probabilities + scores).sum())
