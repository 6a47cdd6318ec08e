# amaranth: UnusedElaboratable=no
"""The Anda processing unit: bit-serial dot product, conversion, scaling, accumulation."""

from dataclasses import replace
from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..arithmetic.fp import FP32, Fp16Multiplier, Fp32Adder, Fp32ToFp16, IntToFp16
from ..interfaces import FP16, PARTIAL_EXPONENT, SKIPPED_BITS, per_unit
from ..rtlil import place
from .anda_pe import DotProduct, DotProductParameters

_ONE_BITS = 2
"""Bits of the weight one, which is signed like all weights."""


def unit_strobes(units: int = 1) -> data.StructLayout:
    """Actions of an `AndaUnit` in a cycle, a bit each. They may coincide.

    Members
    -------
    load, step, first, add_halves, skipped
        See `DotProduct`.
    convert, waiting
        Take a dot product as an FP16 number: that of the first unit, which leaves the others waiting, or with `waiting`
        that of the next one.
    multiply, affine
        Take the product of the factor with the converted dot product, or with the activation sum if `affine` is set.
    accumulate, clear
        Add the product to the accumulator of the unit whose turn it is; `clear` takes the accumulator for zero.
    finish : `unsigned(units)`
        Take the sum of the cycle before into this unit's output.
    """
    names = ("load", "step", "first", "add_halves", "skipped", "convert", "waiting")
    names = (*names, "multiply", "affine", "accumulate", "clear", "finish")
    widths = {"skipped": SKIPPED_BITS, "finish": units}
    return data.StructLayout({name: widths.get(name, 1) for name in names})


