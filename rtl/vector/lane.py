"""A lane of the vector unit: multiply, add or compare, function, round."""

from typing import Any

import numpy as np
from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ...formats.numeric.fp16 import MAX_FP16
from ...formats.vector.command import Addend, Factor, Modifier
from ..arithmetic.fp import FP32, Fp16Multiplier, Fp32Adder, Fp32ToFp16
from ..interfaces import FP16
from .functions import FunctionEvaluator

ONE = 0x3C00
_LOWEST = int(np.float32(-MAX_FP16).view(np.uint32))

OPERANDS = data.StructLayout({"left": FP16, "right": FP16, "factor_scalar": FP16, "addend_scalar": FP32, "active": 1})
"""Operands of the first stage. Lanes that are not `active` give zero and are not reduced."""

SELECT = data.StructLayout({"modifier": 2, "factor": 3, "addend": 2, "subtract": 1})
"""Operation of the first stage, see `formats.vector.command.VectorCommand`."""

COMBINE = data.StructLayout({"larger": 1, "accumulate": 1, "first": 1, "fold": 1})
"""Operation of the second stage.

Members
-------
larger
    Take the larger, not the sum.
accumulate
    Combine the product with the accumulator instead of the addend; `first` starts it anew.
fold
    Combine the accumulator with that of the partner.
"""


class VectorLane(wiring.Component):
    """One lane: ``function(left * factor + addend)``, bit for bit as `formats.vector.command` says.

    Five stages of a cycle each, which move while `advance` is high: product; sum; two of the function; rounding. The
    circuit around it gives each stage its control when its operands are there.

    Members
    -------
    advance : `In(1)`
    operands, select : `In(OPERANDS)`, `In(SELECT)`
        Of the first stage.
    combine : `In(COMBINE)`
        Of the second stage.
    function : `In(2)`
        Of the third and fourth: a `VectorFunction`, read in the third.
    partner : `In(FP32)`
        Another lane's accumulator.
    accumulator : `Out(FP32)`
    value : `Out(FP32)`
        The function's value, after the fourth stage.
    result : `Out(FP16)`
        It rounded, after the fifth stage; zero of a lane that was not active.
    saturated : `Out(1)`
        The rounding in the fifth stage overflows FP16.
    """

    advance: Signal
    operands: Any
    select: Any
    combine: Any
    function: Signal
    partner: Any
    accumulator: Any
    value: Any
    result: Any
    saturated: Signal

    def __init__(self) -> None:
        super().__init__(
            {
                "advance": In(1),
                "operands": In(OPERANDS),
                "select": In(SELECT),
                "combine": In(COMBINE),
                "function": In(2),
                "partner": In(FP32),
                "accumulator": Out(FP32),
                "value": Out(FP32),
                "result": Out(FP16),
                "saturated": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Connect multiplier, adder, function and rounder, with a register behind each."""
        m = Module()
        product: Any = Signal(FP32)
        addend: Any = Signal(FP32)
        total: Any = Signal(FP32)
        active = Signal(4)  # of the second stage's operands and those after
        m.submodules.evaluator = evaluator = FunctionEvaluator()
        m.submodules.rounder = rounder = Fp32ToFp16()
        next_product, next_addend = self._multiply(m)
        combined = self._combine(m, product, addend, active[0])
        m.d.comb += [
            evaluator.advance.eq(self.advance),
            evaluator.function.eq(self.function),
            evaluator.value.eq(total),
            self.value.eq(evaluator.result),
            rounder.single.eq(evaluator.result),
            self.saturated.eq(rounder.saturated & active[3]),
        ]
        with m.If(self.advance):
            m.d.sync += [
                product.eq(next_product),
                addend.eq(next_addend),
                active.eq(Cat(self.operands.active, active)),
                total.eq(combined),
                self.result.eq(Mux(active[3], rounder.half, 0)),
            ]
            with m.If(self.combine.accumulate | self.combine.fold):
                m.d.sync += self.accumulator.eq(combined)
        return m

    def _multiply(self, m: Module) -> tuple[Value, Value]:
        """The first stage: operands chosen, product and addend."""
        m.submodules.multiplier = multiplier = Fp16Multiplier()
        operands, select = self.operands, self.select
        factor: Any = Signal(FP16)
        addend: Any = Signal(FP32)
        negative = operands.left.sign
        cleared = (select.modifier == Modifier.NEGATIVE_PART) & ~negative
        sign = Signal()
        magnitude = Signal(15)
        left = Cat(magnitude, sign)
        m.d.comb += [
            sign.eq(negative | (select.modifier == Modifier.NEGATIVE_MAGNITUDE)),
            magnitude.eq(Mux(cleared, 0, Cat(operands.left.fraction, operands.left.exponent))),
            multiplier.left.eq(left),
        ]
        with m.Switch(select.factor):
            with m.Case(Factor.ONE):
                m.d.comb += factor.eq(ONE)
            with m.Case(Factor.LEFT):
                m.d.comb += factor.eq(left)
            with m.Case(Factor.RIGHT):
                m.d.comb += factor.eq(operands.right)
            with m.Case(Factor.SCALAR):
                m.d.comb += factor.eq(operands.factor_scalar)
        with m.Switch(select.addend):
            with m.Case(Addend.RIGHT):
                m.d.comb += addend.eq(_to_fp32(m, operands.right))
            with m.Case(Addend.SCALAR):
                m.d.comb += addend.eq(operands.addend_scalar)
        m.d.comb += multiplier.right.eq(factor)
        negated = Cat(addend.fraction, addend.exponent, addend.sign ^ select.subtract)
        return Value.cast(multiplier.product), negated

    def _combine(self, m: Module, product: Value, addend: Value, active: Value) -> Value:
        """The second stage: the sum or the larger of two singles."""
        m.submodules.adder = adder = Fp32Adder()
        combine = self.combine
        neutral = Mux(combine.larger, _LOWEST, 0)
        left: Any = Signal(FP32)
        right: Any = Signal(FP32)
        m.d.comb += [left.eq(product), right.eq(addend)]
        with m.If(combine.fold):
            m.d.comb += [left.eq(self.accumulator), right.eq(self.partner)]
        with m.Elif(combine.accumulate):
            m.d.comb += [
                left.eq(Mux(combine.first, neutral, self.accumulator)),
                right.eq(Mux(active, product, neutral)),
            ]
        m.d.comb += [adder.left.eq(left), adder.right.eq(right)]
        larger = Mux(_ordered(left) >= _ordered(right), left, right)
        return Mux(combine.larger, larger, adder.sum)


def _ordered(single: Value) -> Value:
    """An unsigned integer in the order of the values; -0 below +0."""
    pattern = Value.cast(single)
    return pattern ^ Cat(pattern[-1].replicate(31), Const(1, 1))


def _to_fp32(m: Module, half: Any) -> Value:
    """An FP16 number as an FP32 number, by a product with one."""
    m.submodules.extender = extender = Fp16Multiplier()
    m.d.comb += [extender.left.eq(half), Value.cast(extender.right).eq(ONE)]
    return Value.cast(extender.product)
