# amaranth: UnusedElaboratable=no
"""The bit-plane compressor: FP16 groups in, Anda bit-planes out."""

from dataclasses import dataclass

from amaranth.hdl import Array, Cat, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out

from ...formats import AndaFormat
from ...formats.checks import check_flags, check_integer
from ..interfaces import (
    FP16,
    MASK_BITS,
    MAX_LANES,
    MAX_MANTISSA_BITS,
    Stream,
    plane_layout,
    plane_rows_layout,
)
from ..rtlil import place
from .alignment import FieldExtractor, MantissaAligner, MaximumExponent


def compressor_layout(lanes: int, max_mantissa_bits: int) -> data.StructLayout:
    """One group to compress.

    Members
    -------
    values : `ArrayLayout(FP16, lanes)`
        The group's FP16 numbers.
    mantissa_bits : `range(max_mantissa_bits + 1)`
        M of this group, 1 to `max_mantissa_bits`.
    """
    return data.StructLayout({"values": data.ArrayLayout(FP16, lanes), "mantissa_bits": max_mantissa_bits.bit_length()})


@dataclass(frozen=True, kw_only=True)
class BpcLaneParameters:
    """The options of a `BpcLane`.

    Parameters
    ----------
    lanes : `int`
        Elements per group, 1 to 128.
    max_mantissa_bits : `int`
        Largest M, 1 to 16.
    nearest : `bool`
        Round to nearest even, saturating at ``2**M - 1``, as ``AndaFormat(rounding="nearest")``. This happens while the
        sign plane is sent, so it costs an adder per element and no cycle.

    Raises
    ------
    InputError
        A field is out of its range.
    """

    lanes: int = 64
    max_mantissa_bits: int = MAX_MANTISSA_BITS
    nearest: bool = False

    def __post_init__(self) -> None:
        check_flags(self)
        check_integer("lanes", self.lanes, 1, MAX_LANES)
        check_integer("max_mantissa_bits", self.max_mantissa_bits, 1, MAX_MANTISSA_BITS)

    @property
    def group_layout(self) -> data.StructLayout:
        """A group to compress, with its M."""
        return compressor_layout(self.lanes, self.max_mantissa_bits)

    @property
    def module_suffix(self) -> str:
        """The options as part of a Verilog module's name."""
        return f"{self.lanes}_{self.max_mantissa_bits}" + "_nearest" * self.nearest

    def format(self, mantissa_bits: int) -> AndaFormat:
        """The format that the planes have at M = `mantissa_bits`."""
        rounding = "nearest" if self.nearest else "truncate"
        return AndaFormat(mantissa_bits, self.lanes, rounding=rounding, nonfinite="saturate")


class BpcLane(wiring.Component):
    """Compressor of one group: shared exponent, then one bit-plane per cycle (Anda paper, section IV-C).

    An element is its sign, its 11-bit significand and its effective exponent. Against the group's largest exponent each
    element gets a countdown; while it runs the element sends zeros, afterwards its significand from the most
    significant bit down. That truncates toward zero at M bits, wherever M lies: the planes equal those of
    ``AndaFormat(mantissa_bits=M, nonfinite="saturate").encode(values)``.

    Infinities and NaN become the largest finite magnitude with their sign, and set `saturated` until reset.

    Timing: the group is taken in one cycle, its sign plane and exponent are valid in the next
    (`BPC_LATENCY_CYCLES`), the M mantissa planes follow. The next group is taken together with the last
    plane, so a group takes M + 1 cycles (`bpc_cycles_per_group`) and the planes have no gap.

    Parameters
    ----------
    parameters : `BpcLaneParameters`

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

    def __init__(self, parameters: BpcLaneParameters) -> None:
        self.parameters = parameters
        super().__init__(
            {
                "group": In(stream.Signature(parameters.group_layout)),
                "planes": Out(stream.Signature(plane_layout(parameters.lanes))),
                "saturated": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Place extractor and aligner of every element, and count the planes."""
        m = Module()
        signs = Signal(self.parameters.lanes)
        sign_phase = Signal()
        remaining = Signal.like(self.group.payload.mantissa_bits)
        load = Signal()
        moved = Signal()
        m.submodules.maximum = maximum = MaximumExponent(lanes=self.parameters.lanes)
        bits: list[Value] = []
        nonfinite: list[Value] = []
        for lane in range(self.parameters.lanes):
            extractor, aligner = self._element(m, lane, platform)
            m.d.comb += [
                aligner.load.eq(load),
                aligner.align.eq(moved & sign_phase),
                aligner.shift.eq(moved & ~sign_phase),
                aligner.shared_exponent.eq(maximum.largest),
                maximum.exponents[lane].eq(aligner.own_exponent),
            ]
            if self.parameters.nearest:
                m.d.comb += aligner.mantissa_bits.eq(remaining)
            with m.If(load):
                m.d.sync += signs[lane].eq(extractor.sign)
            bits.append(aligner.bit)
            nonfinite.append(extractor.nonfinite)
        planes = self.planes.payload
        m.d.comb += [
            planes.plane.eq(Mux(sign_phase, signs, Cat(bits))),
            planes.exponent.eq(maximum.largest),
            planes.last.eq(~sign_phase & (remaining == 1)),
            self.planes.valid.eq(sign_phase | remaining.any()),
            self.group.ready.eq(~self.planes.valid | (planes.last & self.planes.ready)),
            moved.eq(self.planes.valid & self.planes.ready),
            load.eq(self.group.valid & self.group.ready),
        ]
        with m.If(moved):
            m.d.sync += sign_phase.eq(0)
            with m.If(~sign_phase):
                m.d.sync += remaining.eq(remaining - 1)
        with m.If(load):
            m.d.sync += [sign_phase.eq(1), remaining.eq(self.group.payload.mantissa_bits)]
            m.d.sync += self.saturated.eq(self.saturated | Cat(nonfinite).any())
        return m

    def _element(self, m: Module, lane: int, platform: object) -> tuple[FieldExtractor, MantissaAligner]:
        """Extractor and aligner of an element, joined."""
        extractor = FieldExtractor()
        aligner = MantissaAligner(max_mantissa_bits=self.parameters.max_mantissa_bits, nearest=self.parameters.nearest)
        place(m, f"extractor_{lane}", "field_extractor", extractor, platform)
        key = f"mantissa_aligner_{self.parameters.max_mantissa_bits}" + "_nearest" * self.parameters.nearest
        place(m, f"aligner_{lane}", key, aligner, platform)
        m.d.comb += [
            extractor.value.eq(self.group.payload.values[lane]),
            aligner.significand.eq(extractor.significand),
            aligner.exponent.eq(extractor.exponent),
        ]
        return extractor, aligner


