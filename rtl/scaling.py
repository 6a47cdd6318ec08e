# amaranth: UnusedElaboratable=no
"""What follows a group's dot product: the group's scale, and the accumulator over the groups."""

from typing import Any

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .floating import FP32, HalfMultiplier, IntToHalf, SingleAdder
from .interfaces import FP16, PARTIAL_EXPONENT, Stream, check_range
from .pipeline import Pipeline

SCALE = data.StructLayout({"scale": FP16, "last": 1})
"""A group's scale.

Members
-------
scale : `FP16`
    Of the group's weights, finite.
last : `unsigned(1)`
    The group is the last one of its output.
"""


def group_layout(bits: int) -> data.StructLayout:
    """A group's integer dot product; its value is ``partial_sum * 2**(exponent - 14)``.

    Members
    -------
    partial_sum : `signed(bits)`
    exponent : `signed(6)`
    """
    return data.StructLayout({"partial_sum": signed(bits), "exponent": PARTIAL_EXPONENT})


class ScaleAccumulator(wiring.Component):
    """Sums a half per group times the group's FP16 scale in FP32: steps 3 and 4 of the Anda unit (section IV-B).

    The product is exact, the sum rounds to nearest even after every group.

    Timing: product and accumulator stand in a register each, so the output is valid 2 cycles after its last group is
    taken; a group may come in every cycle.

    Members
    -------
    partials : `In(stream.Signature(FP16))`
        A group's dot product, finite.
    scales : `In(stream.Signature(SCALE))`
        Taken together with it.
    result : `Out(stream.Signature(FP32))`
        After the group that was `last`.
    """

    partials: Stream
    scales: Stream
    result: Stream

    def __init__(self) -> None:
        super().__init__(
            {
                "partials": In(stream.Signature(FP16)),
                "scales": In(stream.Signature(SCALE)),
                "result": Out(stream.Signature(FP32)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Build the circuit."""
        m = Module()
        m.submodules.multiplier = multiplier = HalfMultiplier()
        m.submodules.adder = adder = SingleAdder()
        joined = stream.Signature(FP16).create(path=("joined",))
        pipeline = Pipeline(m, joined, self.result)
        m.d.comb += [
            joined.valid.eq(self.partials.valid & self.scales.valid),
            self.partials.ready.eq(joined.ready & self.scales.valid),
            self.scales.ready.eq(joined.ready & self.partials.valid),
            multiplier.left.eq(self.partials.payload),
            multiplier.right.eq(self.scales.payload.scale),
        ]
        product, last = pipeline.cut(product=multiplier.product, last=self.scales.payload.last)
        accumulator: Any = Signal(FP32)
        m.d.comb += [adder.left.eq(Mux(pipeline.first(last), 0, accumulator)), adder.right.eq(product)]
        pipeline.accumulate(accumulator, adder.sum, last)
        m.d.comb += self.result.payload.eq(accumulator)
        pipeline.finish()
        return m


class GroupAccumulator(wiring.Component):
    """The integer dot products of an output's groups, to FP16, times their scales, summed in FP32.

    `IntToHalf` and a `ScaleAccumulator`: steps 2 to 4 of the Anda unit (section IV-B), the arithmetic of
    `formats.fp_int_gemm` before its last conversion. The output is valid 3 cycles after its last group is taken; a
    group may come in every cycle.

    Parameters
    ----------
    bits : `int`
        Bits of a signed dot product, 2 to 64.

    Members
    -------
    groups : `In(stream.Signature(group_layout(bits)))`
    scales : `In(stream.Signature(SCALE))`
    result : `Out(stream.Signature(FP32))`
        As of `ScaleAccumulator`.
    saturated : `Out(1)`
        Sticky: a dot product overflowed FP16 and became +-65504.
    """

    groups: Stream
    scales: Stream
    result: Stream
    saturated: Signal

    def __init__(self, *, bits: int = 26) -> None:
        self.bits = check_range("bits", bits, 2, 64)
        super().__init__(
            {
                "groups": In(stream.Signature(group_layout(bits))),
                "scales": In(stream.Signature(SCALE)),
                "result": Out(stream.Signature(FP32)),
                "saturated": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Build the circuit."""
        m = Module()
        m.submodules.to_half = to_half = IntToHalf(bits=self.bits)
        m.submodules.scale_accumulator = accumulator = ScaleAccumulator()
        converter = Pipeline(m, self.groups, accumulator.partials)
        m.d.comb += [
            to_half.value.eq(self.groups.payload.partial_sum),
            to_half.exponent.eq(self.groups.payload.exponent),
        ]
        (half,) = converter.cut(half=to_half.half)
        m.d.comb += accumulator.partials.payload.eq(half)
        converter.finish()
        with m.If(self.groups.valid & self.groups.ready & to_half.saturated):
            m.d.sync += self.saturated.eq(1)
        wiring.connect(m, wiring.flipped(self.scales), accumulator.scales)
        wiring.connect(m, accumulator.result, wiring.flipped(self.result))
        return m
