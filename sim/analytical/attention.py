"""The attention's products: queries with keys, probabilities with values, on the same array.

FP-FP multiplies FP16 by FP16 and runs them as they are. The other arrays multiply by INT4: there a key or value is taken
as a sign and mantissa of `bits`, sharing exponents along the reduction as activations do, and passes as 4-bit digits, one
after the other, at the cycles of a group each. With a FP16 cache that is 11 bits, which keeps the largest of a group
exact, and three digits. The publication leaves the attention out; this is the project's choice.

The query heads that share a key/value head form the rows of one product. Strips of 16 rows skip the tiles of keys that
the causal mask hides from all of them. Scores stay on chip: the softmax runs along as the keys pass.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...formats.weights.int4 import BITS as INT4_BITS
from ...workloads import ModelShape
from ...workloads.models.gemms import FP16_BITS
from ..config.architecture import Architecture
from ..config.kv_cache import KvCache
from .gemm import SramBits


@dataclass(frozen=True, slots=True)
class AttentionWork:
    """Both products of one layer, all heads and sequences."""

    macs: int
    rows: int
    """Query rows: tokens times heads."""
    scores: int
    """Scores that the mask leaves."""
    score_vectors: int
    """Vectors of the vector unit's lanes that they fill, each row anew."""
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
    head = _Head(shape.head_dim, tokens * shared, context + tokens, shared, architecture, cache)
    keys_seen = head.keys_seen()
    seen = shared * (tokens * context + tokens * (tokens + 1) // 2)
    tiles = head.group_tiles(keys_seen)
    array_cycles, element_cycles = head.group_cycles()
    fetched, cached = head.query_bits, head.cached_bits()
    output_bits = head.rows * architecture.token_bits(shape.head_dim, output_mantissa_bits)
    return AttentionWork(
        macs=heads * 2 * seen * shape.head_dim,
        rows=heads * head.rows,
        scores=heads * seen,
        score_vectors=heads * head.vectors(head.row_keys(np.arange(head.rows))),
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


class Piece(NamedTuple):
    """Query rows against some of the keys and values: the unit of work of the event model.

    What it loads is there before it begins; zero bits are nothing to load or store.
    """

    query_offset: int
    query_bits: int
    cache_offset: int
    cache_bits: int
    output_offset: int
    output_bits: int
    """Outputs that are done with it."""
    score_cycles: int
    value_cycles: int
    scores: int
    score_vectors: int
    finished_rows: int
    """Query rows whose last scores it has."""
    frees_queries: bool
    frees_cache: bool


class AttentionPieces(NamedTuple):
    """The pieces of one layer, and the room for their keys and values."""

    pieces: list[Piece]
    cache_places: int
    """Loads of keys and values that are on chip at once."""


def attention_pieces(
    shape: ModelShape,
    architecture: Architecture,
    cache: KvCache,
    tokens: int,
    context: int,
    batch: int,
    output_mantissa_bits: int,
) -> AttentionPieces:
    """One layer in pieces, which add up to `attention_work`; arguments as there."""
    heads, shared = batch * shape.kv_heads, shape.heads // shape.kv_heads
    head = _Head(shape.head_dim, tokens * shared, context + tokens, shared, architecture, cache)
    one = list(head.pieces(architecture.token_bits(shape.head_dim, output_mantissa_bits)))
    queries, cached, outputs = head.query_bits, 2 * head.keys * head.row_bits, sum(piece.output_bits for piece in one)
    pieces = [
        piece._replace(
            query_offset=piece.query_offset + index * queries,
            cache_offset=piece.cache_offset + index * cached,
            output_offset=piece.output_offset + index * outputs,
        )
        for index in range(heads)
        for piece in one
    ]
    return AttentionPieces(pieces, head.cache_places)


@dataclass(frozen=True, slots=True)
class _Head:
    """The products of one key/value head of one sequence, with the queries of all heads that share it."""

    channels: int
    rows: int
    keys: int
    shared: int
    """Query heads."""
    architecture: Architecture
    cache: KvCache

    def keys_seen(self) -> NDArray[np.int64]:
        """Keys that the last row of each strip of query rows sees."""
        last_rows = np.minimum(np.arange(0, self.rows, self._strip_rows) + self._strip_rows, self.rows) - 1
        return self.row_keys(last_rows)

    def row_keys(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Keys that rows see."""
        return self.keys - self.rows // self.shared + rows // self.shared + 1

    def vectors(self, scores: NDArray[np.int64]) -> int:
        """Vectors of the vector unit's lanes that rows of so many scores fill."""
        return int((-(-scores // self.architecture.vector_lanes)).sum())

    @property
    def _strip_rows(self) -> int:
        return self.architecture.array.rows

    def pieces(self, output_bits: int) -> Iterator[Piece]:
        """In order: strip by strip where keys and values stay, or else chunk by chunk for each tile of queries.

        Args:
            output_bits: of one row.
        """
        tile = self._strip_rows if self.stays else self.resident_rows
        chunk = self.keys if self.stays else self._chunk_keys
        keys = self.row_keys(np.arange(self.rows))
        strips = self.keys_seen()
        cycles, _ = self.group_cycles()
        for start in range(0, self.rows, tile):
            stop = min(start + tile, self.rows)
            seen = strips[start // self._strip_rows : -(-stop // self._strip_rows)]
            for first in range(0, self.keys, chunk):
                length = min(chunk, self.keys - first)
                scores, values = self._group_tiles(np.clip(seen - first, 0, length))
                rows = np.clip(keys[start:stop] - first, 0, length)
                last = first + chunk >= self.keys
                loads = not self.stays or start == 0
                yield Piece(
                    query_offset=start * self.row_bits,
                    query_bits=(stop - start) * self.row_bits if first == 0 else 0,
                    cache_offset=2 * first * self.row_bits,
                    cache_bits=2 * length * self.row_bits if loads else 0,
                    output_offset=start * output_bits,
                    output_bits=(stop - start) * output_bits if last else 0,
                    score_cycles=scores * cycles,
                    value_cycles=values * cycles,
                    scores=int(rows.sum()),
                    score_vectors=self.vectors(rows),
                    finished_rows=stop - start if last else 0,
                    frees_queries=last,
                    frees_cache=not self.stays or stop == self.rows,
                )

    @property
    def fits(self) -> bool:
        """Whether all keys and values stay on chip."""
        return 2 * self.keys * self.row_bits <= self._cache_room

    @property
    def stays(self) -> bool:
        """Whether keys and values are loaded once for several strips of queries; for one strip they need only pass."""
        return self.fits and self.rows > self._strip_rows

    @property
    def _cache_room(self) -> int:
        return self.architecture.weight_buffer.capacity_bytes * 8

    @property
    def cache_places(self) -> int:
        """Loads of keys and values on chip at once: of the next head's, or of the next chunk's."""
        return 1 if self.stays and 4 * self.keys * self.row_bits > self._cache_room else 2

    @property
    def resident_rows(self) -> int:
        """Query rows of a tile that stays while all keys and values pass, in whole strips; half the buffer."""
        rows = self.architecture.activation_buffer.capacity_bytes * 8 // (2 * self.row_bits)
        return max(rows // self._strip_rows, 1) * self._strip_rows

    @property
    def _chunk_keys(self) -> int:
        """Keys of a chunk: half the buffer, in whole tiles, groups and vectors."""
        machine = self.architecture
        step = math.lcm(machine.array.columns, machine.group_size, machine.vector_lanes)
        return max(self._cache_room // (4 * self.row_bits) // step, 1) * step

    def group_tiles(self, keys_seen: NDArray[np.int64]) -> int:
        """Groups of all tiles of both products, for strips of rows that see so many keys."""
        return sum(self._group_tiles(keys_seen))

    def _group_tiles(self, keys_seen: NDArray[np.int64]) -> tuple[int, int]:
        columns, group = self.architecture.array.columns, self.architecture.group_size
        scores = -(-keys_seen // columns) * -(-self.channels // group)
        values = -(-self.channels // columns) * -(-keys_seen // group)
        return int(scores.sum()), int(values.sum())

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
        return cached if self.fits else -(-self.rows // self.resident_rows) * cached

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
        return min(self._strip_rows, self.rows)

    @property
    def _probability_bits(self) -> float:
        return self._stored(self.architecture.group_size) / self.architecture.group_size
