# amaranth: UnusedElaboratable=no
"""The floating-point baselines: FP-FP, whose weights are halves, and FP-INT, whose weights are integers."""

from typing import Any

from amaranth.hdl import Module, Signal, Value, signed
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..formats.elements.floating import Rounding, Summation
from .floating import FP32, SingleToHalf
from .floating_dot import FloatingDot, operands_layout
from .interfaces import FP16, Stream
from .pipeline import Pipeline
from .scaling import SCALE, ScaleAccumulator


class FpFpPE(FloatingDot):
    """The FP-FP baseline: an FP16 tensor core's dot product, 4 multiplications per cycle, FP32 accumulator.

    The array's dispatcher turns INT4 weights into FP16, scale included, before they come here (Anda paper, Fig. 8), so a
    group needs nothing but its 64 products: 16 cycles with 4 ways (`formats.latency.FP16_GROUP_CYCLES`). With one way it
    is a single multiply-accumulate unit.

    Parameters
    ----------
    ways, summation, rounding, subnormals, specials, addend, stages
        As of `FloatingDot`, whose members these are, too.
    """

    def __init__(
        self,
        *,
        ways: int = 4,
        summation: Summation = "chained",
        rounding: Rounding = "nearest",
        subnormals: bool = True,
        specials: bool = True,
        addend: bool = False,
        stages: int = 2,
    ) -> None:
        super().__init__(
            ways=ways,
            summation=summation,
            rounding=rounding,
            subnormals=subnormals,
            specials=specials,
            addend=addend,
            stages=stages,
        )


class FpIntPE(wiring.Component):
    """The FP-INT baseline: FP16 activations times integer weights, 4 multiplications per cycle, FP32 accumulators.

    A `FloatingDot` over the group, 11 by 4 bits a product; the group's sum, rounded to FP16, then meets the group's
    scale in a `ScaleAccumulator`, as an Anda unit's does. Activations and scales are finite.

    Timing: a group of 64 takes 16 cycles with 4 ways; the result is valid ``stages + 3`` cycles after the last step,
    with ``"exact"`` one more.

    Parameters
    ----------
    ways, summation, rounding, subnormals, stages
        As of `FloatingDot`.
    weight_bits : `int`
        2 to 8.

    Members
    -------
    operands : `In(stream.Signature(operands_layout(ways, signed(weight_bits))))`
        `last` closes a group.
    scales : `In(stream.Signature(SCALE))`
        One per group.
    result : `Out(stream.Signature(FP32))`
    saturated : `Out(1)`
        Sticky: a group's sum overflowed FP16 and became +-65504.
    """

    operands: Stream
    scales: Stream
    result: Stream
    saturated: Signal

    def __init__(
        self,
        *,
        ways: int = 4,
        weight_bits: int = 4,
        summation: Summation = "chained",
        rounding: Rounding = "nearest",
        subnormals: bool = True,
        stages: int = 2,
    ) -> None:
        self.dot = FloatingDot(
            ways=ways,
            weight_bits=weight_bits,
            summation=summation,
            rounding=rounding,
            subnormals=subnormals,
            specials=False,
            stages=stages,
        )
        super().__init__(
            {
                "operands": In(stream.Signature(operands_layout(ways, signed(weight_bits) if weight_bits else FP16))),
                "scales": In(stream.Signature(SCALE)),
                "result": Out(stream.Signature(FP32)),
                "saturated": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Build the circuit."""
        m = Module()
        m.submodules.dot = dot = self.dot
        m.submodules.rounder = rounder = SingleToHalf()
        m.submodules.scale_accumulator = accumulator = ScaleAccumulator()
        converter = Pipeline(m, dot.result, accumulator.partials)
        m.d.comb += rounder.single.eq(dot.result.payload)
        half: Any
        (half,) = converter.cut(half=rounder.half)
        m.d.comb += Value.cast(accumulator.partials.payload).eq(Value.cast(half))
        converter.finish()
        with m.If(dot.result.valid & dot.result.ready & rounder.saturated):
            m.d.sync += self.saturated.eq(1)
        wiring.connect(m, wiring.flipped(self.operands), dot.operands)
        wiring.connect(m, wiring.flipped(self.scales), accumulator.scales)
        wiring.connect(m, accumulator.result, wiring.flipped(self.result))
        return m
