"""Feeds the matrix unit: address generators, and the weights' double buffer."""

from typing import Any, Literal

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ...formats.latency.array import WEIGHT_LOAD_CYCLES
from ..interfaces import CODE_BITS, MASK_BITS, SKIPPED_BITS, Stream
from .buffers import ADDRESS_BITS

GROUPS_BITS = 10
TILES_BITS = 13

TILES = data.StructLayout(
    {
        "planes": ADDRESS_BITS,
        "exponents": ADDRESS_BITS,
        "weights": ADDRESS_BITS,
        "factors": ADDRESS_BITS,
        "groups": GROUPS_BITS,
        "tiles": TILES_BITS,
        "mantissa_bits": 5,
        "groups_per_factor": 6,
        "unsigned_codes": 1,
    }
)
"""Tiles to compute, one after the other: the same activations times different output channels.

Members
-------
planes, exponents, weights, factors
    The first row of each in its buffer; the others follow.
groups, tiles
    Groups of a tile, and tiles; at least 1.
mantissa_bits
    M of the activations.
groups_per_factor
    Activation groups that share a weight group, and with it a row of factors; at least 1.
unsigned_codes
    The weights' codes are 0 to 15, else -8 to 7.
"""

ROW_REQUEST = data.StructLayout(
    {
        "address": ADDRESS_BITS,
        "exponents": ADDRESS_BITS,
        "last_row": 1,
        "last_group": 1,
        "unsigned_codes": 1,
        "skipped": SKIPPED_BITS,
    }
)
"""A row to read.

Members
-------
address
    Address of the row.
exponents
    Address of the exponents of its group.
last_row, last_group
    It is the last row of its group; its group is the last of the tile.
unsigned_codes
    See `TILES`.
skipped
    Rows between this one and the next that are not read.
"""


class AddressGenerator(wiring.Component):
    """Walks through the rows of some tiles: tile by tile, group by group, row by row.

    A group has M + 1 rows of planes, which every tile reads again; four rows of weights; and one row of factors, which
    it may share with the groups beside it. With `skipping`, planes whose bit in the group's mask is zero are passed over.

    Timing: the first request is valid in the cycle after the command is taken; one request per cycle; the next command
    is taken with the last request.

    Parameters
    ----------
    field : `str`
        ``"planes"``, ``"weights"`` or ``"factors"``.
    skipping : `bool`
        Only of planes.

    Members
    -------
    command : `In(stream.Signature(TILES))`
    requests : `Out(stream.Signature(ROW_REQUEST))`
    mask : `In(15)`
        The plane mask of the group of the last request, from the cycle after. Only with `skipping`.
    """

    command: Stream
    requests: Stream
    mask: Signal

    def __init__(self, *, field: Literal["planes", "weights", "factors"], skipping: bool = False) -> None:
        self.field = field
        self.skipping = skipping
        members = {"command": In(stream.Signature(TILES)), "requests": Out(stream.Signature(ROW_REQUEST))}
        super().__init__(members | ({"mask": In(MASK_BITS)} if skipping else {}))

    def elaborate(self, platform: object) -> Module:
        """Count rows, groups and tiles, and step the address."""
        m = Module()
        command: Any = Signal(TILES)
        request = self.requests.payload
        row = Signal(5)
        group = Signal(GROUPS_BITS)
        tile = Signal(TILES_BITS)
        sharing = Signal(6)
        last_rows = {"planes": command.mantissa_bits, "weights": WEIGHT_LOAD_CYCLES - 1, "factors": 0}
        last_tile = tile == command.tiles - 1
        last_sharing = (sharing == command.groups_per_factor - 1) | request.last_group
        if self.skipping:
            m.d.comb += request.skipped.eq(Mux(row == 0, 0, self._zero_planes(m, row, command.mantissa_bits)))
        last_row = row + request.skipped if self.skipping else row
        m.d.comb += [
            request.last_row.eq(last_row == last_rows[self.field]),
            request.last_group.eq(group == command.groups - 1),
            request.exponents.eq(command.exponents + group),
            request.unsigned_codes.eq(command.unsigned_codes),
            self.command.ready.eq(
                ~self.requests.valid | (self.requests.ready & request.last_row & request.last_group & last_tile)
            ),
        ]
        with m.If(self.requests.valid & self.requests.ready):
            advance = last_sharing if self.field == "factors" else Const(1)
            if self.skipping:
                advance = 1 + request.skipped
            m.d.sync += [
                row.eq(row + (advance if self.skipping else 1)),
                request.address.eq(request.address + advance),
            ]
            with m.If(request.last_row):
                m.d.sync += [
                    row.eq(0),
                    group.eq(group + 1),
                    sharing.eq(Mux(last_sharing, 0, sharing + 1)),
                ]
                with m.If(request.last_group):
                    m.d.sync += [group.eq(0), tile.eq(tile + 1)]
                    if self.field == "planes":
                        m.d.sync += request.address.eq(command.planes)
        with m.If(self.command.ready):
            m.d.sync += [
                self.requests.valid.eq(self.command.valid),
                command.eq(self.command.payload),
                request.address.eq(self.command.payload[self.field]),
                Cat(row, group, tile, sharing).eq(0),
            ]
        return m

    def _zero_planes(self, m: Module, row: Value, mantissa_bits: Value) -> Value:
        """Number of all-zero planes to skip after the plane of `row`, down to the M-th at most."""
        # bit i: plane row + i has a one; where the planes end there is a one, too
        following = Signal(MASK_BITS + 1)
        m.d.comb += following.eq(
            (self.mask | (Const(1) << (mantissa_bits - 1)[:SKIPPED_BITS])) >> (row - 1)[:SKIPPED_BITS]
        )
        count = Signal(SKIPPED_BITS)
        for position in reversed(range(MASK_BITS + 1)):
            with m.If(following[position]):
                m.d.comb += count.eq(position)
        return count


