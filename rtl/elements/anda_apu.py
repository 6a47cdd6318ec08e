# amaranth: UnusedElaboratable=no
"""The Anda processing unit: bit-serial dot product, conversion, scaling, accumulation."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ...formats.checks import check_integer
from ..arithmetic.adder_trees import Tree, check_tree
from ..arithmetic.fp import FP32, Fp16Multiplier, Fp32Adder, Fp32ToFp16, IntToFp16
from ..interfaces import FP16, MAX_LANES, MAX_MANTISSA_BITS, PARTIAL_EXPONENT, SKIPPED_BITS
from ..rtlil import place
from .anda_pe import DotProduct

_ONE_BITS = 2
"""Bits of the weight one, which is signed as all weights are."""

UNIT_STROBES = data.StructLayout(
    {
        "load": 1,
        "step": 1,
        "first": 1,
        "add_fp16": 1,
        "skipped": SKIPPED_BITS,
        "convert": 1,
        "multiply": 1,
        "affine": 1,
        "accumulate": 1,
        "clear": 1,
        "finish": 1,
    }
)
"""What an `AndaUnit` does in a cycle; any of them may coincide.

Members
-------
load, step, first, add_fp16, skipped
    As of `DotProduct`.
convert
    Take the dot product as a half.
multiply, affine
    Take the product of the factor with the converted dot product, or with the activation sum if `affine` is set.
accumulate, clear
    Add the product to the accumulator; `clear` takes the accumulator for zero.
finish
    Take the accumulator into the output.
"""


class AndaUnit(wiring.Component):
    """One output of a GeMM: groups in, a half out (Anda paper, section IV-B, "APU").

    A `DotProduct` and behind it a pipeline of one cycle each: conversion to FP16, product with an FP16 factor, addition
    to the FP32 accumulator, conversion of the accumulator to FP16. It is a datapath: whoever instantiates it, such as
    `MatrixUnit`, raises the strobes; the arithmetic is that of `formats.fp_int_gemm`, bit for bit.

    Parameters
    ----------
    lanes, weight_bits, max_mantissa_bits, midpoint, skipping, tree, operand_isolation
        As of `AndaPE`.

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

    def __init__(
        self,
        *,
        lanes: int = 64,
        weight_bits: int = 4,
        max_mantissa_bits: int = MAX_MANTISSA_BITS,
        midpoint: bool = False,
        skipping: bool = False,
        tree: Tree = "ripple",
        operand_isolation: bool = False,
    ) -> None:
        self.tree: Tree = check_tree(tree)
        self.operand_isolation = bool(operand_isolation)
        self.midpoint = bool(midpoint)
        self.skipping = bool(skipping)
        self.lanes = check_integer("lanes", lanes, 1, MAX_LANES)
        self.weight_bits = check_integer("weight_bits", weight_bits, 2, 8)
        self.max_mantissa_bits = check_integer("max_mantissa_bits", max_mantissa_bits, 1, MAX_MANTISSA_BITS)
        super().__init__(
            {
                "strobes": In(UNIT_STROBES),
                "plane": In(lanes),
                "weights": In(data.ArrayLayout(signed(weight_bits), lanes)),
                "exponent": In(PARTIAL_EXPONENT),
                "total": In(FP16),
                "factor": In(FP16),
                "output": Out(FP16),
                "partial_saturated": Out(1),
                "result_saturated": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Build the circuit."""
        m = Module()
        m.submodules.dot_product = dot_product = DotProduct(
            lanes=self.lanes,
            weight_bits=self.weight_bits,
            max_mantissa_bits=self.max_mantissa_bits,
            midpoint=self.midpoint,
            skipping=self.skipping,
            tree=self.tree,
            operand_isolation=self.operand_isolation,
        )
        bits = len(dot_product.partial_sum)
        m.submodules.to_fp16 = to_fp16 = IntToFp16(bits=bits)
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
            dot_product.add_fp16.eq(strobes.add_fp16),
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
    """The sum of a token's activations in a group, as a half: what the offsets of affine weights multiply.

    A `DotProduct` with ones. A row of units shares it.

    Members
    -------
    strobes : `In(UNIT_STROBES)`
    plane : `In(lanes)`
    exponent : `In(signed(6))`
        As of `AndaUnit`.
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

    def __init__(self, *, lanes: int, max_mantissa_bits: int, midpoint: bool = False, skipping: bool = False) -> None:
        self.skipping = skipping
        self.lanes = lanes
        self.midpoint = midpoint
        self.max_mantissa_bits = max_mantissa_bits
        super().__init__(
            {
                "strobes": In(UNIT_STROBES),
                "plane": In(lanes),
                "exponent": In(PARTIAL_EXPONENT),
                "total": Out(FP16),
                "saturated": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Build the circuit."""
        m = Module()
        m.submodules.dot_product = dot_product = DotProduct(
            lanes=self.lanes,
            weight_bits=_ONE_BITS,
            max_mantissa_bits=self.max_mantissa_bits,
            midpoint=self.midpoint,
            skipping=self.skipping,
        )
        m.submodules.to_fp16 = to_fp16 = IntToFp16(bits=len(dot_product.partial_sum))
        m.d.comb += [
            dot_product.load.eq(self.strobes.load),
            dot_product.step.eq(self.strobes.step),
            dot_product.first.eq(self.strobes.first),
            dot_product.add_fp16.eq(self.strobes.add_fp16),
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

    Members
    -------
    strobes, weights, factor
        As of `AndaUnit`, for all rows.
    planes, exponents, totals : `In(ArrayLayout(..., rows))`
        `plane`, `exponent` and `total` of each row's unit.
    outputs : `Out(ArrayLayout(FP16, rows))`
    partial_saturated, result_saturated : `Out(1)`
        As of `AndaUnit`, in any row.
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

    def __init__(
        self,
        *,
        rows: int,
        lanes: int,
        weight_bits: int,
        max_mantissa_bits: int,
        midpoint: bool = False,
        skipping: bool = False,
        tree: Tree = "ripple",
        operand_isolation: bool = False,
    ) -> None:
        self.rows = rows
        self.unit_parameters: dict[str, Any] = {
            "lanes": lanes,
            "weight_bits": weight_bits,
            "max_mantissa_bits": max_mantissa_bits,
            "midpoint": midpoint,
            "skipping": skipping,
            "tree": tree,
            "operand_isolation": operand_isolation,
        }
        super().__init__(
            {
                "strobes": In(UNIT_STROBES),
                "planes": In(data.ArrayLayout(lanes, rows)),
                "exponents": In(data.ArrayLayout(PARTIAL_EXPONENT, rows)),
                "totals": In(data.ArrayLayout(FP16, rows)),
                "weights": In(data.ArrayLayout(signed(weight_bits), lanes)),
                "factor": In(FP16),
                "outputs": Out(data.ArrayLayout(FP16, rows)),
                "partial_saturated": Out(1),
                "result_saturated": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Build the circuit."""
        m = Module()
        units = [AndaUnit(**self.unit_parameters) for _ in range(self.rows)]
        key = "_".join(["anda_unit", *map(str, self.unit_parameters.values())]).replace("-", "_")
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