@dataclass(frozen=True, kw_only=True)
class BitPlaneCompressorParameters(BpcLaneParameters):
    """The options of a `BitPlaneCompressor`: those of its `BpcLane` circuits, and two more.

    Parameters
    ----------
    rows : `int`
        Compressor lanes, which is the number of tokens of a buffer row, 1 to 64.
    masks : `bool`
        Send the plane mask of a block with its last plane, for zero-plane skipping (`formats.anda.plane_mask`). This
        costs an OR over the planes as they leave, and a flip-flop per plane.

    Raises
    ------
    InputError
        A field is out of its range.
    """

    rows: int = 16
    masks: bool = False

    def __post_init__(self) -> None:
        check_integer("rows", self.rows, 1, 64)
        super().__post_init__()


class BitPlaneCompressor(wiring.Component):
    """Compressor of `rows` tokens' groups into rows of the activation buffer (Anda paper, section IV-C, "BPC").

    Groups come one per cycle and go to the lanes in turn; the lanes' planes leave together, the same plane of all tokens
    side by side. Each lane but the last sends through a queue that makes up for its head start (the data packager).

    Timing: the first row is valid `rows` cycles after the first group is taken, and `rows` groups take
    ``max(rows, M + 1)`` cycles (`bpc_cycles_per_block`).

    Parameters
    ----------
    parameters : `BitPlaneCompressorParameters`

    Members
    -------
    groups : `In(stream.Signature(compressor_layout(lanes, max_mantissa_bits)))`
        A group of each token in turn; all `rows` tokens of a block with the same M.
    planes : `Out(stream.Signature(plane_rows_layout(rows, lanes)))`
        Sign planes with the shared exponents, then M mantissa planes. With `masks` a field `mask` of 15 bits follows, to
        be read with the last plane: bit i tells whether mantissa plane i + 1 has a one.
    saturated : `Out(1)`
        Sticky: an infinity or NaN was replaced.
    """

    groups: Stream
    planes: Stream
    saturated: Signal

    def __init__(self, parameters: BitPlaneCompressorParameters) -> None:
        self.parameters = parameters
        planes = plane_rows_layout(parameters.rows, parameters.lanes, masked=parameters.masks)
        super().__init__(
            {
                "groups": In(stream.Signature(parameters.group_layout)),
                "planes": Out(stream.Signature(planes)),
                "saturated": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Place the lanes and their queues, and join the planes of a block."""
        m = Module()
        turn = Signal(range(self.parameters.rows))
        lanes = [BpcLane(self.parameters) for _ in range(self.parameters.rows)]
        key = f"bpc_lane_{self.parameters.module_suffix}"
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
            m.d.sync += turn.eq(Mux(turn == self.parameters.rows - 1, 0, turn + 1))
        if self.parameters.masks:
            self._collect_mask(m)
        return m

    def _collect_mask(self, m: Module) -> None:
        """Note which of a block's planes have a one. Row 0 is the sign plane, row 1 the first mantissa plane."""
        payload = self.planes.payload
        row = Signal(range(self.parameters.max_mantissa_bits + 1))
        noted = Signal(MASK_BITS)
        has_one = Value.cast(payload.planes).any()
        m.d.comb += payload.mask.eq(
            noted | Cat((row == bit + 2) & has_one for bit in range(self.parameters.max_mantissa_bits - 1))
        )
        with m.If(self.planes.valid & self.planes.ready):
            m.d.sync += [row.eq(Mux(payload.last, 0, row + 1)), noted.eq(Mux(payload.last, 0, payload.mask))]

    def _queue(self, m: Module, row: int, lane: BpcLane) -> Stream:
        """A lane's planes, after a queue as deep as the lane's head start; one more, or it could not flow."""
        head_start = self.parameters.rows - 1 - row
        if not head_start:
            return lane.planes
        queue = SyncFIFO(width=plane_layout(self.parameters.lanes).size, depth=head_start + 1)
        m.submodules[f"queue_{row}"] = queue
        queued = stream.Signature(plane_layout(self.parameters.lanes)).create(path=(f"queued_{row}",))
        m.d.comb += [
            queue.w_data.eq(lane.planes.payload),
            queue.w_en.eq(lane.planes.valid),
            lane.planes.ready.eq(queue.w_rdy),
            Value.cast(queued.payload).eq(queue.r_data),
            queued.valid.eq(queue.r_rdy),
            queue.r_en.eq(queued.ready),
        ]
        return queued
