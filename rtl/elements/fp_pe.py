# amaranth: UnusedElaboratable=no
"""The floating-point baselines: FP-FP, whose weights are halves, and FP-INT, whose weights are integers."""

from amaranth.hdl import Module, Signal, Value, signed
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ...formats.options import Rounding
from ...formats.processing_elements.floating import Summation
from ..arithmetic.fp import FP32, Fp32ToFp16, significand
from ..arithmetic.fp_stages import fp16_rounding
from ..arithmetic.pipeline import Pipeline
from ..arithmetic.scaling import SCALE, ScaleAccumulator
from ..interfaces import FP16, Stream
from .fp_dot import FloatingDot, operands_layout


class FpFpPE(FloatingDot):
    """The FP-FP baseline: an FP16 tensor core's dot product, 4 multiplications per cycle, FP32 accumulator.

    The array's dispatcher turns INT4 weights into FP16, scale included, before they come here (Anda paper, Fig. 8), so a
    group needs nothing but its 64 products: 16 cycles with 4 a cycle (`formats.latency.FP16_GROUP_CYCLES`). With one it
    is a single multiply-accumulate unit.

    Parameters
    ----------
    dot_width, summation, rounding, subnormals, specials, addend, stages, adder_stages, interleave
        As of `FloatingDot`, whose members these are, too.
    """

    def __init__(
        self,
        *,
        dot_width: int = 4,
        summation: Summation = "chained",
        rounding: Rounding = "nearest",
        subnormals: bool = True,
        specials: bool = True,
        addend: bool = False,
        stages: int = 2,
        adder_stages: int = 1,
        interleave: int = 1,
    ) -> None:
        super().__init__(
            dot_width=dot_width,
            summation=summation,
            rounding=rounding,
            subnormals=subnormals,
            specials=specials,
            addend=addend,
            stages=stages,
            adder_stages=adder_stages,
            interleave=interleave,
        )


class FpIntPE(wiring.Component):
    """The FP-INT baseline: FP16 activations times integer weights, 4 multiplications per cycle, FP32 accumulators.

    A `FloatingDot` over the group, 11 by 4 bits a product; the group's sum, rounded to FP16, then meets the group's
    scale in a `ScaleAccumulator`, as an Anda unit's does. Activations and scales are finite.

    Timing: a group of 64 takes 16 cycles with `dot_width` 4; the result is valid ``stages + 3`` cycles after the last step,
    with ``"exact"`` one more; with more adder stages see `formats.latency.floating_dot_cycles` and
    `fp32_scaling_cycles`.

    Parameters
    ----------
    dot_width, summation, rounding, subnormals, stages, adder_stages, interleave
        As of `FloatingDot`; the `ScaleAccumulator` has the same `adder_stages` and `interleave`.
    weight_bits : `int`
        2 to 8.

    Members
    -------
    operands : `In(stream.Signature(operands_layout(dot_width, signed(weight_bits))))`
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
        dot_width: int = 4,
        weight_bits: int = 4,
        summation: Summation = "chained",
        rounding: Rounding = "nearest",
        subnormals: bool = True,
        stages: int = 2,
        adder_stages: int = 1,
        interleave: int = 1,
    ) -> None:
        self.dot = FloatingDot(
            dot_width=dot_width,
            weight_bits=weight_bits,
            summation=summation,
            rounding=rounding,
            subnormals=subnormals,
            specials=False,
            stages=stages,
            adder_stages=adder_stages,
            interleave=interleave,
        )
        super().__init__(
            {
                "operands": In(
                    stream.Signature(operands_layout(dot_width, signed(weight_bits) if weight_bits else FP16))
                ),
                "scales": In(stream.Signature(SCALE)),
                "result": Out(stream.Signature(FP32)),
                "saturated": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Build the circuit."""
        m = Module()
        m.submodules.dot = dot = self.dot
        m.submodules.scale_accumulator = accumulator = ScaleAccumulator(
            adder_stages=dot.adder_stages, interleave=dot.interleave
        )
        converter = Pipeline(m, dot.result, accumulator.partials)
        half = self._round(m, converter) if dot.adder_stages == 1 else self._round_in_stages(m, converter)
        m.d.comb += Value.cast(accumulator.partials.payload).eq(half)
        converter.finish()
        wiring.connect(m, wiring.flipped(self.operands), dot.operands)
        wiring.connect(m, wiring.flipped(self.scales), accumulator.scales)
        wiring.connect(m, accumulator.result, wiring.flipped(self.result))
        return m

    def _round(self, m: Module, converter: Pipeline) -> Value:
        m.submodules.rounder = rounder = Fp32ToFp16()
        m.d.comb += rounder.single.eq(self.dot.result.payload)
        (half,) = converter.cut(half=rounder.half)
        with m.If(self.dot.result.valid & self.dot.result.ready & rounder.saturated):
            m.d.sync += self.saturated.eq(1)
        return Value.cast(half)

    def _round_in_stages(self, m: Module, converter: Pipeline) -> Value:
        single = self.dot.result.payload
        exponent = Signal(signed(9))
        m.d.comb += exponent.eq(single.exponent - (127 - 15))
        values = {"sign": single.sign, "exponent": exponent, "normalized": significand(single)}
        (result,), _ = converter.in_stages(fp16_rounding(), [values], {}, self.dot.adder_stages)
        with m.If(converter.moves & converter.valid & result["saturated"]):
            m.d.sync += self.saturated.eq(1)
        return result["half"]
