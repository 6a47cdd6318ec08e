# amaranth: UnusedElaboratable=no
"""Runs GeMM instructions on the matrix engine: a command for each block of tokens, and places for the results."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out

from ...formats.accelerator.config import AcceleratorConfig
from ...formats.accelerator.instructions import BLOCKS_BITS, FIELDS, MAX_UNFINISHED, Opcode
from ..array.buffers import ADDRESS_BITS, write_layout
from ..array.dispatch import TILES
from ..interfaces import FP16, Stream
from ..isa import operands_layout

GEMM = operands_layout(Opcode.GEMM)
_SAME = [field.name for field in FIELDS[Opcode.GEMM] if field.name not in ("results", "output_groups", "blocks")]
"""The fields that the engine's command has too."""

_RESULTS = data.StructLayout({"address": ADDRESS_BITS, "output_groups": 10, "blocks": BLOCKS_BITS})


class GemmSequencer(wiring.Component):
    """Gives the engine a command for each block of an instruction, and writes what comes back to the result buffer.

    Timing: the first command is valid in the cycle after the instruction is taken; the next instruction is taken with
    the last command. A row of results is written in the cycle in which it comes.

    Parameters
    ----------
    config : `AcceleratorConfig`

    Members
    -------
    command : `In(stream.Signature(GEMM))`
    tiles : `Out(stream.Signature(TILES))`
        Commands of the engine.
    groups : `In(stream.Signature(ArrayLayout(FP16, lanes)))`
        Its outputs.
    write : `Out(stream.Signature(write_layout(16 * lanes)))`
        Rows of the result buffer.
    finished : `Out(1)`
        The last row of an instruction is written in this cycle.
    """

    command: Stream
    tiles: Stream
    groups: Stream
    write: Stream
    finished: Signal

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        super().__init__(
            {
                "command": In(stream.Signature(GEMM)),
                "tiles": Out(stream.Signature(TILES)),
                "groups": In(stream.Signature(data.ArrayLayout(FP16, config.lanes))),
                "write": Out(stream.Signature(write_layout(16 * config.lanes))),
                "finished": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Connect the command side and the result side by a queue of places."""
        m = Module()
        m.submodules.places = places = SyncFIFO(width=_RESULTS.size, depth=MAX_UNFINISHED)
        self._give_commands(m, places)
        self._write_results(m, places)
        return m

    def _give_commands(self, m: Module, places: SyncFIFO) -> None:
        given, tiles = self.command.payload, self.tiles.payload
        left = Signal(BLOCKS_BITS)
        moved = Signal()
        last = left == 1
        place: Any = data.View(_RESULTS, places.w_data)
        m.d.comb += [
            moved.eq(self.tiles.valid & self.tiles.ready),
            self.command.ready.eq((~self.tiles.valid | (moved & last)) & places.w_rdy),
            places.w_en.eq(self.command.valid & self.command.ready),
            place.address.eq(given.results),
            place.output_groups.eq(given.output_groups),
            place.blocks.eq(given.blocks),
        ]
        with m.If(moved):
            m.d.sync += [
                left.eq(left - 1),
                self.tiles.valid.eq(~last),
                tiles.planes.eq(tiles.planes + tiles.groups * (tiles.mantissa_bits + 1)),
                tiles.exponents.eq(tiles.exponents + tiles.groups),
            ]
        with m.If(self.command.valid & self.command.ready):
            m.d.sync += [self.tiles.valid.eq(1), left.eq(given.blocks)]
            m.d.sync += tiles.tiles.eq(given.output_groups * self.config.tiles)
            m.d.sync += [tiles[name].eq(given[name]) for name in _SAME]

    def _write_results(self, m: Module, places: SyncFIFO) -> None:
        place: Any = data.View(_RESULTS, places.r_data)
        token = Signal(range(self.config.rows))
        group = Signal(10)
        block = Signal(BLOCKS_BITS)
        offset = Signal(ADDRESS_BITS)
        last_token, last_group = token == self.config.rows - 1, group == place.output_groups - 1
        moved = self.write.valid & self.write.ready
        m.d.comb += [
            self.write.valid.eq(self.groups.valid),
            self.groups.ready.eq(self.write.ready),
            self.write.payload.address.eq(place.address + offset),
            self.write.payload.data.eq(Value.cast(self.groups.payload)),
            self.finished.eq(moved & last_token & last_group & (block == place.blocks - 1)),
            places.r_en.eq(self.finished),
        ]
        with m.If(moved):
            m.d.sync += [offset.eq(offset + 1), token.eq(Mux(last_token, 0, token + 1))]
            with m.If(last_token):
                m.d.sync += group.eq(Mux(last_group, 0, group + 1))
                with m.If(last_group):
                    m.d.sync += block.eq(block + 1)
        with m.If(self.finished):
            m.d.sync += Cat(block, offset).eq(0)
