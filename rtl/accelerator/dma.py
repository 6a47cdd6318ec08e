# amaranth: UnusedElaboratable=no
"""Moves rows between the external memory and the on-chip buffers."""

from collections.abc import Mapping
from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out

from ...formats.accelerator.config import AcceleratorConfig
from ...formats.accelerator.instructions import (
    COUNT_BITS,
    FIELDS,
    MAX_UNFINISHED,
    MEMORY_ADDRESS_BITS,
    STORED,
    Buffer,
    Opcode,
)
from ..array.buffers import PLANE_READ, READ, answer_layout, write_layout
from ..interfaces import Stream, plane_rows_layout
from ..isa import operands_layout

TRANSFER = operands_layout(Opcode.LOAD)

_COMING_FIELDS = [field for field in FIELDS[Opcode.LOAD] if field.name != "memory"]
_COMING = data.StructLayout({field.name: field.bits for field in _COMING_FIELDS})
"""Fields of a transfer that the write side of a loader needs."""


def memory_write_layout(width: int) -> data.StructLayout:
    """A row of the external memory to write: its `address` and its `data`."""
    return data.StructLayout({"address": MEMORY_ADDRESS_BITS, "data": width})


class Loader(wiring.Component):
    """Reads rows of the external memory into the buffers.

    It asks for the rows of a command while those of the command before are still coming.

    Timing: from the cycle after a command is taken, a row of memory is asked for per cycle. From the cycle after one has
    come, a row of the buffer is written per cycle; the next one comes with the last of them.

    Parameters
    ----------
    config : `AcceleratorConfig`
        Gives the widths of the buffers and of the memory.

    Members
    -------
    command : `In(stream.Signature(TRANSFER))`
    memory_read : `Out(stream.Signature(32))`
        Rows of memory to read.
    memory_data : `In(stream.Signature(memory_bits))`
        These rows, in order.
    write_planes, write_exponents, write_weights, write_factors, write_results
        `Out(stream.Signature(write_layout(...)))` each.
    finished : `Out(1)`
        The last row of a command is written in this cycle.
    """

    command: Stream
    memory_read: Stream
    memory_data: Stream
    write_planes: Stream
    write_exponents: Stream
    write_weights: Stream
    write_factors: Stream
    write_results: Stream
    finished: Signal

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        writes = {
            _write_port(buffer): Out(stream.Signature(write_layout(width))) for buffer, width in config.row_bits.items()
        }
        super().__init__(
            {
                "command": In(stream.Signature(TRANSFER)),
                "memory_read": Out(stream.Signature(MEMORY_ADDRESS_BITS)),
                "memory_data": In(stream.Signature(config.memory_bits)),
                **writes,
                "finished": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Connect the request side and the write side by a queue of commands."""
        m = Module()
        m.submodules.pending = pending = SyncFIFO(width=_COMING.size, depth=MAX_UNFINISHED)
        self._request(m, pending)
        self._write(m, pending)
        return m

    def _request(self, m: Module, pending: SyncFIFO) -> None:
        """Request a command's rows of memory, and queue the command for the write side."""
        asking = Signal()
        last = Signal()
        buffer = Signal(Buffer)
        left = Signal(COUNT_BITS)
        packed = _of_buffer(m, buffer, {each: self.config.packed(each) for each in Buffer}, "asked")
        m.d.comb += [
            last.eq(left <= packed),
            self.memory_read.valid.eq(asking),
            self.command.ready.eq((~asking | (self.memory_read.ready & last)) & pending.w_rdy),
            pending.w_data.eq(Cat(self.command.payload[field.name] for field in _COMING_FIELDS)),
            pending.w_en.eq(self.command.valid & self.command.ready),
        ]
        with m.If(asking & self.memory_read.ready):
            m.d.sync += [
                self.memory_read.payload.eq(self.memory_read.payload + 1),
                left.eq(left - packed),
                asking.eq(~last),
            ]
        with m.If(self.command.valid & self.command.ready):
            m.d.sync += [
                asking.eq(1),
                buffer.eq(self.command.payload.buffer),
                left.eq(self.command.payload.count),
                self.memory_read.payload.eq(self.command.payload.memory),
            ]

    def _write(self, m: Module, pending: SyncFIFO) -> None:
        """Split rows of memory into rows of the buffer and write them."""
        command: Any = data.View(_COMING, pending.r_data)
        row = Signal(self.config.memory_bits)
        row_valid = Signal()
        written = Signal(COUNT_BITS)
        packed = _of_buffer(m, command.buffer, {each: self.config.packed(each) for each in Buffer}, "written")
        piece = Signal.like(packed)
        moved = Signal()
        last_piece = Signal()
        last = Signal()
        m.d.comb += [
            last.eq(written == command.count - 1),
            last_piece.eq(last | (piece == packed - 1)),
            self.finished.eq(moved & last),
            pending.r_en.eq(self.finished),
            self.memory_data.ready.eq(~row_valid | (moved & last_piece)),
        ]
        with m.Switch(command.buffer):
            for buffer, width in self.config.row_bits.items():
                write = getattr(self, _write_port(buffer))
                with m.Case(buffer):
                    m.d.comb += [
                        write.valid.eq(row_valid),
                        write.payload.address.eq(command.address + written),
                        write.payload.data.eq(row),
                        moved.eq(row_valid & write.ready),
                    ]
                    with m.If(moved):
                        m.d.sync += row.eq(row >> width)
        with m.If(moved):
            m.d.sync += [written.eq(Mux(last, 0, written + 1)), piece.eq(Mux(last_piece, 0, piece + 1))]
        with m.If(self.memory_data.ready):
            m.d.sync += row_valid.eq(self.memory_data.valid)
            with m.If(self.memory_data.valid):
                m.d.sync += row.eq(self.memory_data.payload)


class Storer(wiring.Component):
    """Writes rows of the buffers into the external memory.

    Timing: from the cycle after a command is taken it asks for a row of the buffer per cycle; a row of memory leaves in
    the cycle after its last piece has come. `n` rows take ``n + 2`` cycles (`store_cycles`).

    Parameters
    ----------
    config : `AcceleratorConfig`

    Members
    -------
    command : `In(stream.Signature(TRANSFER))`
    read_planes : `Out(stream.Signature(PLANE_READ))`
    planes : `In(stream.Signature(plane_rows_layout(rows, lanes, masked=skipping)))`
        Rows of the activation buffer: to read, and as they come.
    read_results : `Out(stream.Signature(READ))`
    results : `In(stream.Signature(answer_layout(16 * lanes)))`
        The same of the result buffer.
    memory_write : `Out(stream.Signature(memory_write_layout(memory_bits)))`
    finished : `Out(1)`
        The last row of a command leaves in this cycle.
    """

    command: Stream
    read_planes: Stream
    planes: Stream
    read_results: Stream
    results: Stream
    memory_write: Stream
    finished: Signal

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        super().__init__(
            {
                "command": In(stream.Signature(TRANSFER)),
                "read_planes": Out(stream.Signature(PLANE_READ)),
                "planes": In(stream.Signature(plane_rows_layout(config.rows, config.lanes, masked=config.skipping))),
                "read_results": Out(stream.Signature(READ)),
                "results": In(stream.Signature(answer_layout(config.row_bits[Buffer.RESULTS]))),
                "memory_write": Out(stream.Signature(memory_write_layout(config.memory_bits))),
                "finished": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Request rows of a buffer, pack them and send rows of memory."""
        m = Module()
        command: Any = Signal(TRANSFER)
        busy = Signal()
        requested = Signal(COUNT_BITS)
        received = Signal(COUNT_BITS)
        asked = Signal()
        came = Signal()
        sent = Signal()
        m.d.comb += [
            self.command.ready.eq(~busy),
            sent.eq(self.memory_write.valid & self.memory_write.ready),
            self.finished.eq(sent & (received == command.count)),
        ]
        self._read(m, command, busy & (requested != command.count), command.address + requested, asked)
        self._receive(m, command, received, came)
        with m.If(asked):
            m.d.sync += requested.eq(requested + 1)
        with m.If(sent):
            m.d.sync += self.memory_write.payload.address.eq(self.memory_write.payload.address + 1)
        with m.If(came):
            m.d.sync += received.eq(received + 1)
        with m.If(self.finished):
            m.d.sync += busy.eq(0)
        with m.If(self.command.valid & self.command.ready):
            m.d.sync += [
                busy.eq(1),
                command.eq(self.command.payload),
                self.memory_write.payload.address.eq(self.command.payload.memory),
                Cat(requested, received).eq(0),
            ]
        return m

    def _read(self, m: Module, command: Any, wanted: Value, address: Value, asked: Signal) -> None:
        """Ask the buffer for a row."""
        from_results = command.buffer == Buffer.RESULTS
        m.d.comb += [
            self.read_results.valid.eq(wanted & from_results),
            self.read_results.payload.address.eq(address),
            self.read_planes.valid.eq(wanted & ~from_results),
            self.read_planes.payload.plane.eq(Mux(command.buffer == Buffer.PLANES, address, 0)),
            self.read_planes.payload.exponents.eq(Mux(command.buffer == Buffer.EXPONENTS, address, 0)),
            asked.eq(wanted & Mux(from_results, self.read_results.ready, self.read_planes.ready)),
        ]

    def _receive(self, m: Module, command: Any, received: Signal, came: Signal) -> None:
        """Put the rows that come side by side into a row of memory."""
        planes = self.planes.payload
        exponents = Value.cast(planes.exponents)
        rows = {
            Buffer.PLANES: planes.planes,
            Buffer.EXPONENTS: Cat(exponents, planes.mask) if self.config.skipping else exponents,
            Buffer.RESULTS: self.results.payload.data,
        }
        free = ~self.memory_write.valid | self.memory_write.ready
        row = self.memory_write.payload.data
        packed = _of_buffer(m, command.buffer, {each: self.config.packed(each) for each in STORED}, "packed")
        piece = Signal.like(packed)
        full = (piece == packed - 1) | (received + 1 == command.count)
        m.d.comb += [
            self.planes.ready.eq(free),
            self.results.ready.eq(free),
            came.eq((self.planes.valid | self.results.valid) & free),
        ]
        with m.If(self.memory_write.ready):
            m.d.sync += self.memory_write.valid.eq(0)
        with m.If(came):
            m.d.sync += [piece.eq(Mux(full, 0, piece + 1)), self.memory_write.valid.eq(full)]
            with m.If(piece == 0):
                m.d.sync += row.eq(0)
            with m.Switch(command.buffer):
                for buffer in STORED:
                    with m.Case(buffer):
                        m.d.sync += row.word_select(piece, self.config.row_bits[buffer]).eq(rows[buffer])


def _of_buffer(m: Module, buffer: Value, values: Mapping[Buffer, int], name: str) -> Signal:
    """The entry of a table for the buffer that a signal selects."""
    chosen = Signal(range(max(values.values()) + 1), name=f"{name}_pieces")
    with m.Switch(buffer):
        for each, value in values.items():
            with m.Case(each):
                m.d.comb += chosen.eq(value)
    return chosen


def _write_port(buffer: Buffer) -> str:
    return f"write_{buffer.name.lower()}"
