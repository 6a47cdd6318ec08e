# amaranth: UnusedElaboratable=no
"""On-chip memories behind streams."""

from amaranth.hdl import Cat, Module, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ...formats.accelerator import instructions
from ...formats.checks import check_integer
from ..interfaces import MASK_BITS, Stream, plane_rows_layout

MAX_DEPTH = 1 << instructions.ADDRESS_BITS
"""Rows of an on-chip memory, at most."""

ADDRESS_BITS = instructions.ADDRESS_BITS + 2
"""Bits of an address within the circuit. An instruction's address and one step of a walk over rows (at most 1023 groups of
17 planes) are less than 2^16 together, so that no walk gets past a memory's last row without being seen there."""


def write_layout(width: int) -> data.StructLayout:
    """A row to write: its `address` and its `data`."""
    return data.StructLayout({"address": ADDRESS_BITS, "data": width})


READ = data.StructLayout({"address": ADDRESS_BITS, "tag": 1})
"""A row to read: its `address`, and a `tag` that comes back with it."""


def answer_layout(width: int) -> data.StructLayout:
    """A row that was read: its `data`, and the request's `tag`."""
    return data.StructLayout({"data": width, "tag": 1})


class RowBuffer(wiring.Component):
    """Memory of `depth` rows of `width` bits, with a port to read and one to write.

    Timing: a write takes a cycle. Reads are answered in order, in the next cycle or as soon as the answer before has
    been taken; one read and one write per cycle. A row that is written in the cycle in which it is read is read as it
    was. A row that does not exist is not written, and reads as the
    row that was read before.

    Members
    -------
    write : `In(stream.Signature(write_layout(width)))`
        Always ready.
    read : `In(stream.Signature(READ))`
    answer : `Out(stream.Signature(answer_layout(width)))`
    out_of_range : `Out(1)`
        A row that does not exist is read or written in this cycle.
    """

    write: Stream
    read: Stream
    answer: Stream
    out_of_range: Signal

    def __init__(self, *, width: int, depth: int) -> None:
        self.width = check_integer("width", width, 1, 1 << 16)
        self.depth = check_integer("depth", depth, 2, MAX_DEPTH)
        super().__init__(
            {
                "write": In(stream.Signature(write_layout(width))),
                "read": In(stream.Signature(READ)),
                "answer": Out(stream.Signature(answer_layout(width))),
                "out_of_range": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Connect the memory's ports to the streams, with a check of every address."""
        m = Module()
        m.submodules.memory = memory = Memory(shape=self.width, depth=self.depth, init=[])
        write_port = memory.write_port()
        read_port = memory.read_port()
        taken = Signal()
        miswritten, misread = (port.payload.address >= self.depth for port in (self.write, self.read))
        m.d.comb += [
            self.write.ready.eq(1),
            write_port.en.eq(self.write.valid & ~miswritten),
            write_port.addr.eq(self.write.payload.address),
            write_port.data.eq(self.write.payload.data),
            self.read.ready.eq(~self.answer.valid | self.answer.ready),
            taken.eq(self.read.valid & self.read.ready),
            # the port keeps its row while it is not enabled
            read_port.en.eq(taken & ~misread),
            read_port.addr.eq(self.read.payload.address),
            self.answer.payload.data.eq(read_port.data),
            self.out_of_range.eq((self.write.valid & miswritten) | (taken & misread)),
        ]
        with m.If(taken):
            m.d.sync += self.answer.payload.tag.eq(self.read.payload.tag)
        with m.If(self.read.ready):
            m.d.sync += self.answer.valid.eq(self.read.valid)
        return m


PLANE_READ = data.StructLayout({"plane": ADDRESS_BITS, "exponents": ADDRESS_BITS, "last": 1})
"""A bit-plane to read.

Members
-------
plane, exponents
    Where the plane and its group's exponents are.
last
    Comes back with the plane: it is the group's last.
"""


class ActivationBuffer(wiring.Component):
    """The memories of bit-planes and of shared exponents, read together (Anda paper, section IV-A).

    A row of the first holds the same plane of `rows` tokens' groups, a row of the second their exponents, and above them
    their plane mask if `masked`. A group takes M + 1 consecutive rows of the first, the sign plane first, and one of the
    second.

    Timing: see `RowBuffer`.

    Members
    -------
    write_planes, write_exponents : `In(stream.Signature(write_layout(...)))`
        Rows of ``rows * lanes`` and of ``rows * 5`` bits, with masks 15 more.
    read : `In(stream.Signature(PLANE_READ))`
    planes : `Out(stream.Signature(plane_rows_layout(rows, lanes, masked=masked)))`
        The answers; payload and mask stay until the next one.
    out_of_range : `Out(1)`
        See `RowBuffer`; set if it is set in either memory.
    """

    write_planes: Stream
    write_exponents: Stream
    read: Stream
    planes: Stream
    out_of_range: Signal

    def __init__(self, *, rows: int, lanes: int, depth: int, exponent_depth: int, masked: bool = False) -> None:
        layout = plane_rows_layout(rows, lanes, masked=masked)
        self._masked = masked
        self._planes = RowBuffer(width=layout["planes"].width, depth=depth)
        self._exponents = RowBuffer(width=layout["exponents"].width + MASK_BITS * masked, depth=exponent_depth)
        super().__init__(
            {
                "write_planes": In(stream.Signature(write_layout(self._planes.width))),
                "write_exponents": In(stream.Signature(write_layout(self._exponents.width))),
                "read": In(stream.Signature(PLANE_READ)),
                "planes": Out(stream.Signature(layout)),
                "out_of_range": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Read both memories with each request; answer with plane and exponents."""
        m = Module()
        m.submodules.planes = planes = self._planes
        m.submodules.exponents = exponents = self._exponents
        wiring.connect(m, planes.write, wiring.flipped(self.write_planes))
        wiring.connect(m, exponents.write, wiring.flipped(self.write_exponents))
        answer = self.planes.payload
        beside = Cat(Value.cast(answer.exponents), answer.mask) if self._masked else Value.cast(answer.exponents)
        m.d.comb += [
            planes.read.payload.address.eq(self.read.payload.plane),
            planes.read.payload.tag.eq(self.read.payload.last),
            exponents.read.payload.address.eq(self.read.payload.exponents),
            self.read.ready.eq(planes.read.ready),
            Value.cast(answer.planes).eq(planes.answer.payload.data),
            beside.eq(exponents.answer.payload.data),
            answer.last.eq(planes.answer.payload.tag),
            self.planes.valid.eq(planes.answer.valid),
            self.out_of_range.eq(planes.out_of_range | exponents.out_of_range),
        ]
        for buffer in (planes, exponents):
            m.d.comb += [buffer.read.valid.eq(self.read.valid), buffer.answer.ready.eq(self.planes.ready)]
        return m
