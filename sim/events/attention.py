"""The event model of the attention.

DMA channels fetch queries, keys and values. The array computes the scores of a strip of query rows; the vector unit computes
their softmax while the array computes the next strip's scores; then the array multiplies the probabilities by the values, and
a DMA channel stores the outputs. The place of keys is free when their scores are done, that of values later. Keys and values that do not fit their buffer come in chunks, again for each tile of queries.
With an infinitely fast memory and vector unit the cycles are those of level `analytical`.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from ..analytical.attention import AttentionPieces, Piece
from ..analytical.vector_work import Scores
from ..config.architecture import Architecture
from ..memory.dram import Dram, Request
from ..processes.timeline import Timeline
from ..processes.units import BufferSlots, Channel, MemoryPort, Process, Units


@dataclass(frozen=True, slots=True)
class AttentionRun:
    """Cycles of the attention in one layer, softmax included."""

    cycles: int
    softmax_cycles: int
    """Cycles in which the array waited for probabilities; part of `cycles`."""


def run_attention(
    work: AttentionPieces,
    machine: Architecture,
    dram: Dram,
    softmax: Callable[[Scores], int],
    timeline: Timeline | None = None,
) -> AttentionRun:
    """Run the attention of one layer.

    Parameters
    ----------
    work
        Pieces of the attention, in order.
    machine
        The accelerator.
    dram
        A fresh memory; ``activations`` are queries, ``weights`` keys and values, ``results`` outputs.
    softmax
        Function that gives the vector unit's cycles for some scores.
    timeline
        Records the activity of the units.
    """
    return _Attention(work, machine, dram, softmax, timeline).run_layer()


class _Attention(Units):
    def __init__(
        self,
        work: AttentionPieces,
        machine: Architecture,
        dram: Dram,
        softmax: Callable[[Scores], int],
        timeline: Timeline | None,
    ) -> None:
        super().__init__()
        self.pieces, self.cache_places = work
        self.machine, self.dram, self.timeline = machine, dram, timeline
        self.softmax = softmax
        infinite = dram.infinite
        self.activation_port, self.weight_port = (
            MemoryPort(math.inf if infinite else buffer.port_bits)
            for buffer in (machine.activation_buffer, machine.weight_buffer)
        )
        self.queries = self.buffer("queries", 2, self.activation_port)
        self.keys = self.buffer("keys", self.cache_places, self.weight_port)
        self.values = self.buffer("values", self.cache_places, self.weight_port)
        self.scores, self.probabilities = self.slots("scores"), self.slots("probabilities")
        self.outputs = Channel[Piece](self.slots("outputs"))
        self.softmax_cycles = 0

    def run_layer(self) -> AttentionRun:
        """Run all pieces."""
        queries = [
            (self.queries, Request("activations", p.query_offset, p.query_bits)) for p in self.pieces if p.query_bits
        ]
        cache = [load for piece in self.pieces if piece.cache_bits for load in self._cache_loads(piece)]
        cycles = self.run(
            self._load(queries),
            self._load(cache),
            self._multiply(),
            self._normalise(),
            self._write(),
        )
        return AttentionRun(cycles, self.softmax_cycles)

    def _cache_loads(self, piece: Piece) -> list[tuple[BufferSlots, Request]]:
        """Loads of a piece's keys and of its values, which take half of its bits each."""
        keys = piece.cache_bits // 2
        return [
            (self.keys, Request("weights", piece.cache_offset, keys)),
            (self.values, Request("weights", piece.cache_offset + keys, piece.cache_bits - keys)),
        ]

    def _load(self, loads: list[tuple[BufferSlots, Request]]) -> Process:
        for buffer, request in loads:
            if wait := buffer.places.take(f"loader of {request.tensor}"):
                yield wait
            served = self.dram.serve(self.now, request)
            stop = max(served.stop, buffer.port.serve(served.start, request.bits).stop)
            if stop > self.now:
                yield self.until(stop)
            buffer.strips.give()
            self._note_transfer(f"loader of {request.tensor}", served.start, stop, request.bits)

    def _multiply(self) -> Process:
        """The array: scores of a piece, then values of the previous piece, whose softmax ran meanwhile."""
        pending: Piece | None = None
        for piece in self.pieces:
            if piece.query_bits and (wait := self.queries.strips.take("array")):
                yield wait
            if piece.cache_bits and (wait := self.keys.strips.take("array")):
                yield wait
            yield from self._work("scores", piece.score_cycles)
            if piece.frees_cache:
                self.keys.places.give()
            if piece.frees_queries:
                self.queries.places.give()
            self.scores.give()
            if pending is not None:
                yield from self._weigh(pending)
            pending = piece
        if pending is not None:
            yield from self._weigh(pending)

    def _weigh(self, piece: Piece) -> Process:
        """Multiply the probabilities of a piece by the values."""
        if piece.cache_bits and (wait := self.values.strips.take("array")):
            yield wait
        began = self.now
        if wait := self.probabilities.take("array"):
            yield wait
            self.softmax_cycles += self.now - began
            if self.timeline and self.now > began:
                self.timeline.span("array", "wait for probabilities", began, self.now)
        yield from self._work("values", piece.value_cycles)
        if piece.frees_cache:
            self.values.places.give()
        if piece.output_bits:
            self.outputs.put(piece)

    def _work(self, name: str, cycles: int) -> Process:
        began = self.now
        if cycles:
            yield self.environment.timeout(cycles)
            if self.timeline:
                self.timeline.span("array", name, began, self.now)

    def _normalise(self) -> Process:
        """The vector unit: compute the softmax of each piece."""
        for piece in self.pieces:
            if wait := self.scores.take("vector unit"):
                yield wait
            began = self.now
            cycles = self.softmax(Scores(piece.finished_rows, piece.scores, piece.score_vectors))
            if cycles:
                yield self.environment.timeout(cycles)
                if self.timeline:
                    self.timeline.span("vector unit", "softmax", began, self.now)
            self.probabilities.give()

    def _write(self) -> Process:
        for _ in range(sum(piece.output_bits > 0 for piece in self.pieces)):
            piece = yield from self.outputs.get("writer")
            now = self.now
            written = self.activation_port.serve(now, 2 * piece.output_bits)
            served = self.dram.serve(now, Request("results", piece.output_offset, piece.output_bits))
            stop = max(written.stop, served.stop)
            if stop > now:
                yield self.until(stop)
            self._note_transfer("writer", served.start, stop, piece.output_bits)

    def _note_transfer(self, unit: str, start: int, stop: int, bits: int) -> None:
        if self.timeline:
            self.timeline.transfer(unit, "strip", start, stop, bits)
