# amaranth: UnusedElaboratable=no
"""Stages after a group's dot product: conversion, the group's scale, and the accumulator over the groups."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ...formats.checks import check_integer
from ..interfaces import FP16, Stream, partial_sum_layout
from .fp import FP32, Fp16Multiplier, Fp32Adder, IntToFp16
from .fp_accumulator import MAX_ADDER_STAGES, MAX_INTERLEAVE, RunningSum, RunningSumParameters
from .fp_stages import Fp16Product, IntegerConversion
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


class ScaleAccumulator(wiring.Component):
    """Sums a half per group times the group's FP16 scale in FP32: steps 3 and 4 of the Anda unit (section IV-B).

    The product is exact, the sum rounds to nearest even after every group.

    Timing: product and accumulator stand in a register each, so the output is valid 2 cycles after its last group is
    taken; a group may come in every cycle. A multiplier and an adder of several stages take as many cycles more, and a
    group is taken only when the `RunningSum` can take it.

    Parameters
    ----------
    adder_stages : `int`
        Stages of the adder, 1 to 6; the multiplier has no more than four.
    interleave : `int`
        Sums in flight, 1 to 8: groups belong to them in turn, and all have the same number of groups.

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

    def __init__(self, *, adder_stages: int = 1, interleave: int = 1) -> None:
        self.adder_stages = check_integer("adder_stages", adder_stages, 1, MAX_ADDER_STAGES)
        self.interleave = check_integer("interleave", interleave, 1, MAX_INTERLEAVE)
        super().__init__(
            {
                "partials": In(stream.Signature(FP16)),
                "scales": In(stream.Signature(SCALE)),
                "result": Out(stream.Signature(FP32)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Join groups and scales, then multiply and accumulate."""
        m = Module()
        joined: Any = stream.Signature(FP16).create(path=("joined",))
        m.d.comb += [
            joined.valid.eq(self.partials.valid & self.scales.valid),
            joined.payload.eq(self.partials.payload),
            self.partials.ready.eq(joined.ready & self.scales.valid),
            self.scales.ready.eq(joined.ready & self.partials.valid),
        ]
        if self.adder_stages == 1:
            self._accumulate(m, joined)
        else:
            self._accumulate_in_stages(m, joined)
        return m

    def _accumulate(self, m: Module, joined: Stream) -> None:
        """Multiplier and adder of a stage each. The sums stand in a ring; the oldest one is next."""
        m.submodules.multiplier = multiplier = Fp16Multiplier()
        m.submodules.adder = adder = Fp32Adder()
        pipeline = Pipeline(m, joined, self.result)
        m.d.comb += [multiplier.left.eq(joined.payload), multiplier.right.eq(self.scales.payload.scale)]
        product, last = pipeline.cut(product=multiplier.product, last=self.scales.payload.last)
        sums = Signal(FP32.size * self.interleave)
        oldest, others = sums[: FP32.size], sums[FP32.size :]
        m.d.comb += [adder.left.eq(Mux(pipeline.first(last, self.interleave), 0, oldest)), adder.right.eq(product)]
        pipeline.accumulate(sums, Cat(others, adder.sum), last)
        m.d.comb += self.result.payload.eq(sums[-FP32.size :])
        pipeline.finish()

    def _accumulate_in_stages(self, m: Module, joined: Stream) -> None:
        """Multiplier and adder of several stages. Sums are never subnormal, and the first summand is added to +0."""
        addition = RunningSumParameters(
            adder_stages=self.adder_stages, interleave=self.interleave, subnormals=False, specials=False
        )
        m.submodules.running_sum = running_sum = RunningSum(addition)
        pipeline = Pipeline(m, joined, running_sum.summands)
        factors = {"left": Value.cast(joined.payload), "right": Value.cast(self.scales.payload.scale)}
        (product,), carried = pipeline.in_stages(
            Fp16Product().steps, [factors], {"last": self.scales.payload.last}, self.adder_stages
        )
        m.d.comb += Value.cast(running_sum.summands.payload).eq(Cat(product["single"], carried["last"]))
        pipeline.finish()
        wiring.connect(m, running_sum.sums, wiring.flipped(self.result))


class GroupAccumulator(wiring.Component):
    """The integer dot products of an output's groups, to FP16, times their scales, summed in FP32.

    `IntToFp16` and a `ScaleAccumulator`: steps 2 to 4 of the Anda unit (section IV-B), the arithmetic of
    `formats.fp_int_gemm` before its last conversion. The output is valid 3 cycles after its last group is taken; a
    group may come in every cycle. With more stages: ``min(s, 6) + min(s, 4) + s`` cycles for s `adder_stages`.

    Parameters
    ----------
    bits : `int`
        Bits of a signed dot product, 2 to 64.
    adder_stages : `int`
        See `ScaleAccumulator`; the conversion has at most six stages.
    units : `int`
        Units of a row that share this accumulator, 1 to 8. Their dot products come together and are taken in turn, one per
        cycle, so a group takes at least as many cycles as there are units. Scales and results are in turn, too.

    Members
    -------
    groups : `In(stream.Signature(partial_sum_layout(bits, units)))`
    scales : `In(stream.Signature(SCALE))`
    result : `Out(stream.Signature(FP32))`
        See `ScaleAccumulator`.
    saturated : `Out(1)`
        Sticky: a dot product overflowed FP16 and became +-65504.
    """

    groups: Stream
    scales: Stream
    result: Stream
    saturated: Signal

    def __init__(self, *, bits: int = 26, adder_stages: int = 1, units: int = 1) -> None:
        self.bits = check_integer("bits", bits, 2, 64)
        self.units = check_integer("units", units, 1, MAX_INTERLEAVE)
        self.scaling = ScaleAccumulator(adder_stages=adder_stages, interleave=units)
        super().__init__(
            {
                "groups": In(stream.Signature(partial_sum_layout(bits, units))),
                "scales": In(stream.Signature(SCALE)),
                "result": Out(stream.Signature(FP32)),
                "saturated": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Convert each group's sum to FP16 for the accumulator."""
        m = Module()
        m.submodules.scale_accumulator = accumulator = self.scaling
        group = self.groups if self.units == 1 else self._in_turn(m)
        converter = Pipeline(m, group, accumulator.partials)
        convert = self._convert if self.scaling.adder_stages == 1 else self._convert_in_stages
        half = convert(m, converter, group)
        m.d.comb += Value.cast(accumulator.partials.payload).eq(half)
        converter.finish()
        wiring.connect(m, wiring.flipped(self.scales), accumulator.scales)
        wiring.connect(m, accumulator.result, wiring.flipped(self.result))
        return m

    def _in_turn(self, m: Module) -> Stream:
        """The dot products of the units one after the other: the first at once, the others from registers."""
        groups, each = self.groups.payload, Value.cast(self.groups.payload.partial_sum)
        group: Any = stream.Signature(partial_sum_layout(self.bits)).create(path=("group",))
        waiting = Signal(self.bits * (self.units - 1))
        exponent = Signal.like(groups.exponent, name="waiting_exponent")
        left = Signal(range(self.units))
        m.d.comb += [
            group.valid.eq(self.groups.valid | left.any()),
            group.payload.partial_sum.eq(Mux(left.any(), waiting[: self.bits], each[: self.bits])),
            group.payload.exponent.eq(Mux(left.any(), exponent, groups.exponent)),
            self.groups.ready.eq(group.ready & ~left.any()),
        ]
        with m.If(group.ready & left.any()):
            m.d.sync += [waiting.eq(waiting[self.bits :]), left.eq(left - 1)]
        with m.Elif(group.ready & self.groups.valid):
            m.d.sync += [waiting.eq(each[self.bits :]), exponent.eq(groups.exponent), left.eq(self.units - 1)]
        return group

    def _convert(self, m: Module, converter: Pipeline, group: Stream) -> Value:
        m.submodules.to_fp16 = to_fp16 = IntToFp16(bits=self.bits)
        m.d.comb += [to_fp16.value.eq(group.payload.partial_sum), to_fp16.exponent.eq(group.payload.exponent)]
        (half,) = converter.cut(half=to_fp16.half)
        with m.If(group.valid & group.ready & to_fp16.saturated):
            m.d.sync += self.saturated.eq(1)
        return Value.cast(half)

    def _convert_in_stages(self, m: Module, converter: Pipeline, group: Stream) -> Value:
        values = {"value": group.payload.partial_sum, "exponent": group.payload.exponent}
        (result,), _ = converter.in_stages(IntegerConversion().steps, [values], {}, self.scaling.adder_stages)
        with m.If(converter.moves & converter.valid & result["saturated"]):
            m.d.sync += self.saturated.eq(1)
        return result["half"]
