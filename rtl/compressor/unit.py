# amaranth: UnusedElaboratable=no
"""Runs compress instructions: results through the bit-plane compressor into the activation buffer."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ...formats.accelerator.config import AcceleratorConfig
from ...formats.accelerator.instructions import BLOCKS_BITS, Buffer, Opcode
from ..array.buffers import ADDRESS_BITS, READ, answer_layout, write_layout
from ..interfaces import Stream
from ..isa import operands_layout
from .bpc import BitPlaneCompressor, BitPlaneCompressorParameters

COMPRESS = operands_layout(Opcode.COMPRESS)


class Compression(wiring.Component):
    """A `BitPlaneCompressor` between the result buffer and the activation buffer.

    Timing: rows of results are asked for from the cycle after the command is taken, one per cycle as far as the
    compressor takes them; `compress_cycles` in all. The next command is taken after the last row.

    Parameters
    ----------
    config : `AcceleratorConfig`

    Members
    -------
    command : `In(stream.Signature(COMPRESS))`
    read : `Out(stream.Signature(READ))`
    results : `In(stream.Signature(answer_layout(16 * lanes)))`
        Rows of the result buffer: to read, and as they come.
    write_planes, write_exponents : `Out(stream.Signature(write_layout(...)))`
        Rows of the activation buffer.
    finished : `Out(1)`
        The last row of a command is written in this cycle.
    nonfinite : `Out(1)`
        Sticky: an infinity or NaN was replaced.
    """

    command: Stream
    read: Stream
    results: Stream
    write_planes: Stream
    write_exponents: Stream
    finished: Signal
    nonfinite: Signal

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        width = config.row_bits
        super().__init__(
            {
                "command": In(stream.Signature(COMPRESS)),
                "read": Out(stream.Signature(READ)),
                "results": In(stream.Signature(answer_layout(width[Buffer.RESULTS]))),
                "write_planes": Out(stream.Signature(write_layout(width[Buffer.PLANES]))),
                "write_exponents": Out(stream.Signature(write_layout(width[Buffer.EXPONENTS]))),
                "finished": Out(1),
                "nonfinite": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Connect result buffer, compressor and activation buffer."""
        m = Module()
        config = self.config
        m.submodules.compressor = compressor = BitPlaneCompressor(
            BitPlaneCompressorParameters(
                rows=config.rows,
                lanes=config.lanes,
                max_mantissa_bits=config.max_mantissa_bits,
                nearest=config.nearest,
                masks=config.skipping,
            )
        )
        command: Any = Signal(COMPRESS)
        busy = Signal()
        m.d.comb += [self.command.ready.eq(~busy), self.nonfinite.eq(compressor.saturated)]
        self._read(m, command, compressor)
        self._write(m, command, compressor)
        with m.If(self.finished):
            m.d.sync += busy.eq(0)
        with m.If(self.command.valid & self.command.ready):
            m.d.sync += [busy.eq(1), command.eq(self.command.payload), self.read.valid.eq(1)]
        return m

    def _read(self, m: Module, command: Any, compressor: BitPlaneCompressor) -> None:
        """Rows of results to the compressor."""
        token = Signal(range(self.config.rows))
        block = Signal(BLOCKS_BITS)
        offset = Signal(ADDRESS_BITS)
        last_token = token == self.config.rows - 1
        groups = compressor.groups
        m.d.comb += [
            self.read.payload.address.eq(command.results + offset),
            groups.valid.eq(self.results.valid),
            self.results.ready.eq(groups.ready),
            Value.cast(groups.payload.values).eq(self.results.payload.data),
            groups.payload.mantissa_bits.eq(command.mantissa_bits),
        ]
        with m.If(self.read.valid & self.read.ready):
            m.d.sync += [offset.eq(offset + 1), token.eq(Mux(last_token, 0, token + 1))]
            with m.If(last_token):
                m.d.sync += block.eq(block + 1)
                with m.If(block == command.blocks - 1):
                    m.d.sync += [self.read.valid.eq(0), Cat(block, offset).eq(0)]

    def _write(self, m: Module, command: Any, compressor: BitPlaneCompressor) -> None:
        """Planes to the activation buffer, with a block's first its exponents.

        If there are masks, which come with a block's last plane, its exponents wait for them.
        """
        planes, payload = compressor.planes, compressor.planes.payload
        plane = Signal(5)
        first = Signal()
        moved = Signal()
        first_plane = Signal(ADDRESS_BITS)
        group = Signal(ADDRESS_BITS)
        exponents, with_exponents = Value.cast(payload.exponents), first
        if self.config.skipping:
            kept = Signal.like(exponents, name="exponents")
            with m.If(moved & first):
                m.d.sync += kept.eq(exponents)
            exponents, with_exponents = Cat(kept, payload.mask), payload.last
        m.d.comb += [
            first.eq(plane == 0),
            planes.ready.eq(self.write_planes.ready & (~with_exponents | self.write_exponents.ready)),
            moved.eq(planes.valid & planes.ready),
            self.write_planes.valid.eq(planes.valid & (~with_exponents | self.write_exponents.ready)),
            self.write_planes.payload.address.eq(first_plane + plane),
            self.write_planes.payload.data.eq(Value.cast(payload.planes)),
            self.write_exponents.valid.eq(planes.valid & with_exponents & self.write_planes.ready),
            self.write_exponents.payload.address.eq(group),
            self.write_exponents.payload.data.eq(exponents),
        ]
        last_block = Signal()
        left = Signal(BLOCKS_BITS)
        m.d.comb += [last_block.eq(left == 1), self.finished.eq(moved & payload.last & last_block)]
        with m.If(moved):
            m.d.sync += plane.eq(plane + 1)
            with m.If(payload.last):
                m.d.sync += [
                    plane.eq(0),
                    left.eq(left - 1),
                    first_plane.eq(first_plane + command.stride * (command.mantissa_bits + 1)),
                    group.eq(group + command.stride),
                ]
        with m.If(self.command.valid & self.command.ready):
            given = self.command.payload
            m.d.sync += [left.eq(given.blocks), first_plane.eq(given.planes), group.eq(given.exponents)]
