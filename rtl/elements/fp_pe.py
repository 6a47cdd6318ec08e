# amaranth: UnusedElaboratable=no
"""The FP-INT baseline: a floating-point dot product with integer weights, scaled and accumulated."""

from dataclasses import dataclass

from amaranth.hdl import Module, Signal, Value, signed
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ...formats import InputError
from ...formats.checks import check_integer
from ..arithmetic.fp import FP32, Fp32ToFp16, significand
from ..arithmetic.fp_stages import fp16_rounding
from ..arithmetic.pipeline import Pipeline
from ..arithmetic.scaling import SCALE, ScaleAccumulator
from ..interfaces import Stream
from .fp_dot import FloatingDot, FpDotParameters


@dataclass(frozen=True, kw_only=True)
class FpIntParameters(FpDotParameters):
    """The options of an `FpIntPE`: those of its `FloatingDot`, whose operands are finite and which has no `addend`.

    Raises
    ------
    InputError
        A field is out of its range, or `specials` or `addend` is chosen.
    """

    weight_bits: int = 4
    specials: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        check_integer("weight_bits", self.weight_bits, 2, 8)
        for field in ("specials", "addend"):
            if getattr(self, field):
                raise InputError(f"{field}: an FP-INT element has none; choose false")


class FpIntPE(wiring.Component):
    """The FP-INT baseline: FP16 activations times integer weights, 4 multiplications per cycle, FP32 accumulators.

    A `FloatingDot` over the group, 11 by 4 bits a product. The group's sum is rounded to FP16. A `ScaleAccumulator`, like
    that of an Anda unit, multiplies it by the group's scale. Activations and scales are finite.

    Timing: a group of 64 takes 16 cycles with `dot_width` 4. The result is valid ``stages + 3`` cycles after the last
    step, with ``"exact"`` one more; more adder stages add theirs.

    Parameters
    ----------
    parameters : `FpIntParameters`

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

    def __init__(self, parameters: FpIntParameters) -> None:
        self.parameters = parameters
        super().__init__(
            {
                "operands": In(stream.Signature(parameters.operands_layout)),
                "scales": In(stream.Signature(SCALE)),
                "result": Out(stream.Signature(FP32)),
                "saturated": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Connect dot product, rounder and accumulator."""
        m = Module()
        options = self.parameters
        m.submodules.dot = dot = FloatingDot(options)
        m.submodules.scale_accumulator = accumulator = ScaleAccumulator(
            adder_stages=options.adder_stages, interleave=options.interleave
        )
        converter = Pipeline(m, dot.result, accumulator.partials)
        convert = self._round if options.adder_stages == 1 else self._round_in_stages
        half = convert(m, converter, dot.result)
        m.d.comb += Value.cast(accumulator.partials.payload).eq(half)
        converter.finish()
        wiring.connect(m, wiring.flipped(self.operands), dot.operands)
        wiring.connect(m, wiring.flipped(self.scales), accumulator.scales)
        wiring.connect(m, accumulator.result, wiring.flipped(self.result))
        return m

    def _round(self, m: Module, converter: Pipeline, sums: Stream) -> Value:
        m.submodules.rounder = rounder = Fp32ToFp16()
        m.d.comb += rounder.single.eq(sums.payload)
        (half,) = converter.cut(half=rounder.half)
        with m.If(sums.valid & sums.ready & rounder.saturated):
            m.d.sync += self.saturated.eq(1)
        return Value.cast(half)

    def _round_in_stages(self, m: Module, converter: Pipeline, sums: Stream) -> Value:
        single = sums.payload
        exponent = Signal(signed(9))
        m.d.comb += exponent.eq(single.exponent - (127 - 15))
        values = {"sign": single.sign, "exponent": exponent, "normalized": significand(single)}
        (result,), _ = converter.in_stages(fp16_rounding(), [values], {}, self.parameters.adder_stages)
        with m.If(converter.moves & converter.valid & result["saturated"]):
            m.d.sync += self.saturated.eq(1)
        return result["half"]
