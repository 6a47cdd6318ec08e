"""Multiplication and conversion in steps, so that registers can stand within them; for addition see `ieee754`."""

from dataclasses import dataclass

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed

from ..interfaces import FP16
from .adder_trees import two_rows
from .fp import round_magnitude, shift_right_sticky, subnormal_distance
from .ieee754 import HALF_BIAS, HALVES_BIAS, Fp16, Product, leading_zeros, multiply_halves, multiply_integer
from .pipeline import PipelineStep, Values, others

_PARTS = ("sign", "exponent", "significand", "zero", "infinite", "nan")
"""Fields of a `Product`, in the order of its constructor."""


@dataclass(frozen=True)
class Fp16Product:
    """The steps of an exact product: from a half ``left`` and a half or integer ``right`` to ``single``.

    Attributes
    ----------
    weight_bits : `int`
        0 for FP16 weights, or the bits of a signed integer.
    subnormals, specials : `bool`
        See `FpDotParameters`.
    """

    weight_bits: int = 0
    subnormals: bool = True
    specials: bool = False

    @property
    def steps(self) -> list[PipelineStep]:
        """The steps in order, with their depths."""
        return [
            PipelineStep(9, self._rows),
            PipelineStep(7, self._sum),
            PipelineStep(4, _count),
            PipelineStep(7, self._normalize),
        ]

    def _rows(self, m: Module, values: Values) -> Values:
        """The parts of the product, of its significand two rows of bits that sum to it."""
        left = Fp16.split(FP16(values["left"]), self.subnormals, self.specials)
        if self.weight_bits:
            integer = values["right"].as_signed()
            product = multiply_integer(left, integer)
            factor: Value = Mux(integer < 0, -integer, integer)[: self.weight_bits]
        else:
            right = Fp16.split(FP16(values["right"]), self.subnormals, self.specials)
            product, factor = multiply_halves(left, right), right.significand
        row_0, row_1 = product_rows(m, left.significand, factor)
        parts = dict(zip(_PARTS, product.values, strict=True))
        del parts["significand"]
        return parts | {"row_0": row_0, "row_1": row_1}

    def _sum(self, m: Module, values: Values) -> Values:
        significand = Signal.like(values["row_0"], name="significand")
        m.d.comb += significand.eq(values["row_0"] + values["row_1"])
        return {**values, "significand": significand}

    def _normalize(self, m: Module, values: Values) -> Values:
        bias = HALF_BIAS if self.weight_bits else HALVES_BIAS
        product = Product(bias, *(values[part] for part in _PARTS))
        single = product.normalized(m, "product", values["significand"] << values["zeros"], values["zeros"])
        return {"single": Value.cast(single)}


def _count(m: Module, values: Values) -> Values:
    """Leading zeros of the significand."""
    return {**values, "zeros": leading_zeros(m, values["significand"], "significand")}


def product_rows(m: Module, left: Value, right: Value) -> tuple[Value, Value]:
    """Two numbers whose sum is the product of two unsigned ones: their partial products in carry-save form."""
    columns: list[list[Value]] = [[] for _ in range(len(left) + len(right))]
    for i, multiplicand in enumerate(left):
        for j, multiplier in enumerate(right):
            columns[i + j].append(multiplicand & multiplier)
    return two_rows(m, columns)


class IntegerConversion:
    """The steps of an `IntToFp16`: from ``value`` and ``exponent`` to ``half`` and ``saturated``."""

    @property
    def steps(self) -> list[PipelineStep]:
        """The steps in order, with their depths."""
        return [
            PipelineStep(5, self._magnitude),
            PipelineStep(4, _count),
            PipelineStep(6, self._normalize),
            *fp16_rounding(),
        ]

    def _magnitude(self, m: Module, values: Values) -> Values:
        value = values["value"].as_signed()
        magnitude = Signal(len(value), name="magnitude")
        m.d.comb += magnitude.eq(Mux(value < 0, -value, value))
        return {"sign": value[-1], "significand": magnitude, "exponent": values["exponent"]}

    def _normalize(self, m: Module, values: Values) -> Values:
        significand, zeros = values["significand"], values["zeros"]
        exponent = Signal(signed(8), name="fp16_exponent")
        m.d.comb += exponent.eq(values["exponent"].as_signed() + len(significand) - zeros)
        normalized = (significand << zeros)[: len(significand)]
        padded = Cat(Const(0, max(0, 13 - len(significand))), normalized)
        return {"sign": values["sign"], "exponent": exponent, "normalized": padded}


def fp16_rounding() -> list[PipelineStep]:
    """From ``sign``, ``exponent`` and ``normalized`` significand to ``half`` and ``saturated``, see `round_to_fp16`."""
    return [PipelineStep(5, _measure), PipelineStep(7, _denormalize), PipelineStep(7, _round)]


def _measure(m: Module, values: Values) -> Values:
    field, distance = subnormal_distance(m, values["exponent"].as_signed(), values["normalized"])
    return {**others(values, "exponent"), "field": field, "distance": distance}


def _denormalize(m: Module, values: Values) -> Values:
    shifted = shift_right_sticky(m, values["normalized"], values["distance"], "subnormal")
    return {**others(values, "normalized", "distance"), "shifted": shifted}


def _round(m: Module, values: Values) -> Values:
    magnitude, saturated = round_magnitude(m, values["field"], values["shifted"])
    return {"half": Cat(magnitude, values["sign"]), "saturated": saturated}