def weight_row_layout(columns: int, lanes: int) -> data.StructLayout:
    """A quarter of a group's weights: `codes` of 4 bits, and whether they are `unsigned_codes`."""
    return data.StructLayout({"codes": lanes * columns * CODE_BITS // WEIGHT_LOAD_CYCLES, "unsigned_codes": 1})


class WeightDispatcher(wiring.Component):
    """Gathers a group's weights from four buffer rows while the array computes with the group before.

    The rows hold the codes column by column, each column lane by lane, 4 bits each; the first row the lowest columns.

    Timing: a row per cycle. The weights are valid two cycles after their last row, and a group can be taken every four
    cycles (`WEIGHT_LOAD_CYCLES`). With `direct` they are valid in the cycle after their last row.

    Parameters
    ----------
    columns, lanes : `int`
        See `MatrixUnit`; their product is a multiple of 4.
    affine : `bool`
        Weights have 5 bits, so that codes of 0 to 15 fit.
    direct : `bool`
        The last row goes straight to the array if that waits for it: for units that need the weights with the sign plane, a
        cycle earlier.

    Members
    -------
    rows : `In(stream.Signature(weight_row_layout(columns, lanes)))`
    weights : `Out(stream.Signature(ArrayLayout(ArrayLayout(signed(weight_bits), lanes), columns)))`
    """

    rows: Stream
    weights: Stream

    def __init__(self, *, columns: int, lanes: int, affine: bool = False, direct: bool = False) -> None:
        self.direct = direct
        self.columns = columns
        self.lanes = lanes
        self.weight_bits = CODE_BITS + affine
        weights = data.ArrayLayout(data.ArrayLayout(signed(self.weight_bits), lanes), columns)
        super().__init__(
            {
                "rows": In(stream.Signature(weight_row_layout(columns, lanes))),
                "weights": Out(stream.Signature(weights)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Shift four rows into one register; swap it with the active one when the array is done."""
        m = Module()
        row = self.rows.payload
        row_bits = len(row.codes)
        loading, active = (Signal(row_bits * WEIGHT_LOAD_CYCLES, name=name) for name in ("loading", "active"))
        loading_unsigned = Signal()
        active_unsigned = Signal()
        count = Signal(range(WEIGHT_LOAD_CYCLES + 1))
        full = count == WEIGHT_LOAD_CYCLES
        swap = Signal()
        with_row = Cat(loading[row_bits:], row.codes)
        gathered, gathered_unsigned, complete = loading, loading_unsigned, full
        if self.direct:
            gathered, gathered_unsigned = Mux(full, loading, with_row), Mux(full, loading_unsigned, row.unsigned_codes)
            complete = full | (self.rows.valid & (count == WEIGHT_LOAD_CYCLES - 1))
        m.d.comb += [
            swap.eq(complete & (~self.weights.valid | self.weights.ready)),
            self.rows.ready.eq(~full | swap),
        ]
        with m.If(self.weights.ready):
            m.d.sync += self.weights.valid.eq(0)
        with m.If(swap):
            m.d.sync += [
                self.weights.valid.eq(1),
                active.eq(gathered),
                active_unsigned.eq(gathered_unsigned),
                count.eq(0),
            ]
        with m.If(self.rows.valid & self.rows.ready):
            m.d.sync += [
                loading.eq(with_row),
                loading_unsigned.eq(row.unsigned_codes),
                count.eq(Mux(swap, full, count + 1)),
            ]
        m.d.comb += Value.cast(self.weights.payload).eq(
            Cat(
                self._extended(active.word_select(index, CODE_BITS), active_unsigned)
                for index in range(self.columns * self.lanes)
            )
        )
        return m

    def _extended(self, code: Value, is_unsigned: Value) -> Value:
        """A code of 4 bits as a weight."""
        return code if self.weight_bits == CODE_BITS else Cat(code, code[-1] & ~is_unsigned)
