# amaranth: UnusedElaboratable=no
"""The Anda processing element with what the baselines have behind theirs: conversion, scale and FP32 accumulator."""

from amaranth.hdl import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..arithmetic.adder_trees import Tree
from ..arithmetic.fp import FP32
from ..arithmetic.scaling import SCALE, GroupAccumulator
from ..interfaces import MAX_MANTISSA_BITS, Stream, partial_sum_bits
from .anda_pe import AndaPE, Signs


class ScaledAndaPE(wiring.Component):
    """An `AndaPE` and a `GroupAccumulator`: from bit-planes to an FP32 output, for comparison with the baselines.

    Timing: M + 1 cycles a group; the result is valid ``formats.latency.PE_RESULT_CYCLES + group_scaling_cycles()`` cycles
    after the last plane of the last group, and one more for each further stage. With 5 adder stages, groups of fewer than
    4 planes wait for the accumulator's adder.

    Parameters
    ----------
    lanes, weight_bits, max_mantissa_bits, tree, operand_isolation, stages, signs
        As of `AndaPE`.
    adder_stages : `int`
        As of `GroupAccumulator`.

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

    def __init__(
        self,
        *,
        lanes: int = 64,
        weight_bits: int = 4,
        max_mantissa_bits: int = MAX_MANTISSA_BITS,
        tree: Tree = "ripple",
        operand_isolation: bool = False,
        stages: int = 1,
        signs: Signs = "own",
        adder_stages: int = 1,
    ) -> None:
        self.element = AndaPE(
            lanes=lanes,
            weight_bits=weight_bits,
            max_mantissa_bits=max_mantissa_bits,
            tree=tree,
            operand_isolation=operand_isolation,
            stages=stages,
            signs=signs,
        )
        self.accumulator = GroupAccumulator(
            bits=partial_sum_bits(lanes, weight_bits, max_mantissa_bits), adder_stages=adder_stages
        )
        super().__init__(
            {
                "activation": self.element.signature.members["activation"],
                "weights": self.element.signature.members["weights"],
                "scales": In(stream.Signature(SCALE)),
                "result": Out(stream.Signature(FP32)),
                "saturated": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Build the circuit."""
        m = Module()
        m.submodules.element = element = self.element
        m.submodules.group_accumulator = accumulator = self.accumulator
        wiring.connect(m, wiring.flipped(self.activation), element.activation)
        wiring.connect(m, wiring.flipped(self.weights), element.weights)
        wiring.connect(m, element.result, accumulator.groups)
        wiring.connect(m, wiring.flipped(self.scales), accumulator.scales)
        wiring.connect(m, accumulator.result, wiring.flipped(self.result))
        m.d.comb += self.saturated.eq(accumulator.saturated)
        return m
