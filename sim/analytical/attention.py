"""Work of the attention: queries times keys and probabilities times values, on the same array as the FP-INT GeMMs.

FP-FP multiplies FP16 by FP16 and runs these products directly. The other arrays multiply by INT4. There, keys and values
get a shared exponent and mantissas of M bits, as activations have, and pass the array as digits of the element's weights, each at the cycles
of a group. A FP16 cache takes 11 bits, which keeps the largest value of a group exact: three digits of 4 bits. The publication
leaves the attention out; this is the project's choice.

The query heads that share a key/value head form the rows of one product. A strip of query rows skips the tiles of keys
that the causal mask hides from all of its rows. Scores stay on chip: the softmax runs while the keys stream.

With a sliding window a layer keeps that many keys and values. The keys of a pass are those that its first row attends to, and
all later ones. A strip also skips the tiles before the window of its first row; a tile of queries loads from there to its own
last key. Windows begin at whole tiles, groups and vectors after the first key of the pass (`_Head.window_step`).
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...formats.latency.array import fold_cycles
from ...workloads import ModelShape
from ...workloads.models.gemms import FP16_BITS
from ..config.architecture import Architecture
from ..config.kv_cache import KvCache
from ..dataflow.base import ArrayTile, Dataflow
from ..dataflow.registry import dataflow_of
from ..mapping.mapped_gemm import SUM_BITS
from .gemm import SramBits


@dataclass(frozen=True, slots=True)
class AttentionWork:
    """Work of both products in one layer, all heads and sequences."""

    macs: int
    rows: int
    """Query rows: tokens times query heads."""
    scores: int
    """Attention scores that the causal mask keeps."""
    score_vectors: int
    """Vectors of the vector unit's lanes that hold the scores; each row begins a new vector."""
    groups: int
    """Groups of the reductions of all tiles; each takes one pass of the array a digit."""
    array_cycles: int
    sum_additions: int
    """Partial sums that leave the array and are added outside."""
    element_cycles: int
    busy_cycles: int
    """Cycles in which elements work."""
    products: int
    """Products of lanes that hold operands, those of scores that the causal mask hides from a row included."""
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
    """Work of the attention in one layer.

    Parameters
    ----------
    shape
        The model.
    architecture
        The machine.
    cache
        Storage format of keys and values.
    tokens
        New tokens of each sequence; token i attends to `context` + i + 1 keys.
    context
        Cached tokens of each sequence.
    batch
        Number of sequences.
    output_mantissa_bits
        Mantissa bits to which the outputs are compressed, if activations are Anda.
    """
    return attention_works(shape, architecture, cache, tokens, [context], batch, output_mantissa_bits)[0]


def attention_works(
    shape: ModelShape,
    architecture: Architecture,
    cache: KvCache,
    tokens: int,
    contexts: Sequence[int],
    batch: int,
    output_mantissa_bits: int,
) -> list[AttentionWork]:
    """Work of the attention in one layer in several passes at once, each with its own context; else as `attention_work`."""
    heads, shared = batch * shape.kv_heads, shape.heads // shape.kv_heads
    keys = _held(np.asarray(contexts, np.int64)[:, None], shape) + tokens
    head = _Head(shape.head_dim, tokens * shared, keys, shared, architecture, cache, shape.window)
    keys_seen = head.keys_seen()
    work, cycles = head.array_work(keys_seen), head.group_cycles()
    fetched, cached = head.query_bits, head.cached_bits()
    outputs = head.rows * architecture.token_bits(shape.head_dim, output_mantissa_bits)
    columns = (
        head.seen(),
        head.vectors(),
        work.steps.sum((-1, -2)),
        head.array_cycles(work).sum((-1, -2)),
        head.sums(keys_seen),
        cached,
        head.activation_reads(keys_seen),
        head.activation_writes(keys_seen),
        keys_seen.sum(-1),
        head.products(keys_seen),
    )
    return [
        AttentionWork(
            macs=heads * 2 * scores * shape.head_dim,
            rows=heads * head.rows,
            scores=heads * scores,
            score_vectors=heads * vectors,
            groups=heads * groups,
            array_cycles=heads * array_cycles,
            sum_additions=heads * sums,
            element_cycles=heads * groups * cycles.elements,
            busy_cycles=heads * groups * cycles.busy,
            products=heads * products,
            dram_bits=heads * (fetched + loaded + outputs),
            sram=SramBits(
                activation_reads=heads * (reads + outputs),
                activation_writes=heads * (writes + fetched + outputs),
                weight_reads=heads * 2 * strip_keys * head.row_bits,
                weight_writes=heads * loaded,
                sum_reads=heads * sums * SUM_BITS,
                sum_writes=heads * sums * SUM_BITS,
            ),
        )
        for scores, vectors, groups, array_cycles, sums, loaded, reads, writes, strip_keys, products in zip(
            *(column.tolist() for column in columns), strict=True
        )
    ]


