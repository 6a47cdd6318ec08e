# amaranth: UnusedElaboratable=no
"""The vector unit: what the model computes between its GeMMs, a vector of FP16 values per cycle."""

from itertools import pairwise
from typing import Any

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ...formats import InputError
from ...formats.checks import check_integer
from ...formats.latency.vector import VECTOR_PIPELINE_CYCLES, VECTOR_SCALAR_CYCLES, vector_reduction_cycles
from ...formats.vector.command import COMMAND_FIELDS, REDUCTIONS, SCALARS, Addend, Factor, VectorOperation
from ...formats.vector.functions import VectorFunction
from ..arithmetic.fp import Fp32ToFp16
from ..interfaces import FP16, MAX_LANES, Stream
from ..rtlil import place
from .lane import VectorLane

VECTOR_COMMAND = data.StructLayout(dict(COMMAND_FIELDS))
"""A packed `formats.vector.command.VectorCommand`."""


class VectorUnit(wiring.Component):
    """Lanes that compute ``function(left * factor + addend)``, and four scalar registers (Anda paper, section IV-A).

    A command walks over the vectors of its operand streams, and sends as many vectors of results or leaves a scalar:
    `formats.vector.command` says what each computes, bit for bit, and `formats.vector.programs` what makes a softmax or a
    norm of them. Rows stay in the memories that feed the streams.

    Timing: a vector per cycle, its results `VECTOR_PIPELINE_CYCLES` later. The next command's first
    vector is taken in the cycle after the last, unless the command leaves a scalar: a reduction takes
    `vector_reduction_cycles` more, a function of scalars `VECTOR_SCALAR_CYCLES` in all, a constant one.
    While results wait everything stands.

    Parameters
    ----------
    lanes : `int`
        A power of two, 1 to 128.

    Members
    -------
    command : `In(stream.Signature(VECTOR_COMMAND))`
        Taken when it is done.
    left, right : `In(stream.Signature(ArrayLayout(FP16, lanes)))`
        Finite halves. A command takes only what it reads.
    results : `Out(stream.Signature(ArrayLayout(FP16, lanes)))`
    saturated : `Out(1)`
        Sticky: a result overflowed FP16.
    """

    command: Stream
    left: Stream
    right: Stream
    results: Stream
    saturated: Signal

    def __init__(self, *, lanes: int = 64) -> None:
        self.lanes = check_integer("lanes", lanes, 1, MAX_LANES)
        if lanes & (lanes - 1):
            raise InputError(f"lanes: {lanes} cannot be folded; choose a power of two")
        halves = data.ArrayLayout(FP16, lanes)
        super().__init__(
            {
                "command": In(stream.Signature(VECTOR_COMMAND)),
                "left": In(stream.Signature(halves)),
                "right": In(stream.Signature(halves)),
                "results": Out(stream.Signature(halves)),
                "saturated": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Place the lanes and connect control, scalars, operands, fold and results."""
        m = Module()
        lanes = [VectorLane() for _ in range(self.lanes)]
        for index, lane in enumerate(lanes):
            place(m, f"lane_{index}", "vector_lane", lane, platform)
        walk = self._walk(m)
        self._control(m, lanes, walk)
        scalars = self._scalars(m, lanes[0], walk)
        self._operands(m, lanes, scalars, walk)
        self._fold(m, lanes, walk)
        self._results(m, lanes, walk)
        return m

    def _walk(self, m: Module) -> "_Walk":
        """Take the vectors of a command; then, if it leaves a scalar, count the cycles until that is there."""
        command = self.command.payload
        walk = _Walk(self.lanes)
        index = Signal.like(command.vectors)
        reads_left = ~command.left_is_scalar
        reads_right = (command.factor == Factor.RIGHT) | ((command.addend == Addend.RIGHT) & ~walk.reduces)
        there = (self.left.valid | ~reads_left) & (self.right.valid | ~reads_right)
        final = Mux(walk.reduces, vector_reduction_cycles(self.lanes) - 1, VECTOR_SCALAR_CYCLES - 2)
        done = walk.waiting & walk.advance & (walk.count == final)
        m.d.comb += [
            walk.advance.eq(~self.results.valid | self.results.ready),
            walk.loads.eq(command.operation == VectorOperation.LOAD),
            walk.reduces.eq(command.operation.matches(*REDUCTIONS)),
            walk.taken.eq(self.command.valid & ~walk.loads & ~walk.waiting & there & walk.advance),
            walk.first.eq(index == 0),
            walk.last.eq(index == command.vectors - 1),
            self.left.ready.eq(walk.taken & reads_left),
            self.right.ready.eq(walk.taken & reads_right),
            self.command.ready.eq(walk.loads | done | (walk.taken & walk.last & ~command.to_scalar)),
        ]
        with m.If(walk.taken):
            m.d.sync += [
                index.eq(Mux(walk.last, 0, index + 1)),
                walk.waiting.eq(walk.last & command.to_scalar),
                walk.count.eq(0),
            ]
        with m.Elif(walk.waiting & walk.advance):
            m.d.sync += [walk.count.eq(walk.count + 1), walk.waiting.eq(~done)]
        return walk

    def _control(self, m: Module, lanes: list[VectorLane], walk: "_Walk") -> None:
        """The lanes' controls, of each stage when its operands are there."""
        command = self.command.payload
        accumulate = Signal()
        first = Signal()
        larger = Signal()
        function = [Signal(2, name=f"function_{stage}") for stage in range(3)]
        with m.Switch(command.operation):
            for each in list(VectorFunction)[1:]:
                with m.Case(VectorOperation[each.name]):
                    m.d.comb += function[0].eq(each)
        with m.If(walk.advance):
            m.d.sync += [later.eq(earlier) for earlier, later in pairwise(function)]
            m.d.sync += accumulate.eq(walk.taken & walk.reduces)
            with m.If(walk.taken):
                compares = VectorOperation.MAXIMUM, VectorOperation.LARGEST
                m.d.sync += [first.eq(walk.first), larger.eq(command.operation.matches(*compares))]
        for lane in lanes:
            m.d.comb += [
                lane.advance.eq(walk.advance),
                *[lane.select[name].eq(command[name]) for name in ("modifier", "factor", "addend", "subtract")],
                lane.combine.larger.eq(larger),
                lane.combine.accumulate.eq(accumulate),
                lane.combine.first.eq(first),
                lane.combine.fold.eq(walk.waiting & walk.reduces & walk.count.any()),
                lane.function.eq(function[2]),
            ]

    def _scalars(self, m: Module, lane: VectorLane, walk: "_Walk") -> Any:
        """The registers; a command's end writes the constant, the reduced value, or lane 0's value."""
        command = self.command.payload
        scalars = Array(Signal(32, name=f"scalar_{index}") for index in range(SCALARS))
        computed = Mux(walk.reduces, Value.cast(lane.accumulator), Value.cast(lane.value))
        with m.If(self.command.valid & self.command.ready & command.to_scalar):
            m.d.sync += scalars[command.destination].eq(Mux(walk.loads, command.immediate, computed))
        return scalars

    def _operands(self, m: Module, lanes: list[VectorLane], scalars: Any, walk: "_Walk") -> None:
        """Vectors and scalars to the lanes."""
        command = self.command.payload
        m.submodules.left_rounder = left_rounder = Fp32ToFp16()
        m.submodules.factor_rounder = factor_rounder = Fp32ToFp16()
        m.d.comb += [
            Value.cast(left_rounder.single).eq(scalars[command.left_scalar]),
            Value.cast(factor_rounder.single).eq(scalars[command.factor_scalar]),
        ]
        for index, lane in enumerate(lanes):
            beyond = walk.last & command.active.any() & (command.active <= index) if index else Const(0)
            m.d.comb += [
                lane.operands.left.eq(Mux(command.left_is_scalar, left_rounder.half, self.left.payload[index])),
                lane.operands.right.eq(self.right.payload[index]),
                lane.operands.factor_scalar.eq(factor_rounder.half),
                lane.operands.addend_scalar.eq(scalars[command.addend_scalar]),
                lane.operands.active.eq(~beyond),
            ]

    def _fold(self, m: Module, lanes: list[VectorLane], walk: "_Walk") -> None:
        """Give each lane the accumulator of its partner: half the lanes away, then a quarter, down to the next."""
        for index, lane in enumerate(lanes):
            with m.Switch(walk.count):
                for step in range(1, self.lanes.bit_length()):
                    partner = index + (self.lanes >> step)
                    if partner < self.lanes >> (step - 1):
                        with m.Case(step):
                            m.d.comb += lane.partner.eq(lanes[partner].accumulator)

    def _results(self, m: Module, lanes: list[VectorLane], walk: "_Walk") -> None:
        """Which of the pipeline's stages hold a vector of results."""
        valid = Signal(VECTOR_PIPELINE_CYCLES)
        saturated = Cat(lane.saturated for lane in lanes).any()
        with m.If(walk.advance):
            m.d.sync += [
                valid.eq(Cat(walk.taken & ~self.command.payload.to_scalar, valid)),
                self.saturated.eq(self.saturated | (valid[-2] & saturated)),
            ]
        m.d.comb += [
            self.results.valid.eq(valid[-1]),
            *[self.results.payload[index].eq(lane.result) for index, lane in enumerate(lanes)],
        ]


class _Walk:
    """Where the unit stands in a command."""

    def __init__(self, lanes: int) -> None:
        self.advance = Signal()
        """The pipeline moves."""
        self.loads = Signal()
        self.reduces = Signal()
        self.taken = Signal()
        """A vector is taken, the `first` or the `last` one maybe."""
        self.first = Signal()
        self.last = Signal()
        self.waiting = Signal()
        """All vectors are taken, the scalar is on its way: `count` cycles after the first such cycle."""
        self.count = Signal(range(vector_reduction_cycles(lanes) + VECTOR_SCALAR_CYCLES))
