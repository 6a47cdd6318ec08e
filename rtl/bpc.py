# amaranth: UnusedElaboratable=no
"""The bit-plane compressor: FP16 groups in, Anda bit-planes out."""

from collections.abc import Sequence

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out

from .interfaces import (
    EXPONENT_BITS,
    FP16,
    MAX_LANES,
    MAX_MANTISSA_BITS,
    Stream,
    check_range,
    plane_layout,
    plane_rows_layout,
)
from .library import place

SIGNIFICAND_BITS = 11


def compressor_layout(lanes: int, max_mantissa_bits: int) -> data.StructLayout:
    """One group to compress.

    Members
    -------
    values : `ArrayLayout(FP16, lanes)`
        The group's halves.
    mantissa_bits : `range(max_mantissa_bits + 1)`
        M of this group, 1 to `max_mantissa_bits`.
    """
    return data.StructLayout({"values": data.ArrayLayout(FP16, lanes), "mantissa_bits": max_mantissa_bits.bit_length()})


def maximum(m: Module, values: Sequence[Value], bits: int) -> Value:
    """Largest of unsigned `values` of `bits` bits.

    Bit by bit from the top, those that lack a bit that another candidate has drop out: an OR tree per bit, about half
    the gates of a tree of comparators.
    """
    candidates: Value = Const(2 ** len(values) - 1)
    result: list[Value] = []
    for bit in reversed(range(bits)):
        hits = Signal(len(values), name=f"hits_{bit}")
        m.d.comb += hits.eq(candidates & Cat(value[bit] for value in values))
        candidates = Mux(hits.any(), hits, candidates)
        result.insert(0, hits.any())
    return Cat(result)


