# amaranth: UnusedElaboratable=no
"""Memory with programmable latency, for testbenches: a circuit, so that it behaves alike in every simulator."""

from typing import Any

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out

from ...formats.accelerator.instructions import MEMORY_ADDRESS_BITS
from ...formats.latency.array import MEMORY_OUTSTANDING_ROWS
from ..accelerator.dma import memory_write_layout
from ..array.buffers import ADDRESS_BITS, RowBuffer
from ..interfaces import Stream

LATENCY_BITS = 12

MEMORY_TIMING = data.StructLayout({"latency": LATENCY_BITS, "pauses": 8})
"""Timing of a `MemoryModel`.

Members
-------
latency
    Cycles from a request to its row, at least 2.
pauses
    Average number of cycles in 256 in which a port pauses: the memory accepts no request, sends no row, or accepts no
    row to write. The three ports pause independently.
"""


class MemoryModel(wiring.Component):
    """Memory with one read port and one write port.

    A row follows its request after `latency` cycles, in order, one row per cycle. Up to 64 requests can be pending. A
    write takes one cycle.

    Parameters
    ----------
    width : `int`
        Bits of a row.
    depth : `int`
        Number of rows.

    Members
    -------
    timing : `In(MEMORY_TIMING)`
        Latency and pauses.
    read : `In(stream.Signature(32))`
        Addresses to read.
    data : `Out(stream.Signature(width))`
        Rows, in the order of the requests.
    write : `In(stream.Signature(memory_write_layout(width)))`
        Rows to write, with their addresses.
    """

    timing: Any
    read: Stream
    data: Stream
    write: Stream

    def __init__(self, *, width: int, depth: int) -> None:
        self._rows = RowBuffer(width=width, depth=depth)
        super().__init__(
            {
                "timing": In(MEMORY_TIMING),
                "read": In(stream.Signature(MEMORY_ADDRESS_BITS)),
                "data": Out(stream.Signature(width)),
                "write": In(stream.Signature(memory_write_layout(width))),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Queue of requests with the cycle in which each is due, in front of a `RowBuffer`."""
        m = Module()
        m.submodules.rows = rows = self._rows
        due = Signal(LATENCY_BITS + 1)
        now = Signal.like(due)
        entry = data.StructLayout({"address": ADDRESS_BITS, "due": due.shape()})
        m.submodules.requests = requests = SyncFIFO(width=entry.size, depth=MEMORY_OUTSTANDING_ROWS)
        asked: Any = data.View(entry, requests.w_data)
        head: Any = data.View(entry, requests.r_data)
        pause_read, pause_data, pause_write = self._pauses(m)
        waiting = Signal.like(due)
        m.d.sync += now.eq(now + 1)
        m.d.comb += [
            # the row is read in the cycle before it can move
            due.eq(now + self.timing.latency - 1),
            asked.address.eq(self.read.payload),
            asked.due.eq(due),
            requests.w_en.eq(self.read.valid & ~pause_read),
            self.read.ready.eq(requests.w_rdy & ~pause_read),
            # modulo 2**13; negative until the request is due
            waiting.eq(now - head.due),
            rows.read.valid.eq(requests.r_rdy & ~waiting[-1] & ~pause_data),
            rows.read.payload.address.eq(head.address),
            requests.r_en.eq(rows.read.valid & rows.read.ready),
            self.data.valid.eq(rows.answer.valid),
            self.data.payload.eq(rows.answer.payload.data),
            rows.answer.ready.eq(self.data.ready),
            rows.write.valid.eq(self.write.valid & ~pause_write),
            rows.write.payload.address.eq(self.write.payload.address),
            rows.write.payload.data.eq(self.write.payload.data),
            self.write.ready.eq(rows.write.ready & ~pause_write),
        ]
        return m

    def _pauses(self, m: Module) -> list[Signal]:
        """Three pseudo-random bits from a shift register with feedback polynomial x^32 + x^22 + x^2 + x + 1."""
        noise = Signal(32, init=0xACE1ACE1)
        steps = noise
        for _ in range(3):
            steps = Cat(steps[31] ^ steps[21] ^ steps[1] ^ steps[0], steps[:31])
        m.d.sync += noise.eq(steps)
        return [noise[start : start + 8] < self.timing.pauses for start in (0, 11, 22)]
