"""IEEE 754 arithmetic of the accumulation path: combinational circuits, round to nearest even.

A group's integer dot product goes through `IntToFp16`, `Fp16Multiplier` and `Fp32Adder`; the accumulator of a
finished output goes through `Fp32ToFp16`.

FP16 numbers are finite. FP32 numbers are zero or normal: every product of two FP16 numbers is a multiple of 2**-48, so is every sum of
such products, rounded or not, and therefore nothing but zero lies below 2**-48, far above the least normal FP32 number,
2**-126. Products stay below 2**32, so that it would take 2**95 of them to overflow. The circuits take a zero exponent
field for the value zero, and have no path for infinities. A sum that is exactly zero is +0.
"""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ...formats.checks import check_integer
from ..interfaces import FP16, PARTIAL_EXPONENT

FP32 = data.StructLayout({"fraction": 23, "exponent": 8, "sign": 1})
"""An FP32 number, as IEEE 754 lays it out."""

LARGEST_HALF = 0x7BFF


def normalize(m: Module, value: Value, name: str) -> tuple[Value, Value]:
    """Shift `value` left until its top bit is set; return that and the distance. Zero stays zero."""
    distance: list[Value] = []
    for stage in reversed(range((len(value) - 1).bit_length())):
        step = 1 << stage
        empty = Signal(name=f"{name}_empty_{step}")
        shifted = Signal(len(value), name=f"{name}_left_{step}")
        m.d.comb += [empty.eq(~value[-step:].any()), shifted.eq(Mux(empty, value << step, value))]
        distance.insert(0, empty)
        value = shifted
    return value, Cat(distance)


def shift_right_sticky(m: Module, value: Value, distance: Value, name: str, place: int = 0) -> Value:
    """Shift `value` right by ``distance * 2**place``; the lowest bit of the result also stands for every bit that left."""
    for stage, selected in enumerate(distance, place):
        step = 1 << stage
        shifted = Signal(len(value), name=f"{name}_right_{step}")
        lost = value[: step + 1].any()
        m.d.comb += shifted.eq(Mux(selected, Cat(lost, value[step + 1 :]), value))
        value = shifted
    return value


def significand(value: Any) -> Value:
    """Significand of an FP16 or FP32 number with its hidden bit."""
    return Cat(value.fraction, value.exponent.any())


def round_to_fp16(m: Module, exponent: Value, normalized: Value, half: Any, saturated: Value) -> None:
    """Drive `half`, except for its sign, with a normalized significand rounded to nearest even.

    `exponent` is the biased exponent that a half of this magnitude has; below 1 the half is subnormal, above 30 it
    saturates to 65504 and `saturated` is set. The significand has at least 13 bits.
    """
    field, distance = subnormal_distance(m, exponent, normalized)
    shifted = shift_right_sticky(m, normalized, distance, "subnormal")
    magnitude, overflow = round_magnitude(m, field, shifted)
    m.d.comb += [Cat(half.fraction, half.exponent).eq(magnitude), saturated.eq(overflow)]


def subnormal_distance(m: Module, exponent: Value, normalized: Value) -> tuple[Value, Value]:
    """FP16 exponent field minus 1, and the right shift of the significand in bits: 0 for normal numbers."""
    subnormal = Signal()
    offset = Signal(signed(len(exponent) + 1))
    m.d.comb += [offset.eq(exponent - 1), subnormal.eq(offset < 0)]
    field = Mux(subnormal | ~normalized[-1], 0, offset)
    return field, Mux(subnormal, -offset, 0)[: len(offset) - 1]


def round_magnitude(m: Module, field: Value, shifted: Value) -> tuple[Value, Value]:
    """Exponent and fraction of an FP16 number, rounded to nearest even, and whether it overflowed to the largest one."""
    rounded = Signal(len(field) + 9)
    overflow = Signal()
    kept, guard, rest = shifted[-11:], shifted[-12], shifted[:-12].any()
    m.d.comb += [
        # the hidden bit in `kept` adds the one that `field` lacks, and a carry out of the fraction moves to the next
        # exponent
        rounded.eq((field << 10) + kept + (guard & (rest | kept[0]))),
        overflow.eq(rounded > LARGEST_HALF),
    ]
    return Mux(overflow, LARGEST_HALF, rounded)[:15], overflow