class Piece(NamedTuple):
    """Query rows times some of the keys and values: the unit of work of the event model.

    Its queries and keys are there before its scores, its values before these are weighed; zero bits mean nothing to load or
    store.
    """

    query_offset: int
    query_bits: int
    cache_offset: int
    cache_bits: int
    output_offset: int
    output_bits: int
    """Bits of the outputs that it finishes."""
    score_cycles: int
    value_cycles: int
    scores: int
    score_vectors: int
    finished_rows: int
    """Query rows that it gives their last scores."""
    frees_queries: bool
    frees_cache: bool


def _within(starts: NDArray[np.int64], ends: NDArray[np.int64], first: int, length: int) -> NDArray[np.int64]:
    """Keys of each span that lie in a chunk."""
    return np.clip(ends - first, 0, length) - np.clip(starts - first, 0, length)


class ArrayWork(NamedTuple):
    """Work of the array; arrays over products (scores, values) and strips of query rows: [passes, strips, products]."""

    steps: NDArray[np.int64]
    fills: NDArray[np.int64]
    """Times that the elements are filled with the operand that they hold."""


class GroupCycles(NamedTuple):
    """Cycles for one group of a tile."""

    array: int
    """From this group to the next."""
    fill: int
    """To fill the elements with the operand that they hold."""
    elements: int
    """At the power of elements at work."""
    busy: int
    """In which elements work."""


class AttentionPieces(NamedTuple):
    """Pieces of one layer's attention, and the buffer places of their keys and values."""

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
    """Attention of one layer in pieces that add up to `attention_work`, with the same parameters."""
    heads, shared = batch * shape.kv_heads, shape.heads // shape.kv_heads
    keys = _held(np.array([[context]]), shape) + tokens
    head = _Head(shape.head_dim, tokens * shared, keys, shared, architecture, cache, shape.window)
    one = list(head.pieces(architecture.token_bits(shape.head_dim, output_mantissa_bits)))
    queries, cached, outputs = head.query_bits, 2 * head.length * head.row_bits, sum(piece.output_bits for piece in one)
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


def _held(contexts: NDArray[np.int64], shape: ModelShape) -> NDArray[np.int64]:
    """Cached tokens that the first new token attends to."""
    return contexts if shape.window is None else np.minimum(contexts, shape.window - 1)


def key_load_cycles(architecture: Architecture) -> int:
    """Cycles to stream one digit of a group of keys or values to all columns."""
    element = architecture.processing_element
    return architecture.weight_stream_cycles(FP16_BITS if element.weight_operand == "fp16" else element.weight_bits)


