# amaranth: UnusedElaboratable=no
"""The Anda processing element followed by conversion, scale and FP32 accumulator, as the baselines have them."""

from dataclasses import dataclass

from amaranth.hdl import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ...formats.checks import check_integer
from ..arithmetic.fp import FP32
from ..arithmetic.fp_accumulator import MAX_ADDER_STAGES
from ..arithmetic.scaling import SCALE, GroupAccumulator
from ..interfaces import Stream
from .anda_pe import AndaPE, AndaPEParameters


@dataclass(frozen=True, kw_only=True)
class ScaledAndaPEParameters(AndaPEParameters):
    """The options of a `ScaledAndaPE`: those of `AndaPEParameters`, and one more.

    Parameters
    ----------
    adder_stages : `int`
        See `GroupAccumulator`.
    """

    adder_stages: int = 1

    def __post_init__(self) -> None:
        check_integer("adder_stages", self.adder_stages, 1, MAX_ADDER_STAGES)
        super().__post_init__()


class ScaledAndaPE(wiring.Component):
    """An `AndaPE` and a `GroupAccumulator`: from bit-planes to an FP32 output, for comparison with the baselines.

    With several `units` they share one `GroupAccumulator`, which takes their groups in turn, unit by unit, while the
    next group's planes pass: no cycle is lost if M + 1 is at least the number of units.

    Timing: M + 1 cycles a group, at least a cycle for each unit. With one stage each, the result is valid 4 cycles after the last plane of the last group;
    each further stage adds a cycle. With 5 adder stages, groups of fewer than 4 planes wait for the accumulator's adder.

    Parameters
    ----------
    parameters : `ScaledAndaPEParameters`

    Members
    -------
    activation, weights
        See `AndaPE`.
    scales : `In(stream.Signature(SCALE))`
        One per group; of the units in turn.
    result : `Out(stream.Signature(FP32))`
        Of the units in turn.
    saturated : `Out(1)`
        See `GroupAccumulator`.
    """

    activation: Stream
    weights: Stream
    scales: Stream
    result: Stream
    saturated: Signal

    def __init__(self, parameters: ScaledAndaPEParameters) -> None:
        self.parameters = parameters
        super().__init__(
            {
                "activation": In(stream.Signature(parameters.planes_layout)),
                "weights": In(stream.Signature(parameters.row_weights_layout)),
                "scales": In(stream.Signature(SCALE)),
                "result": Out(stream.Signature(FP32)),
                "saturated": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Connect element and accumulator."""
        m = Module()
        options = self.parameters
        m.submodules.element = element = AndaPE(options)
        m.submodules.group_accumulator = accumulator = GroupAccumulator(
            bits=options.partial_sum_bits, adder_stages=options.adder_stages, units=options.units
        )
        wiring.connect(m, wiring.flipped(self.activation), element.activation)
        wiring.connect(m, wiring.flipped(self.weights), element.weights)
        wiring.connect(m, element.result, accumulator.groups)
        wiring.connect(m, wiring.flipped(self.scales), accumulator.scales)
        wiring.connect(m, accumulator.result, wiring.flipped(self.result))
        m.d.comb += self.saturated.eq(accumulator.saturated)
        return m