class IntToFp16(wiring.Component):
    """Converts a group's dot product to a half: ``value * 2**(exponent - 14)``, round to nearest even.

    Parameters
    ----------
    bits : `int`
        Bits of the dot product, 2 to 64.

    Members
    -------
    value : `In(signed(bits))`
        The dot product.
    exponent : `In(signed(6))`
        Shared exponent less M, -15 to 29.
    half : `Out(FP16)`
        The converted value; zero is +0.
    saturated : `Out(1)`
        The value is 65520 or more in magnitude; `half` is +-65504.
    """

    value: Signal
    exponent: Signal
    half: Any
    saturated: Signal

    def __init__(self, *, bits: int = 26) -> None:
        self.bits = check_integer("bits", bits, 2, 64)
        super().__init__(
            {"value": In(signed(bits)), "exponent": In(PARTIAL_EXPONENT), "half": Out(FP16), "saturated": Out(1)}
        )

    def elaborate(self, platform: object) -> Module:
        """Take the magnitude, normalise, round."""
        m = Module()
        magnitude = Signal(self.bits)
        m.d.comb += magnitude.eq(Mux(self.value < 0, -self.value, self.value))
        normalized, zeros = normalize(m, magnitude, "magnitude")
        padded = Cat(Const(0, max(0, 13 - self.bits)), normalized)
        exponent = Signal(signed(8))
        m.d.comb += [exponent.eq(self.exponent + self.bits - zeros), self.half.sign.eq(self.value < 0)]
        round_to_fp16(m, exponent, padded, self.half, self.saturated)
        return m


class Fp16Multiplier(wiring.Component):
    """Multiplies two FP16 numbers. The product is exact: 11 by 11 bits fit the 24 of an FP32 number.

    Members
    -------
    left, right : `In(FP16)`
        Finite factors, subnormals included.
    product : `Out(FP32)`
        The product, zero or normal.
    """

    left: Any
    right: Any
    product: Any

    def __init__(self) -> None:
        super().__init__({"left": In(FP16), "right": In(FP16), "product": Out(FP32)})

    def elaborate(self, platform: object) -> Module:
        """Multiply the significands, normalise, add the exponents."""
        m = Module()
        wide = Signal(22)
        m.d.comb += wide.eq(significand(self.left) * significand(self.right))
        normalized, zeros = normalize(m, wide, "product")
        exponents = [factor.exponent + ~factor.exponent.any() for factor in (self.left, self.right)]
        m.d.comb += [
            self.product.sign.eq(self.left.sign ^ self.right.sign),
            self.product.fraction.eq(normalized[:21] << 2),
            # a product of 2**21 or more units of 2**-50 has its top bit at weight 2**-29, exponent field 98
            self.product.exponent.eq(Mux(normalized[-1], exponents[0] + exponents[1] + 98 - zeros, 0)),
        ]
        return m


class Fp32Adder(wiring.Component):
    """Adds two singles, round to nearest even.

    Members
    -------
    left, right : `In(FP32)`
        Summands, zero or normal.
    sum : `Out(FP32)`
        The rounded sum, zero or normal; an exact zero is +0.
    """

    left: Any
    right: Any
    sum: Any

    def __init__(self) -> None:
        super().__init__({"left": In(FP32), "right": In(FP32), "sum": Out(FP32)})

    def elaborate(self, platform: object) -> Module:
        """Order by magnitude, align, add, normalise, round."""
        m = Module()
        large: Any = Signal(FP32)
        small: Any = Signal(FP32)
        left_magnitude = Cat(self.left.fraction, self.left.exponent)
        right_magnitude = Cat(self.right.fraction, self.right.exponent)
        with m.If(left_magnitude >= right_magnitude):
            m.d.comb += [large.eq(self.left), small.eq(self.right)]
        with m.Else():
            m.d.comb += [large.eq(self.right), small.eq(self.left)]

        # three more bits, guard, round and sticky, make the rounded result exact
        distance = Signal(8)
        m.d.comb += distance.eq(large.exponent - small.exponent)
        aligned = shift_right_sticky(m, significand(small) << 3, distance, "small")
        total = Signal(28)
        wide = significand(large) << 3
        m.d.comb += total.eq(Mux(large.sign ^ small.sign, wide - aligned, wide + aligned))

        normalized, zeros = normalize(m, total, "total")
        kept, guard, rest = normalized[-24:], normalized[3], normalized[:3].any()
        rounded = Signal(31)
        m.d.comb += rounded.eq(((large.exponent - zeros) << 23) + kept + (guard & (rest | kept[0])))
        with m.If(total.any()):
            m.d.comb += [Cat(self.sum.fraction, self.sum.exponent).eq(rounded), self.sum.sign.eq(large.sign)]
        return m


class Fp32ToFp16(wiring.Component):
    """Converts a single to a half, round to nearest even.

    Members
    -------
    single : `In(FP32)`
        Zero or normal.
    half : `Out(FP16)`
        The converted value; a negative single that rounds to zero gives -0.
    saturated : `Out(1)`
        The single is 65520 or more in magnitude; `half` is +-65504.
    """

    single: Any
    half: Any
    saturated: Signal

    def __init__(self) -> None:
        super().__init__({"single": In(FP32), "half": Out(FP16), "saturated": Out(1)})

    def elaborate(self, platform: object) -> Module:
        """Adjust the exponent and round the significand."""
        m = Module()
        exponent = Signal(signed(9))
        m.d.comb += [exponent.eq(self.single.exponent - (127 - 15)), self.half.sign.eq(self.single.sign)]
        round_to_fp16(m, exponent, significand(self.single), self.half, self.saturated)
        return m