class BpcLane(wiring.Component):
    """Compressor of one group: shared exponent, then one bit-plane per cycle (Anda paper, section IV-C).

    An element is its sign, its 11-bit significand and its effective exponent. Against the group's largest exponent each
    element gets a countdown; while it runs the element sends zeros, afterwards its significand from the most
    significant bit down. That truncates toward zero at M bits, wherever M lies: the planes equal those of
    ``AndaFormat(mantissa_bits=M, nonfinite="saturate").encode(values)``.

    Infinities and NaN become the largest finite magnitude with their sign, and set `saturated` until reset.

    Timing: the group is taken in one cycle, its sign plane and exponent are valid in the next
    (`formats.latency.BPC_LATENCY_CYCLES`), the M mantissa planes follow. The next group is taken together with the last
    plane, so a group takes M + 1 cycles (`formats.latency.bpc_cycles_per_group`) and the planes have no gap.

    Parameters
    ----------
    lanes : `int`
        Elements per group, 1 to 128.
    max_mantissa_bits : `int`
        Largest M, 1 to 16.
    nearest : `bool`
        Round to nearest even, saturating at ``2**M - 1``, as ``AndaFormat(rounding="nearest")``; while the sign plane is
        sent, so it costs an adder per element and no cycle.

    Members
    -------
    group : `In(stream.Signature(compressor_layout(lanes, max_mantissa_bits)))`
        The group's FP16 values and its M.
    planes : `Out(stream.Signature(plane_layout(lanes)))`
        Sign plane with the shared exponent, then M mantissa planes.
    saturated : `Out(1)`
        Sticky: an infinity or NaN was replaced.
    """

    group: Stream
    planes: Stream
    saturated: Signal

    def __init__(self, *, lanes: int = 64, max_mantissa_bits: int = MAX_MANTISSA_BITS, nearest: bool = False) -> None:
        self.nearest = bool(nearest)
        self.lanes = check_range("lanes", lanes, 1, MAX_LANES)
        self.max_mantissa_bits = check_range("max_mantissa_bits", max_mantissa_bits, 1, MAX_MANTISSA_BITS)
        super().__init__(
            {
                "group": In(stream.Signature(compressor_layout(lanes, max_mantissa_bits))),
                "planes": Out(stream.Signature(plane_layout(lanes))),
                "saturated": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Build the circuit."""
        m = Module()
        signs = Signal(self.lanes)
        significands = [Signal(SIGNIFICAND_BITS, name=f"significand_{lane}") for lane in range(self.lanes)]
        # the effective exponents until the sign plane is sent, from then on the countdowns
        exponents = [Signal(EXPONENT_BITS, name=f"exponent_{lane}") for lane in range(self.lanes)]
        sign_phase = Signal()
        remaining = Signal.like(self.group.payload.mantissa_bits)

        planes = self.planes.payload
        bits = [
            (exponent == 0) & significand[-1] for exponent, significand in zip(exponents, significands, strict=True)
        ]
        shared_exponent = Signal(EXPONENT_BITS)
        m.d.comb += [
            shared_exponent.eq(maximum(m, exponents, EXPONENT_BITS)),
            planes.plane.eq(Mux(sign_phase, signs, Cat(bits))),
            planes.exponent.eq(shared_exponent),
            planes.last.eq(~sign_phase & (remaining == 1)),
            self.planes.valid.eq(sign_phase | remaining.any()),
            self.group.ready.eq(~self.planes.valid | (planes.last & self.planes.ready)),
        ]
        with m.If(self.planes.valid & self.planes.ready):
            m.d.sync += sign_phase.eq(0)
            with m.If(sign_phase):
                m.d.sync += [exponent.eq(shared_exponent - exponent) for exponent in exponents]
                for lane in range(self.lanes if self.nearest else 0):
                    self._round(m, significands[lane], exponents[lane], shared_exponent, remaining)
            with m.Else():
                m.d.sync += remaining.eq(remaining - 1)
                for exponent, significand in zip(exponents, significands, strict=True):
                    with m.If(exponent == 0):
                        m.d.sync += significand.eq(significand << 1)
                    with m.Else():
                        m.d.sync += exponent.eq(exponent - 1)
        with m.If(self.group.valid & self.group.ready):
            m.d.sync += [sign_phase.eq(1), remaining.eq(self.group.payload.mantissa_bits)]
            self._load(m, signs, significands, exponents)
        return m

    def _round(self, m: Module, significand: Signal, exponent: Signal, shared: Value, mantissa_bits: Value) -> None:
        """Round a significand to the bits that its countdown will leave of it."""
        distance = Signal.like(exponent, name=f"{exponent.name}_distance")
        dropped = Signal(range(SIGNIFICAND_BITS + 2), name=f"{exponent.name}_dropped")
        excess = distance + SIGNIFICAND_BITS - mantissa_bits
        # from 12 bits dropped on, less than half a unit is left
        limited = Mux(excess > SIGNIFICAND_BITS, SIGNIFICAND_BITS + 1, excess)
        m.d.comb += [distance.eq(shared - exponent), dropped.eq(Mux(excess < 0, 0, limited))]
        split = Signal(2 * SIGNIFICAND_BITS + 1, name=f"{significand.name}_split")
        kept, guard, rest = split[SIGNIFICAND_BITS + 1 :], split[SIGNIFICAND_BITS], split[:SIGNIFICAND_BITS].any()
        rounded = Signal(SIGNIFICAND_BITS + 1, name=f"{significand.name}_rounded")
        m.d.comb += [
            split.eq((significand << (SIGNIFICAND_BITS + 1)) >> dropped),
            rounded.eq(significand + ((guard & (rest | kept[0])) << dropped)),
        ]
        with m.If(~rounded[-1]):
            m.d.sync += significand.eq(rounded)
        with m.Elif(distance == 0):
            m.d.sync += significand.eq(2**SIGNIFICAND_BITS - 1)
        with m.Else():
            # it has reached the next power of two: one step less to count
            m.d.sync += [significand.eq(rounded >> 1), exponent.eq(distance - 1)]

    def _load(self, m: Module, signs: Value, significands: Sequence[Signal], exponents: Sequence[Signal]) -> None:
        """Take the fields of the group's values apart."""
        for lane in range(self.lanes):
            value = self.group.payload.values[lane]
            nonfinite = value.exponent.all()
            normal = value.exponent.any()
            m.d.sync += [
                signs[lane].eq(value.sign),
                significands[lane].eq(Cat(value.fraction | nonfinite.replicate(10), normal)),
                exponents[lane].eq(Cat((value.exponent[0] | ~normal) & ~nonfinite, value.exponent[1:])),
            ]
            with m.If(nonfinite):
                m.d.sync += self.saturated.eq(1)


class BitPlaneCompressor(wiring.Component):
    """Compressor of `rows` tokens' groups into rows of the activation buffer (Anda paper, section IV-C, "BPC").

    Groups come one per cycle and go to the lanes in turn; the lanes' planes leave together, the same plane of all tokens
    side by side. Each lane but the last sends through a queue that makes up for its head start (the data packager).

    Timing: the first row is valid `rows` cycles after the first group is taken, and `rows` groups take
    ``max(rows, M + 1)`` cycles (`formats.latency.bpc_cycles_per_block`).

    Parameters
    ----------
    rows : `int`
        Lanes of the compressor, that is tokens of a buffer row, 1 to 64.
    lanes, max_mantissa_bits, nearest
        As of `BpcLane`.

    Members
    -------
    groups : `In(stream.Signature(compressor_layout(lanes, max_mantissa_bits)))`
        A group of each token in turn; all `rows` tokens of a block with the same M.
    planes : `Out(stream.Signature(plane_rows_layout(rows, lanes)))`
        Sign planes with the shared exponents, then M mantissa planes.
    saturated : `Out(1)`
        Sticky: an infinity or NaN was replaced.
    """

    groups: Stream
    planes: Stream
    saturated: Signal

    def __init__(
        self, *, rows: int = 16, lanes: int = 64, max_mantissa_bits: int = MAX_MANTISSA_BITS, nearest: bool = False
    ) -> None:
        self.nearest = bool(nearest)
        self.rows = check_range("rows", rows, 1, 64)
        self.lanes = check_range("lanes", lanes, 1, MAX_LANES)
        self.max_mantissa_bits = check_range("max_mantissa_bits", max_mantissa_bits, 1, MAX_MANTISSA_BITS)
        super().__init__(
            {
                "groups": In(stream.Signature(compressor_layout(lanes, max_mantissa_bits))),
                "planes": Out(stream.Signature(plane_rows_layout(rows, lanes))),
                "saturated": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Build the circuit."""
        m = Module()
        turn = Signal(range(self.rows))
        parameters = {"lanes": self.lanes, "max_mantissa_bits": self.max_mantissa_bits}
        lanes = [BpcLane(**parameters, nearest=self.nearest) for _ in range(self.rows)]
        key = f"bpc_lane_{self.lanes}_{self.max_mantissa_bits}" + "_nearest" * self.nearest
        queues = [self._queue(m, row, lane) for row, lane in enumerate(lanes)]
        for row, lane in enumerate(lanes):
            place(m, f"lane_{row}", key, lane, platform)
            m.d.comb += [
                lane.group.payload.eq(self.groups.payload),
                lane.group.valid.eq(self.groups.valid & (turn == row)),
            ]
        m.d.comb += [
            self.groups.ready.eq(Array(lane.group.ready for lane in lanes)[turn]),
            self.saturated.eq(Cat(lane.saturated for lane in lanes).any()),
            self.planes.valid.eq(Cat(queue.valid for queue in queues).all()),
            self.planes.payload.last.eq(queues[0].payload.last),
        ]
        for row, queue in enumerate(queues):
            m.d.comb += [
                queue.ready.eq(self.planes.valid & self.planes.ready),
                self.planes.payload.planes[row].eq(queue.payload.plane),
                self.planes.payload.exponents[row].eq(queue.payload.exponent),
            ]
        with m.If(self.groups.valid & self.groups.ready):
            m.d.sync += turn.eq(Mux(turn == self.rows - 1, 0, turn + 1))
        return m

    def _queue(self, m: Module, row: int, lane: BpcLane) -> Stream:
        """A lane's planes, after a queue as deep as the lane's head start; one more, or it could not flow."""
        head_start = self.rows - 1 - row
        if not head_start:
            return lane.planes
        queue = SyncFIFO(width=plane_layout(self.lanes).size, depth=head_start + 1)
        m.submodules[f"queue_{row}"] = queue
        queued = stream.Signature(plane_layout(self.lanes)).create(path=(f"queued_{row}",))
        m.d.comb += [
            queue.w_data.eq(lane.planes.payload),
            queue.w_en.eq(lane.planes.valid),
            lane.planes.ready.eq(queue.w_rdy),
            Value.cast(queued.payload).eq(queue.r_data),
            queued.valid.eq(queue.r_rdy),
            queue.r_en.eq(queued.ready),
        ]
        return queued
