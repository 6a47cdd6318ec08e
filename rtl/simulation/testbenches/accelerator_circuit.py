# amaranth: UnusedElaboratable=no
"""Circuit for testbenches: the accelerator with its memory, and a host that fills, starts and reads them."""

from amaranth.hdl import Module, Signal, Value
from amaranth.lib import data, enum, stream, wiring
from amaranth.lib.wiring import In, Out

from ....formats.accelerator.instructions import INSTRUCTION_BITS, MEMORY_ADDRESS_BITS
from ...accelerator.top import STATUS, Accelerator
from ...interfaces import Stream
from ...isa import RETIRE_INDEX_BITS, RETIRED
from ..memory_model import MEMORY_TIMING, MemoryModel


class HostAction(enum.Enum, shape=3):
    """Action that the host orders of an `AcceleratorBench`."""

    SET_TIMING = 0
    WRITE_MEMORY = 1
    WRITE_PROGRAM = 2
    RUN = 3
    READ_MEMORY = 4


def host_layout(width: int) -> data.StructLayout:
    """Layout of an order: `action`, `address` and `data`; an action ignores the fields that it does not need."""
    return data.StructLayout(
        {"data": max(width, INSTRUCTION_BITS), "address": MEMORY_ADDRESS_BITS, "action": HostAction}
    )


class AcceleratorBench(wiring.Component):
    """Accelerator with its memory, and a port for the orders of a host.

    Parameters
    ----------
    accelerator : `Accelerator`
        Accelerator under test.
    memory_depth : `int`
        Number of rows of the memory.

    Members
    -------
    host : `In(stream.Signature(host_layout(memory_bits)))`
        Orders. The next order is accepted when the previous one is done.
    started : `Out(stream.Signature(1))`
        One transfer in the cycle in which a program starts.
    done : `Out(stream.Signature(STATUS))`
        Status at the end of each run.
    rows : `Out(stream.Signature(memory_bits))`
        Rows that the host reads.
    group, tile, loader, matrix, compressor, storer : `Out(stream.Signature(24))`
        Indices of the retire records of each kind. A record that is not accepted is lost.
    """

    host: Stream
    started: Stream
    done: Stream
    rows: Stream

    def __init__(self, *, accelerator: Accelerator, memory_depth: int) -> None:
        self._accelerator = accelerator
        width = accelerator.config.memory_bits
        self._memory = MemoryModel(width=width, depth=memory_depth)
        super().__init__(
            {
                "host": In(stream.Signature(host_layout(width))),
                "started": Out(stream.Signature(1)),
                "done": Out(stream.Signature(STATUS)),
                "rows": Out(stream.Signature(width)),
                **{name: Out(stream.Signature(RETIRE_INDEX_BITS)) for name in RETIRED},
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Accelerator and memory, and a state machine that carries out one order at a time."""
        m = Module()
        m.submodules.accelerator = accelerator = self._accelerator
        m.submodules.memory = memory = self._memory
        running = Signal()
        reading = Signal()
        timing = Signal(MEMORY_TIMING.size)
        m.d.comb += [
            Value.cast(memory.timing).eq(timing),
            memory.write.valid.eq(accelerator.memory_write.valid),
            memory.write.payload.eq(accelerator.memory_write.payload),
            accelerator.memory_write.ready.eq(memory.write.ready),
        ]
        self._connect_reads(m, reading)
        wiring.connect(m, accelerator.done, wiring.flipped(self.done))
        for name in RETIRED:
            record, port = accelerator.retire[name], getattr(self, name)
            m.d.comb += [port.valid.eq(record.valid), port.payload.eq(record.index)]
        with m.If(self.done.valid & self.done.ready):
            m.d.sync += running.eq(0)
        with m.If(~running & ~reading), m.Switch(self.host.payload.action):
            with m.Case(HostAction.SET_TIMING):
                m.d.comb += self.host.ready.eq(1)
                with m.If(self.host.valid):
                    m.d.sync += timing.eq(self.host.payload.data)
            with m.Case(HostAction.WRITE_MEMORY):
                self._write(m, memory.write)
            with m.Case(HostAction.WRITE_PROGRAM):
                self._write(m, accelerator.program)
            with m.Case(HostAction.RUN):
                self._start(m, running)
            with m.Case(HostAction.READ_MEMORY):
                m.d.comb += [
                    memory.read.valid.eq(self.host.valid),
                    memory.read.payload.eq(self.host.payload.address),
                    self.host.ready.eq(memory.read.ready),
                ]
                with m.If(self.host.valid & self.host.ready):
                    m.d.sync += reading.eq(1)
        with m.If(self.rows.valid & self.rows.ready):
            m.d.sync += reading.eq(0)
        return m

    def _write(self, m: Module, port: Stream) -> None:
        m.d.comb += [
            port.valid.eq(self.host.valid),
            port.payload.address.eq(self.host.payload.address),
            port.payload.data.eq(self.host.payload.data),
            self.host.ready.eq(port.ready),
        ]

    def _start(self, m: Module, running: Signal) -> None:
        start = self._accelerator.start
        m.d.comb += [
            start.valid.eq(self.host.valid & self.started.ready),
            start.payload.eq(self.host.payload.address),
            self.started.valid.eq(self.host.valid & start.ready),
            self.host.ready.eq(start.ready & self.started.ready),
        ]
        with m.If(self.host.valid & self.host.ready):
            m.d.sync += running.eq(1)

    def _connect_reads(self, m: Module, reading: Signal) -> None:
        """Connect the memory's read port to the accelerator, or to the host while it reads."""
        accelerator, memory = self._accelerator, self._memory
        m.d.comb += [
            memory.read.valid.eq(accelerator.memory_read.valid),
            memory.read.payload.eq(accelerator.memory_read.payload),
            accelerator.memory_read.ready.eq(memory.read.ready),
            accelerator.memory_data.payload.eq(memory.data.payload),
            self.rows.payload.eq(memory.data.payload),
        ]
        with m.If(reading):
            m.d.comb += [self.rows.valid.eq(memory.data.valid), memory.data.ready.eq(self.rows.ready)]
        with m.Else():
            m.d.comb += [
                accelerator.memory_data.valid.eq(memory.data.valid),
                memory.data.ready.eq(accelerator.memory_data.ready),
            ]
