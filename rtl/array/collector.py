"""Turns the matrix unit's columns of outputs into the groups that compressor, vector unit and memory work on."""

from itertools import pairwise
from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..interfaces import FP16, Stream


class OutputCollector(wiring.Component):
    """Collects `lanes` columns of `rows` tokens, and sends `rows` groups of `lanes` values: a transposition.

    Timing: a column per cycle; the first group is valid in the cycle after the last column; a group per cycle. Columns
    wait while groups leave, which costs the array nothing unless its tiles are shorter than that.

    Members
    -------
    columns : `In(stream.Signature(ArrayLayout(FP16, rows)))`
        An output channel of all tokens.
    groups : `Out(stream.Signature(ArrayLayout(FP16, lanes)))`
        `lanes` output channels of a token.
    """

    columns: Stream
    groups: Stream

    def __init__(self, *, rows: int, lanes: int) -> None:
        self.rows = rows
        self.lanes = lanes
        super().__init__(
            {
                "columns": In(stream.Signature(data.ArrayLayout(FP16, rows))),
                "groups": Out(stream.Signature(data.ArrayLayout(FP16, lanes))),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Shift columns in until the groups are complete, then shift groups out."""
        m = Module()
        tokens: list[Any] = [Signal(16 * self.lanes, name=f"token_{row}") for row in range(self.rows)]
        received = Signal(range(self.lanes))
        sent = Signal(range(self.rows))
        last_column, last_group = received == self.lanes - 1, sent == self.rows - 1
        m.d.comb += [self.columns.ready.eq(~self.groups.valid), self.groups.payload.eq(tokens[0])]
        with m.If(self.columns.valid & self.columns.ready):
            m.d.sync += [token.eq(Cat(token[16:], self.columns.payload[row])) for row, token in enumerate(tokens)]
            m.d.sync += [received.eq(Mux(last_column, 0, received + 1)), self.groups.valid.eq(last_column)]
        with m.If(self.groups.valid & self.groups.ready):
            m.d.sync += [token.eq(above) for token, above in pairwise(tokens)]
            m.d.sync += [sent.eq(Mux(last_group, 0, sent + 1)), self.groups.valid.eq(~last_group)]
        return m
