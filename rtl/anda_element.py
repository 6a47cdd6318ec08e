# amaranth: UnusedElaboratable=no
"""The Anda processing element with what every baseline's has: scale and FP32 accumulator."""

from amaranth.hdl import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from .floating import FP32
from .interfaces import MAX_MANTISSA_BITS, Stream, partial_sum_bits
from .pe import AndaPE
from .scaling import SCALE, GroupAccumulator


class AndaElement(wiring.Component):
    """An `AndaPE` and a `GroupAccumulator`: planes and weights in, an FP32 sum over the groups out.

    What an `AndaUnit` computes before its last conversion, behind streams: comparable to the baselines' elements, which
    end in an FP32 accumulator, too. A group takes M + 1 cycles; a result is valid 4 cycles after its last plane.

    Parameters
    ----------
    lanes, weight_bits, max_mantissa_bits
        As of `AndaPE`.

    Members
    -------
    activation, weights
        As of `AndaPE`.
    scales : `In(stream.Signature(SCALE))`
        One per group.
    result : `Out(stream.Signature(FP32))`
    saturated : `Out(1)`
        As of `GroupAccumulator`.
    """

    activation: Stream
    weights: Stream
    scales: Stream
    result: Stream
    saturated: Signal

    def __init__(self, *, lanes: int = 64, weight_bits: int = 4, max_mantissa_bits: int = MAX_MANTISSA_BITS) -> None:
        self.pe = AndaPE(lanes=lanes, weight_bits=weight_bits, max_mantissa_bits=max_mantissa_bits)
        self._accumulator = GroupAccumulator(bits=partial_sum_bits(lanes, weight_bits, max_mantissa_bits))
        super().__init__(
            {
                "activation": self.pe.signature.members["activation"],
                "weights": self.pe.signature.members["weights"],
                "scales": In(stream.Signature(SCALE)),
                "result": Out(stream.Signature(FP32)),
                "saturated": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Build the circuit."""
        m = Module()
        m.submodules.pe = pe = self.pe
        m.submodules.accumulator = accumulator = self._accumulator
        wiring.connect(m, wiring.flipped(self.activation), pe.activation)
        wiring.connect(m, wiring.flipped(self.weights), pe.weights)
        wiring.connect(m, wiring.flipped(self.scales), accumulator.scales)
        wiring.connect(m, accumulator.result, wiring.flipped(self.result))
        m.d.comb += [
            accumulator.groups.valid.eq(pe.result.valid),
            pe.result.ready.eq(accumulator.groups.ready),
            accumulator.groups.payload.partial_sum.eq(pe.result.payload.partial_sum),
            accumulator.groups.payload.exponent.eq(pe.result.payload.exponent),
            self.saturated.eq(accumulator.saturated),
        ]
        return m
