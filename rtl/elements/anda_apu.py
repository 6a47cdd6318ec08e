# amaranth: UnusedElaboratable=no
"""The Anda processing unit: bit-serial dot product, conversion, scaling, accumulation."""

from dataclasses import replace
from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..arithmetic.fp import FP32, Fp16Multiplier, Fp32Adder, Fp32ToFp16, IntToFp16
from ..interfaces import FP16, PARTIAL_EXPONENT, SKIPPED_BITS
from ..rtlil import place
from .anda_pe import DotProduct, DotProductParameters

_ONE_BITS = 2
"""Bits of the weight one, which is signed like all weights."""

UNIT_STROBES = data.StructLayout(
    {
        "load": 1,
        "step": 1,
        "first": 1,
        "add_halves": 1,
        "skipped": SKIPPED_BITS,
        "convert": 1,
        "multiply": 1,
        "affine": 1,
        "accumulate": 1,
        "clear": 1,
        "finish": 1,
    }
)
"""Actions of an `AndaUnit` in a cycle, a bit each. They may coincide.

Members
-------
load, step, first, add_halves, skipped
    See `DotProduct`.
convert
    Take the dot product as an FP16 number.
multiply, affine
    Take the product of the factor with the converted dot product, or with the activation sum if `affine` is set.
accumulate, clear
    Add the product to the accumulator; `clear` takes the accumulator for zero.
finish
    Take the accumulator into the output.
"""


class AndaUnit(wiring.Component):
    """One output of a GeMM: groups in, an FP16 number out (Anda paper, section IV-B, "APU").

    A `DotProduct` and behind it a pipeline of one cycle each: conversion to FP16, product with an FP16 factor, addition
    to the FP32 accumulator, conversion of the accumulator to FP16. It is a datapath without a handshake: the circuit
    around it, such as `MatrixUnit`, raises the strobes. The arithmetic is that of `formats.fp_int_gemm`, bit for bit.

    Parameters
    ----------
    parameters : `DotProductParameters`

    Members
    -------
    strobes : `In(UNIT_STROBES)`
    plane : `In(lanes)`
    weights : `In(ArrayLayout(signed(weight_bits), lanes))`
    exponent : `In(signed(6))`
        The dot product's least significant bit weighs ``2**(exponent - 14)``; read by `convert`.
    total : `In(FP16)`
        The group's activation sum; read by `multiply` with `affine`.
    factor : `In(FP16)`
        The group's scale, or with `affine` its offset; read by `multiply`.
    output : `Out(FP16)`
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
                "strobes": In(UNIT_STROBES),
                "plane": In(parameters.lanes),
                "weights": In(parameters.weights_layout),
                "exponent": In(PARTIAL_EXPONENT),
                "total": In(FP16),
                "factor": In(FP16),
                "output": Out(FP16),
                "partial_saturated": Out(1),
                "result_saturated": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Connect dot product, converter, multiplier, adder and rounder, with a register behind each."""
        m = Module()
        m.submodules.dot_product = dot_product = DotProduct(self.parameters)
        m.submodules.to_fp16 = to_fp16 = IntToFp16(bits=self.parameters.partial_sum_bits)
        m.submodules.multiplier = multiplier = Fp16Multiplier()
        m.submodules.adder = adder = Fp32Adder()
        m.submodules.rounder = rounder = Fp32ToFp16()
        partial = Signal(FP16)
        product = Signal(FP32)
        accumulator = Signal(FP32)
        strobes = self.strobes
        m.d.comb += [
            dot_product.load.eq(strobes.load),
            dot_product.step.eq(strobes.step),
            dot_product.first.eq(strobes.first),
            dot_product.add_halves.eq(strobes.add_halves),
            dot_product.skipped.eq(strobes.skipped),
            dot_product.plane.eq(self.plane),
            dot_product.weights.eq(self.weights),
            to_fp16.value.eq(dot_product.partial_sum),
            to_fp16.exponent.eq(self.exponent),
            multiplier.left.eq(Mux(strobes.affine, self.total, partial)),
            multiplier.right.eq(self.factor),
            adder.left.eq(Mux(strobes.clear, 0, accumulator)),
            adder.right.eq(product),
            rounder.single.eq(accumulator),
            self.partial_saturated.eq(strobes.convert & to_fp16.saturated),
            self.result_saturated.eq(strobes.finish & rounder.saturated),
        ]
        with m.If(strobes.convert):
            m.d.sync += partial.eq(to_fp16.half)
        with m.If(strobes.multiply):
            m.d.sync += product.eq(multiplier.product)
        with m.If(strobes.accumulate):
            m.d.sync += accumulator.eq(adder.sum)
        with m.If(strobes.finish):
            m.d.sync += self.output.eq(rounder.half)
        return m


class ActivationSum(wiring.Component):
    """The sum of a token's activations in a group, as an FP16 number. The offsets of affine weights multiply it.

    A `DotProduct` with weights of one. A row of units shares it.

    Parameters
    ----------
    parameters : `DotProductParameters`
        Those of the units; their `weight_bits`, `tree` and `operand_isolation` are not used.

    Members
    -------
    strobes : `In(UNIT_STROBES)`
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
        self.parameters = replace(parameters, weight_bits=_ONE_BITS, tree="ripple", operand_isolation=False)
        super().__init__(
            {
                "strobes": In(UNIT_STROBES),
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
                "strobes": In(UNIT_STROBES),
                "planes": In(data.ArrayLayout(parameters.lanes, rows)),
                "exponents": In(data.ArrayLayout(PARTIAL_EXPONENT, rows)),
                "totals": In(data.ArrayLayout(FP16, rows)),
                "weights": In(parameters.weights_layout),
                "factor": In(FP16),
                "outputs": Out(data.ArrayLayout(FP16, rows)),
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