class AndaUnit(wiring.Component):
    """One output of a GeMM: groups in, an FP16 number out (Anda paper, section IV-B, "APU").

    A `DotProduct` and behind it a pipeline of one cycle each: conversion to FP16, product with an FP16 factor, addition
    to the FP32 accumulator, conversion of the accumulator to FP16. It is a datapath without a handshake: the circuit
    around it, such as `MatrixUnit`, raises the strobes. The arithmetic is that of `formats.fp_int_gemm`, bit for bit.

    With several units, these are the outputs of as many columns: a dot product, an accumulator and an output for each
    one, and one conversion, multiplier, adder and rounder, which they use in turn, a cycle each. The dot products of all
    but the first unit wait in registers meanwhile, and the accumulators stand in a ring.

    Parameters
    ----------
    parameters : `DotProductParameters`

    Members
    -------
    strobes : `In(unit_strobes(units))`
    plane : `In(lanes)`
        With the signs of the row as `SignedPlanes` sends it.
    weights : `In(ArrayLayout(signed(weight_bits), lanes))`
        With several units an array of that.
    exponent : `In(signed(6))`
        The dot product's least significant bit weighs ``2**(exponent - 14)``; read by `convert`.
    total : `In(FP16)`
        The group's activation sum; read by `multiply` with `affine`.
    factor : `In(FP16)`
        The group's scale, or with `affine` its offset; read by `multiply`.
    output : `Out(FP16)`
        With several units an array of that.
    partial_saturated, result_saturated : `Out(1)`
        The conversion of this cycle's `convert` or `finish` overflows FP16.
    """

    strobes: Any
    plane: Signal
    weights: Any
    exponent: Signal
    total: Any
    factor: Any
    output: Any
    partial_saturated: Signal
    result_saturated: Signal

    def __init__(self, parameters: DotProductParameters) -> None:
        self.parameters = parameters
        super().__init__(
            {
                "strobes": In(unit_strobes(parameters.units)),
                "plane": In(parameters.lanes),
                "weights": In(parameters.row_weights_layout),
                "exponent": In(PARTIAL_EXPONENT),
                "total": In(FP16),
                "factor": In(FP16),
                "output": Out(per_unit(FP16, parameters.units)),
                "partial_saturated": Out(1),
                "result_saturated": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Connect dot products, converter, multiplier, adder and rounder, with a register behind each."""
        m = Module()
        strobes, units = self.strobes, self.parameters.units
        m.submodules.to_fp16 = to_fp16 = IntToFp16(bits=self.parameters.partial_sum_bits)
        m.submodules.multiplier = multiplier = Fp16Multiplier()
        m.submodules.adder = adder = Fp32Adder()
        m.submodules.rounder = rounder = Fp32ToFp16()
        partial = Signal(FP16)
        product = Signal(FP32)
        accumulators = Signal(FP32.size * units)
        oldest, newest = accumulators[: FP32.size], accumulators[-FP32.size :]
        m.d.comb += [
            to_fp16.value.eq(self._dot_product(m)),
            to_fp16.exponent.eq(self.exponent),
            multiplier.left.eq(Mux(strobes.affine, self.total, partial)),
            multiplier.right.eq(self.factor),
            adder.left.eq(Mux(strobes.clear, 0, oldest)),
            adder.right.eq(product),
            rounder.single.eq(newest),
            self.partial_saturated.eq(strobes.convert & to_fp16.saturated),
            self.result_saturated.eq(strobes.finish.any() & rounder.saturated),
        ]
        with m.If(strobes.convert):
            m.d.sync += partial.eq(to_fp16.half)
        with m.If(strobes.multiply):
            m.d.sync += product.eq(multiplier.product)
        with m.If(strobes.accumulate):
            m.d.sync += accumulators.eq(Cat(accumulators[FP32.size :], adder.sum))
        for unit in range(units):
            with m.If(strobes.finish[unit]):
                m.d.sync += Value.cast(self.output).word_select(unit, FP16.size).eq(rounder.half)
        return m

    def _dot_product(self, m: Module) -> Value:
        """The dot product to convert: of the first unit, or the next one that waits."""
        bits, strobes = self.parameters.partial_sum_bits, self.strobes
        weights = Value.cast(self.weights)
        share = len(weights) // self.parameters.units
        sums: list[Value] = []
        for unit in range(self.parameters.units):
            dot_product = DotProduct(self.parameters)
            m.submodules["dot_product" if self.parameters.units == 1 else f"dot_product_{unit}"] = dot_product
            m.d.comb += [
                dot_product.load.eq(strobes.load),
                dot_product.step.eq(strobes.step),
                dot_product.first.eq(strobes.first),
                dot_product.add_halves.eq(strobes.add_halves),
                dot_product.skipped.eq(strobes.skipped),
                dot_product.plane.eq(self.plane),
                Value.cast(dot_product.weights).eq(weights.word_select(unit, share)),
            ]
            sums.append(dot_product.partial_sum)
        if len(sums) == 1:
            return sums[0]
        waiting = Signal(bits * (len(sums) - 1))
        with m.If(strobes.convert):
            m.d.sync += waiting.eq(Mux(strobes.waiting, waiting[bits:], Cat(sums[1:])))
        return Mux(strobes.waiting, waiting[:bits], sums[0]).as_signed()


class ActivationSum(wiring.Component):
    """The sum of a token's activations in a group, as an FP16 number. The offsets of affine weights multiply it.

    A `DotProduct` with weights of one. A row of units shares it.

    Parameters
    ----------
    parameters : `DotProductParameters`
        Those of the units; their `weight_bits`, `tree`, `operand_isolation` and `units` are not used.

    Members
    -------
    strobes : `In(unit_strobes(units))`
    plane : `In(lanes)`
    exponent : `In(signed(6))`
        See `AndaUnit`.
    total : `Out(FP16)`
        From the cycle after `convert`.
    saturated : `Out(1)`
        The conversion of this cycle's `convert` overflows FP16.
    """

    strobes: Any
    plane: Signal
    exponent: Signal
    total: Any
    saturated: Signal

    def __init__(self, parameters: DotProductParameters) -> None:
        self.parameters = replace(parameters, weight_bits=_ONE_BITS, tree="ripple", operand_isolation=False, units=1)
        super().__init__(
            {
                "strobes": In(unit_strobes(parameters.units)),
                "plane": In(parameters.lanes),
                "exponent": In(PARTIAL_EXPONENT),
                "total": Out(FP16),
                "saturated": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Connect a dot product with constant weights and a converter."""
        m = Module()
        m.submodules.dot_product = dot_product = DotProduct(self.parameters)
        m.submodules.to_fp16 = to_fp16 = IntToFp16(bits=self.parameters.partial_sum_bits)
        m.d.comb += [
            dot_product.load.eq(self.strobes.load),
            dot_product.step.eq(self.strobes.step),
            dot_product.first.eq(self.strobes.first),
            dot_product.add_halves.eq(self.strobes.add_halves),
            dot_product.skipped.eq(self.strobes.skipped),
            dot_product.plane.eq(self.plane),
            *[weight.eq(1) for weight in dot_product.weights],
            to_fp16.value.eq(dot_product.partial_sum),
            to_fp16.exponent.eq(self.exponent),
            self.saturated.eq(self.strobes.convert & to_fp16.saturated),
        ]
        with m.If(self.strobes.convert):
            m.d.sync += self.total.eq(to_fp16.half)
        return m


class UnitColumn(wiring.Component):
    """The units of one output channel: `rows` tokens, which share the weights and the factor.

    With several units in a row, the `AndaUnit` of each token serves as many output channels, and their factors take turns.

    Parameters
    ----------
    rows : `int`
    parameters : `DotProductParameters`
        Those of the units.

    Members
    -------
    strobes, weights, factor
        See `AndaUnit`; the same for all rows.
    planes, exponents, totals : `In(ArrayLayout(..., rows))`
        `plane`, `exponent` and `total` of each row's unit.
    outputs : `Out(ArrayLayout(FP16, rows))`
        With several units in a row an array of them for each row.
    partial_saturated, result_saturated : `Out(1)`
        See `AndaUnit`; set if any row's is.
    """

    strobes: Any
    planes: Any
    exponents: Any
    totals: Any
    weights: Any
    factor: Any
    outputs: Any
    partial_saturated: Signal
    result_saturated: Signal

    def __init__(self, rows: int, parameters: DotProductParameters) -> None:
        self.rows = rows
        self.parameters = parameters
        super().__init__(
            {
                "strobes": In(unit_strobes(parameters.units)),
                "planes": In(data.ArrayLayout(parameters.lanes, rows)),
                "exponents": In(data.ArrayLayout(PARTIAL_EXPONENT, rows)),
                "totals": In(data.ArrayLayout(FP16, rows)),
                "weights": In(parameters.row_weights_layout),
                "factor": In(FP16),
                "outputs": Out(data.ArrayLayout(per_unit(FP16, parameters.units), rows)),
                "partial_saturated": Out(1),
                "result_saturated": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Place a unit for each row."""
        m = Module()
        units = [AndaUnit(self.parameters) for _ in range(self.rows)]
        key = f"anda_unit_{self.parameters.module_suffix}"
        for row, unit in enumerate(units):
            place(m, f"unit_{row}", key, unit, platform)
            m.d.comb += [
                unit.strobes.eq(self.strobes),
                unit.plane.eq(self.planes[row]),
                unit.weights.eq(self.weights),
                unit.exponent.eq(self.exponents[row]),
                unit.total.eq(self.totals[row]),
                unit.factor.eq(self.factor),
                self.outputs[row].eq(unit.output),
            ]
        m.d.comb += [
            self.partial_saturated.eq(Cat(unit.partial_saturated for unit in units).any()),
            self.result_saturated.eq(Cat(unit.result_saturated for unit in units).any()),
        ]
        return m