@dataclass(frozen=True, slots=True)
class _Head:
    """Products of one key/value head of one sequence, with all query heads that share it, in one pass or several."""

    channels: int
    rows: int
    keys: NDArray[np.int64]
    """Keys and values of each pass, [passes, 1]."""
    shared: int
    """Query heads that share the key/value head."""
    architecture: Architecture
    cache: KvCache
    window: int | None = None
    """Keys that a row attends to at most."""

    def keys_seen(self) -> NDArray[np.int64]:
        """Keys from the first one of the first row of each strip of query rows to the last one of its last row, [passes, strips]."""
        return self._spans(self._strip_rows)

    def _spans(self, size: int) -> NDArray[np.int64]:
        """Keys from the first one to the last one of each tile of so many query rows, [passes, tiles]."""
        starts = np.arange(0, self.rows, size)
        return self.row_ends(np.minimum(starts + size, self.rows) - 1) - self._starts(starts)

    def row_ends(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Keys up to the last one that each query row attends to, [passes, rows]."""
        return self.keys - self.rows // self.shared + rows // self.shared + 1

    def row_starts(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Keys before the first one that each query row attends to, [passes, rows]."""
        ends = self.row_ends(rows)
        return np.zeros_like(ends) if self.window is None else np.maximum(ends - self.window, 0)

    def _starts(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Keys before the window of each row, in whole tiles, groups and vectors."""
        return self.row_starts(rows) // self.window_step * self.window_step

    def seen(self) -> NDArray[np.int64]:
        """Scores that no mask hides, [passes]."""
        rows = np.arange(0, self.rows, self.shared)
        return self.shared * (self.row_ends(rows) - self.row_starts(rows)).sum(-1)

    def vectors(self, first: int = 0, stop: int | None = None) -> NDArray[np.int64]:
        """Vectors of the vector unit's lanes that hold the scores of some rows, [passes]."""
        rows = np.arange(first, self.rows if stop is None else stop)
        return self._vectors(self.row_ends(rows) - self._vector_starts(rows))

    def _vectors(self, scores: NDArray[np.int64]) -> NDArray[np.int64]:
        return (-(-scores // self.architecture.vector_lanes)).sum(-1)

    def _vector_starts(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Keys before the first vector of each row's scores."""
        lanes = self.architecture.vector_lanes
        return self.row_starts(rows) // lanes * lanes

    @property
    def window_step(self) -> int:
        """Keys of whole tiles, groups and vectors, and of all rows of the array if twice as many fit the weight buffer."""
        machine = self.architecture
        least = math.lcm(self._tile.channels, machine.group_size, machine.vector_lanes)
        deep = math.lcm(least, self._deep)
        return deep if 4 * deep * self.row_bits <= self._cache_room else least

    @property
    def length(self) -> int:
        """Keys and values, if there is one pass."""
        return self.keys.item()

    @property
    def _dataflow(self) -> Dataflow:
        return dataflow_of(self.architecture.array)

    @property
    def _tile(self) -> ArrayTile:
        return self._dataflow.tile(self.architecture.array)

    @property
    def _strip_rows(self) -> int:
        """Query rows that pass the array together: a group of them for each fill where it holds keys and values."""
        return self._tile.tokens * (self.architecture.group_size if self._dataflow.held == "weights" else 1)

    def pieces(self, output_bits: int) -> Iterator[Piece]:
        """Pieces of one pass in order: strip by strip if keys and values stay on chip, else chunk by chunk for each tile of queries.

        Parameters
        ----------
        output_bits
            Stored bits of one row's outputs.
        """
        tile = self._strip_rows if self.stays else self.resident_rows
        chunk = self.length if self.stays else self._chunk_keys
        every, firsts = np.arange(self.rows), np.arange(0, self.rows, self._strip_rows)
        ends, starts, vector_starts = (
            bound(every)[0] for bound in (self.row_ends, self.row_starts, self._vector_starts)
        )
        strip_starts = self._starts(firsts)[0]
        strip_ends = strip_starts + self.keys_seen()[0]
        for start in range(0, self.rows, tile):
            stop = min(start + tile, self.rows)
            own, strips = slice(start, stop), slice(start // self._strip_rows, -(-stop // self._strip_rows))
            lowest, highest = (0, self.length) if self.stays else self._loaded(start, stop)
            for first in range(lowest, highest, chunk):
                length = min(chunk, highest - first)
                within = partial(_within, first=first, length=length)
                seen = within(strip_starts[strips], strip_ends[strips])
                scores, values = map(int, self.array_cycles(self.array_work(seen, strips.start)).sum(0))
                rows = within(starts[own], ends[own])
                vectors = self._vectors(within(vector_starts[own], ends[own]))
                last = first + chunk >= highest
                loads = not self.stays or start == 0
                yield Piece(
                    query_offset=start * self.row_bits,
                    query_bits=(stop - start) * self.row_bits if first == lowest else 0,
                    cache_offset=2 * first * self.row_bits,
                    cache_bits=2 * length * self.row_bits if loads else 0,
                    output_offset=start * output_bits,
                    output_bits=(stop - start) * output_bits if last else 0,
                    score_cycles=scores,
                    value_cycles=values,
                    scores=int(rows.sum()),
                    score_vectors=int(vectors),
                    finished_rows=stop - start if last else 0,
                    frees_queries=last,
                    frees_cache=not self.stays or stop == self.rows,
                )

    def _loaded(self, start: int, stop: int) -> tuple[int, int]:
        """First and last key that a resident tile of query rows loads: all, or those of its windows."""
        if self._is_open:
            return 0, self.length
        rows = np.array([start, stop - 1])
        return int(self._starts(rows)[0, 0]), int(self.row_ends(rows)[0, 1])

    @property
    def _is_open(self) -> bool:
        """True if the window hides no key of any pass from any row."""
        return self.window is None or bool((self.keys <= self.window).all())

    @property
    def fits(self) -> NDArray[np.bool_]:
        """True where all keys and values fit the weight buffer, [passes, 1]."""
        return 2 * self.keys * self.row_bits <= self._cache_room

    @property
    def stays(self) -> bool:
        """True if keys and values are loaded once for several strips of queries; for one strip they only stream."""
        return bool(self.fits.all()) and self.rows > self._strip_rows

    @property
    def _cache_room(self) -> int:
        return self.architecture.weight_buffer.capacity_bytes * 8

    @property
    def cache_places(self) -> int:
        """Loads of keys and values on chip at once: the next head or chunk is loaded ahead if there is room."""
        return 1 if self.stays and 4 * self.length * self.row_bits > self._cache_room else 2

    @property
    def resident_rows(self) -> int:
        """Query rows of a resident tile, in whole strips: as many as fit half the activation buffer."""
        rows = self.architecture.activation_buffer.capacity_bytes * 8 // (2 * self.row_bits)
        return max(rows // self._strip_rows, 1) * self._strip_rows

    @property
    def _chunk_keys(self) -> int:
        """Keys of a chunk, in whole tiles, groups and vectors: as many as fit half the weight buffer with their values."""
        step = self.window_step
        return max(self._cache_room // (4 * self.row_bits) // step, 1) * step

    def array_work(self, keys_seen: NDArray[np.int64], first: int = 0) -> ArrayWork:
        """Steps and fills for strips that attend to these numbers of keys; the first of them is number `first` of the pass.

        Where the elements hold queries and probabilities, these enter them again for each `window_step` keys.
        """
        tile, deep = self._tile, self._deep
        strips = np.arange(first, first + keys_seen.shape[-1]) * self._strip_rows
        runs = -(-(np.minimum(strips + self._strip_rows, self.rows) - strips) // tile.tokens)
        channel_tiles, key_tiles = -(-self.channels // tile.channels), -(-keys_seen // tile.channels)
        channel_groups, key_groups = -(-self.channels // deep), self._key_folds(keys_seen)
        folds = np.stack([key_tiles * channel_groups, channel_tiles * key_groups], -1)
        fills = np.zeros_like(folds)
        if self._dataflow.held == "weights":
            fills = folds
        elif self._dataflow.held == "activations":
            fills = np.stack([-(-keys_seen // self.window_step) * channel_groups, key_groups], -1)
        return ArrayWork(folds * runs[:, None], fills)

    def array_cycles(self, work: ArrayWork) -> NDArray[np.int64]:
        """Cycles of the array for some work, summed over the products if they are the last axis of a pass."""
        cycles = self.group_cycles()
        return work.steps * cycles.array + work.fills * cycles.fill

    @property
    def _deep(self) -> int:
        """Channels or keys that the rows of the array reduce at once."""
        return self._tile.groups * self.architecture.group_size

    def _key_folds(self, keys: NDArray[np.int64]) -> NDArray[np.int64]:
        """Parts in which the array reduces values over so many keys, in each `window_step` of them."""
        whole, rest = np.divmod(keys, self.window_step)
        return whole * -(-self.window_step // self._deep) + -(-rest // self._deep)

    def sums(self, keys_seen: NDArray[np.int64]) -> NDArray[np.int64]:
        """Partial sums that leave the array and come back, [passes]; none where it holds outputs."""
        if self._dataflow.held == "results":
            return np.zeros(len(keys_seen), np.int64)
        starts = np.arange(0, self.rows, self._strip_rows)
        rows = np.minimum(starts + self._strip_rows, self.rows) - starts
        scores = keys_seen * (-(-self.channels // self._deep) - 1)
        values = self.channels * np.maximum(self._key_folds(keys_seen) - 1, 0)
        return (rows * (scores + values)).sum(-1)

    def products(self, keys_seen: NDArray[np.int64]) -> NDArray[np.int64]:
        """Products of both GeMMs for strips that attend to these numbers of keys, the masked ones included."""
        starts = np.arange(0, self.rows, self._strip_rows)
        rows = np.minimum(starts + self._strip_rows, self.rows) - starts
        return 2 * self.channels * (rows * keys_seen).sum(-1)

    def group_cycles(self) -> GroupCycles:
        """Cycles for one group and all digits of a key or value."""
        element, bits = self.architecture.processing_element, self.cache.operand_bits(self.architecture)
        digits, load = element.digits(bits + 1), key_load_cycles(self.architecture)
        used = self.cache.datapath_bits(self.architecture)
        busy = element.working_cycles(used, bits + 1)
        array, fill = max(element.array_cycles(used, load, bits + 1), self.architecture.plane_cycles * busy), 0
        if self._dataflow.held != "results":
            machine, queries = self._with_keys(digits), self.cache.queries(self.architecture)
            sums = 2 * machine.array.columns * machine.array.count * SUM_BITS
            array = max(
                self._dataflow.step_cycles(machine, queries),
                -(-sums // (machine.activation_buffer.port_bits * digits)),
            )
            fill = fold_cycles(0, 0, machine.array.rows, self._dataflow.preload_cycles(machine, queries))
        return GroupCycles(digits * array, fill, digits * element.element_cycles(used, bits + 1), digits * busy)

    def _with_keys(self, digits: int) -> Architecture:
        """The machine with keys and values in place of its weights."""
        element = self.architecture.processing_element
        bits = FP16_BITS if element.weight_operand == "fp16" else digits * element.weight_bits
        keys = self.architecture.weights.model_copy(update={"bits": bits, "digits": None, "sparse_fraction": 0.0})
        return self.architecture.model_copy(update={"weights": keys})

    @property
    def row_bits(self) -> int:
        """Stored bits of a query, a key or a value."""
        return self._stored(self.channels)

    def _stored(self, channels: int) -> int:
        return self.cache.stored(self.architecture).token_bits(channels)

    @property
    def query_bits(self) -> int:
        """Bits of the queries, loaded once from DRAM."""
        return self.rows * self.row_bits

    def cached_bits(self) -> NDArray[np.int64]:
        """Bits of keys and values from DRAM: once if they fit their buffer, else once for each tile of queries, [passes]."""
        if self._is_open:
            loaded = np.where(self.fits, 1, -(-self.rows // self.resident_rows)) * self.keys
        else:
            tiles = self._spans(self.resident_rows).sum(-1, keepdims=True)
            loaded = np.where(self.fits, self.keys, tiles)
        return (loaded * 2 * self.row_bits)[:, 0]

    def activation_reads(self, keys_seen: NDArray[np.int64]) -> NDArray[np.int64]:
        """Bits read, [passes]: queries and probabilities for each tile of the array, and FP16 scores once for the softmax."""
        columns, times = self._tile.channels, -(-self.channels // self._tile.channels)
        if self._dataflow.held == "activations":
            columns, times = self.window_step, 1
        queries = self.row_bits * -(-keys_seen // columns)
        probabilities = keys_seen * times * self._probability_bits
        return (self._strip * (queries + probabilities + keys_seen * FP16_BITS)).sum(-1).astype(np.int64)

    def activation_writes(self, keys_seen: NDArray[np.int64]) -> NDArray[np.int64]:
        """Bits written, [passes]: scores in FP16, and the probabilities of the softmax."""
        return (self._strip * keys_seen * (FP16_BITS + self._probability_bits)).sum(-1).astype(np.int64)

    @property
    def _strip(self) -> int:
        return min(self._strip_rows, self.rows)

    @property
    def _probability_bits(self) -> float:
        return self._stored(self.architecture.group_size) / self.architecture.group_size
