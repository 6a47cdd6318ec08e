# amaranth: UnusedElaboratable=no
"""Runs vector instructions on the vector unit: rows of results in, rows of results out."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ...formats.accelerator.config import AcceleratorConfig
from ...formats.accelerator.instructions import Opcode
from ...formats.vector.command import COMMAND_FIELDS, REDUCTIONS, Addend, Factor, VectorOperation
from ..array.buffers import ADDRESS_BITS, READ, answer_layout, write_layout
from ..interfaces import Stream
from ..isa import operands_layout
from .unit import VectorUnit

VECTOR = operands_layout(Opcode.VECTOR)


class VectorSequencer(wiring.Component):
    """A `VectorUnit` whose operands come from the result buffer, and whose results go there.

    Timing: from the cycle after the command is taken a row is asked for per cycle, of each vector the right operand
    first. The next command is taken when all results are written. See `vector_instruction_cycles`.

    Parameters
    ----------
    config : `AcceleratorConfig`

    Members
    -------
    command : `In(stream.Signature(VECTOR))`
    read : `Out(stream.Signature(READ))`
    answer : `In(stream.Signature(answer_layout(16 * lanes)))`
        Rows of the result buffer: to read, and as they come.
    write : `Out(stream.Signature(write_layout(16 * lanes)))`
        Rows of the result buffer.
    finished : `Out(1)`
        A command is done in this cycle.
    saturated : `Out(1)`
        Sticky: a result overflowed FP16.
    """

    command: Stream
    read: Stream
    answer: Stream
    write: Stream
    finished: Signal
    saturated: Signal

    def __init__(self, config: AcceleratorConfig) -> None:
        width = 16 * config.lanes
        self._unit = VectorUnit(lanes=config.lanes)
        super().__init__(
            {
                "command": In(stream.Signature(VECTOR)),
                "read": Out(stream.Signature(READ)),
                "answer": In(stream.Signature(answer_layout(width))),
                "write": Out(stream.Signature(write_layout(width))),
                "finished": Out(1),
                "saturated": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Connect the vector unit to the result buffer's read and write ports."""
        m = Module()
        m.submodules.unit = unit = self._unit
        command: Any = Signal(VECTOR)
        busy = Signal()
        given = Signal()
        done = unit.command.valid & unit.command.ready
        m.d.comb += [
            self.command.ready.eq(~busy),
            unit.command.valid.eq(busy & ~given),
            *[unit.command.payload[name].eq(command[name]) for name, _ in COMMAND_FIELDS],
            self.saturated.eq(unit.saturated),
        ]
        self._read(m, command, busy)
        last_written = self._write(m, command)
        m.d.comb += self.finished.eq(Mux(command.to_scalar, done, last_written))
        with m.If(done):
            m.d.sync += given.eq(1)
        with m.If(self.finished):
            m.d.sync += Cat(busy, given).eq(0)
        with m.If(self.command.valid & self.command.ready):
            m.d.sync += [busy.eq(1), command.eq(self.command.payload)]
        return m

    def _read(self, m: Module, command: Any, busy: Signal) -> None:
        """Ask for the operands; the right one of a vector waits in a register for the left one."""
        unit = self._unit
        loads, reduces = command.operation == VectorOperation.LOAD, command.operation.matches(*REDUCTIONS)
        added = (command.addend == Addend.RIGHT) & ~reduces
        left = Signal()
        right = Signal()
        m.d.comb += [
            left.eq(~loads & ~command.left_is_scalar),
            right.eq(~loads & ((command.factor == Factor.RIGHT) | added)),
        ]
        # of the vector that is asked for, whether the left operand is next
        second = Signal()
        index = Signal.like(command.vectors)
        offset = Signal(ADDRESS_BITS)
        takes_left = left & (second | ~right)
        asked = Signal()
        m.d.comb += [
            self.read.valid.eq(busy & (left | right) & (index != command.vectors)),
            self.read.payload.address.eq(Mux(takes_left, command.left, command.right) + offset),
            self.read.payload.tag.eq(takes_left),
            asked.eq(self.read.valid & self.read.ready),
        ]
        with m.If(asked):
            m.d.sync += second.eq(left & right & ~second)
            with m.If(takes_left | ~left):
                m.d.sync += [index.eq(index + 1), offset.eq(offset + command.stride)]
        with m.If(self.finished):
            m.d.sync += Cat(index, offset).eq(0)
        from_left = self.answer.payload.tag
        m.d.comb += [
            unit.left.valid.eq(self.answer.valid & from_left),
            Value.cast(unit.left.payload).eq(self.answer.payload.data),
            self.answer.ready.eq(Mux(from_left, unit.left.ready, ~unit.right.valid | unit.right.ready)),
        ]
        with m.If(unit.right.ready):
            m.d.sync += unit.right.valid.eq(0)
        with m.If(self.answer.valid & ~from_left & self.answer.ready):
            m.d.sync += [unit.right.valid.eq(1), Value.cast(unit.right.payload).eq(self.answer.payload.data)]

    def _write(self, m: Module, command: Any) -> Value:
        """Write the results. Returns a signal that is high in the cycle that writes the last one."""
        results = self._unit.results
        index = Signal.like(command.vectors)
        offset = Signal(ADDRESS_BITS)
        last = index == command.vectors - 1
        moved = self.write.valid & self.write.ready
        m.d.comb += [
            self.write.valid.eq(results.valid),
            results.ready.eq(self.write.ready),
            self.write.payload.address.eq(command.result + offset),
            self.write.payload.data.eq(Value.cast(results.payload)),
        ]
        with m.If(moved):
            m.d.sync += [index.eq(index + 1), offset.eq(offset + command.stride)]
            with m.If(last):
                m.d.sync += Cat(index, offset).eq(0)
        return moved & last
