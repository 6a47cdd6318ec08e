"""IEEE 754 arithmetic with its features as options, so that the cost of each can be measured.

`fp` holds the circuits of the accelerator's accumulation path, where subnormal singles, infinities and NaN cannot
occur. A conventional floating-point unit has to handle them. These circuits do so too; options leave features out.
"""

from dataclasses import dataclass
from typing import Any, get_args

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ...formats.checks import check_choice
from ...formats.options import Rounding
from ...formats.processing_elements.floating import QUIET_NAN, TRUNCATED_BITS
from .fp import FP32, normalize, shift_right_sticky
from .pipeline import PipelineStep, Values, others

INFINITE_FIELD, LARGEST_SINGLE = 255 << 23, (255 << 23) - 1

HALF_BIAS = 25
"""A half is its significand, an integer, times ``2**(exponent - 25)``."""

HALVES_BIAS = 2 * HALF_BIAS


def check_rounding(rounding: Rounding) -> Rounding:
    """Return `rounding`, checked."""
    return check_choice("rounding", rounding, get_args(Rounding))


def leading_zeros(m: Module, value: Value, name: str) -> Value:
    """Zeros above the highest set bit of a value that is not zero, by halves."""
    if len(value) == 1:
        return Const(0, 0)
    half = 1 << (len(value) - 1).bit_length() - 1
    high, low = value[-half:], value[:-half]
    empty = Signal(name=f"{name}_empty_{len(value)}")
    m.d.comb += empty.eq(~high.any())
    if half == 1:
        return empty
    lower = Signal(half.bit_length() - 1, name=f"{name}_zeros_{len(value)}")
    below, above = leading_zeros(m, low, f"{name}_low"), leading_zeros(m, high, f"{name}_high")
    m.d.comb += lower.eq(Mux(empty, below, above))
    return Cat(lower, empty)


def effective_parts(single: Any, subnormals: bool) -> tuple[Value, Value]:
    """Exponent and significand of an FP32 number; without `subnormals` these count as zero."""
    normal = single.exponent.any()
    if subnormals:
        return Cat(single.exponent[0] | ~normal, single.exponent[1:]), Cat(single.fraction, normal)
    return single.exponent, Cat(single.fraction & normal.replicate(23), normal)


def pack_magnitude(
    m: Module, total: Value, exponent: Value, rounding: Rounding, subnormals: bool, overflow: bool
) -> Signal:
    """Normalise and round a magnitude to the exponent and fraction of an FP32 number.

    If its top bit is set its biased exponent is ``exponent + 1``, which is at least 1. Without `subnormals` a result
    below 2**-126 is zero. With `overflow` one beyond the largest single becomes an infinity, or when it is truncated
    that single; without, it must not occur.
    """
    zeros = leading_zeros(m, total, "total")
    field, normalized, vanished = normalize_magnitude(m, total, zeros, exponent, subnormals)
    return limit_magnitude(m, round_magnitude(m, field, normalized, rounding), vanished, rounding, overflow)


def normalize_magnitude(
    m: Module, total: Value, zeros: Value, exponent: Value, subnormals: bool
) -> tuple[Value, Value, Value]:
    """Exponent field less one, normalised magnitude, and whether it is zero, of a magnitude and its leading zeros."""
    small = Signal()
    vanished = Signal()
    distance = Signal.like(zeros, name="distance")
    normalized = Signal.like(total, name="normalized")
    m.d.comb += [
        small.eq(zeros > exponent),
        distance.eq(Mux(small, exponent, zeros) if subnormals else zeros),
        vanished.eq(~total.any() if subnormals else small | ~total.any()),
        normalized.eq(total << distance),
    ]
    return (exponent - distance)[: len(exponent)], normalized, vanished


def round_magnitude(m: Module, field: Value, normalized: Value, rounding: Rounding) -> Signal:
    """Exponent and fraction of an FP32 number, rounded, with room for a larger exponent."""
    rounded = Signal(len(field) + 23, name="rounded")
    kept, dropped = normalized[-24:], normalized[:-24]
    up = dropped[-1] & (dropped[:-1].any() | kept[0]) if rounding == "nearest" else 0
    # the hidden bit in `kept` adds the one that `field` lacks; a subnormal has none
    m.d.comb += rounded.eq((field << 23) + kept + up)
    return rounded


def limit_magnitude(m: Module, rounded: Value, vanished: Value, rounding: Rounding, overflow: bool) -> Signal:
    """Exponent and fraction of an FP32 number; 0 if `vanished`. For `overflow` see `pack_magnitude`."""
    result = Signal(31, name="packed")
    m.d.comb += result.eq(Mux(vanished, 0, rounded))
    if overflow:
        with m.If(~vanished & (rounded[23:] >= 255)):
            m.d.comb += result.eq(INFINITE_FIELD if rounding == "nearest" else LARGEST_SINGLE)
    return result


@dataclass(frozen=True)
class Product:
    """An exact product: ``(-1)**sign * significand * 2**(exponent - bias)``, or an infinity or NaN.

    `exponent` is the sum of the factors' biased exponents, where a subnormal counts as 1.
    """

    bias: int
    sign: Value
    exponent: Value
    significand: Value
    zero: Value
    infinite: Value
    nan: Value

    @property
    def values(self) -> list[Value]:
        """Its signals, in the order of the constructor."""
        return [self.sign, self.exponent, self.significand, self.zero, self.infinite, self.nan]

    @property
    def place(self) -> Value:
        """The biased exponent, as of an FP32 number, of the significand's top bit."""
        return self.exponent + (127 - self.bias + len(self.significand) - 1)

    def single(self, m: Module, name: str, normal: bool) -> Any:
        """The product as an FP32 number, which holds every one of them.

        If both factors are `normal` the top bit is one of the two highest, and one multiplexer normalises.
        """
        if normal:
            zeros = ~self.significand[-1]
            normalized = Mux(zeros, self.significand << 1, self.significand)[: len(self.significand)]
        else:
            normalized, zeros = normalize(m, self.significand, name)
        return self.normalized(m, name, normalized, zeros)

    def normalized(self, m: Module, name: str, normalized: Value, zeros: Value) -> Any:
        """The single, of the significand shifted left by its leading `zeros`."""
        result: Any = Signal(FP32, name=f"{name}_single")
        m.d.comb += [
            result.sign.eq(self.sign),
            result.fraction.eq((normalized << 24 - len(self.significand))[:23]),
            result.exponent.eq(Mux(self.zero, 0, self.place - zeros)),
        ]
        with m.If(self.nan):
            m.d.comb += Value.cast(result).eq(QUIET_NAN)
        with m.Elif(self.infinite):
            m.d.comb += Cat(result.fraction, result.exponent).eq(INFINITE_FIELD)
        return result


@dataclass(frozen=True)
class Fp16:
    """A half taken apart: effective exponent, significand with its hidden bit, and what is special about it."""

    sign: Value
    exponent: Value
    significand: Value
    zero: Value
    infinite: Value
    nan: Value

    @classmethod
    def split(cls, half: Any, subnormals: bool, specials: bool) -> "Fp16":
        """The parts of `half`; without `subnormals` they count as zero, without `specials` all halves are finite."""
        normal = half.exponent.any()
        if subnormals:
            significand, zero = Cat(half.fraction, normal), ~Cat(half.fraction, half.exponent).any()
        else:
            significand, zero = Cat(half.fraction & normal.replicate(10), normal), ~normal
        nonfinite = half.exponent.all() if specials else Const(0, 1)
        return cls(
            half.sign,
            Cat(half.exponent[0] | ~normal, half.exponent[1:]),
            significand,
            zero,
            nonfinite & ~half.fraction.any(),
            nonfinite & half.fraction.any(),
        )


def multiply_halves(left: Fp16, right: Fp16) -> Product:
    """The product of two FP16 numbers: 22 bits under the sum of two exponents."""
    infinite = left.infinite | right.infinite
    zero = left.zero | right.zero
    return Product(
        HALVES_BIAS,
        left.sign ^ right.sign,
        left.exponent + right.exponent,
        left.significand * right.significand,
        zero,
        infinite,
        left.nan | right.nan | (infinite & zero),
    )


def multiply_integer(half: Fp16, integer: Value) -> Product:
    """The product of an FP16 number and a signed integer: 11 bits more than the integer has, under its exponent."""
    magnitude = Mux(integer < 0, -integer, integer)[: len(integer)]
    zero = half.zero | ~integer.any()
    return Product(
        HALF_BIAS,
        half.sign ^ (integer < 0),
        half.exponent,
        half.significand * magnitude,
        zero,
        half.infinite,
        half.nan | (half.infinite & ~integer.any()),
    )


@dataclass(frozen=True, kw_only=True)
class Fp32Addition:
    """The options of an FP32 addition, and its steps from ``left`` and ``right`` to ``sum``.

    Parameters
    ----------
    rounding : `str`
        ``"nearest"``: to nearest even; an overflow gives an infinity. ``"truncate"``: no sticky bit and no incrementer.
        The smaller summand is cut at one bit below the larger one's last, and the sum at 24 bits; an overflow gives
        the largest finite single.
    subnormals : `bool`
        If false, a subnormal summand or sum counts as zero of its sign.
    specials : `bool`
        If false, infinities, NaN and overflow must not occur.

    Raises
    ------
    InputError
        The rounding is not one of these two.
    """

    rounding: Rounding = "nearest"
    subnormals: bool = True
    specials: bool = True

    def __post_init__(self) -> None:
        check_rounding(self.rounding)

    @property
    def steps(self) -> list[PipelineStep]:
        """The steps of the addition in order, with their depths."""
        return [
            PipelineStep(7, self._order),
            PipelineStep(5, self._start_alignment),
            PipelineStep(7, self._align),
            PipelineStep(12, self._add),
            PipelineStep(4, self._count),
            PipelineStep(5, self._normalize),
            PipelineStep(6, self._round),
            PipelineStep(7 if self.specials else 4, self._limit),
        ]

    @property
    def _guard_bits(self) -> int:
        """Below the larger summand: guard, round and sticky make a result to nearest exact."""
        return 3 if self.rounding == "nearest" else TRUNCATED_BITS - 24

    def _order(self, m: Module, values: Values) -> Values:
        left, right = values["left"], values["right"]
        swap = left[:31] < right[:31]
        large = Signal(32, name="large")
        small = Signal(32, name="small")
        m.d.comb += [large.eq(Mux(swap, right, left)), small.eq(Mux(swap, left, right))]
        # the sign of a sum that is zero, and what replaces a sum of specials
        ordered = {"large": large, "small": small, "zero_sign": left[31] & right[31]}
        return ordered | (self._specials(left, right) if self.specials else {})

    def _specials(self, left: Value, right: Value) -> dict[str, Value]:
        nonfinite = left[23:31].all(), right[23:31].all()
        nan = nonfinite[0] & left[:23].any() | nonfinite[1] & right[:23].any()
        return {
            "nan": nan | (nonfinite[0] & nonfinite[1] & (left[31] ^ right[31])),
            "infinite": nonfinite[0] | nonfinite[1],
            "infinite_sign": Mux(nonfinite[0], left[31], right[31]),
        }

    def _start_alignment(self, m: Module, values: Values) -> Values:
        large, small = (FP32(values[name]) for name in ("large", "small"))
        large_exponent, large_significand = effective_parts(large, self.subnormals)
        small_exponent, small_significand = effective_parts(small, self.subnormals)
        distance = Signal(8, name="alignment")
        m.d.comb += distance.eq(large_exponent - small_exponent)
        return others(values, "large", "small") | {
            "sign": large.sign,
            "subtract": large.sign ^ small.sign,
            "exponent": large_exponent,
            "wide": large_significand << self._guard_bits,
            "aligned": self._shift(m, small_significand << self._guard_bits, distance[:2], 0),
            "distance": distance[2:],
        }

    def _align(self, m: Module, values: Values) -> Values:
        aligned = self._shift(m, values["aligned"], values["distance"], 2)
        return others(values, "distance") | {"aligned": aligned}

    def _shift(self, m: Module, value: Value, distance: Value, place: int) -> Value:
        """`value` shifted right by ``distance * 2**place``."""
        if self.rounding == "nearest":
            return shift_right_sticky(m, value, distance, "small", place)
        near = value >> Cat(Const(0, place), distance[: 5 - place])
        return Mux(distance[5 - place :].any(), 0, near)[: len(value)] if len(distance) > 5 - place else near

    def _add(self, m: Module, values: Values) -> Values:
        wide, aligned = values["wide"], values["aligned"]
        total = Signal(25 + self._guard_bits, name="total")
        m.d.comb += total.eq(Mux(values["subtract"], wide - aligned, wide + aligned))
        return others(values, "wide", "aligned", "subtract") | {"total": total}

    def _count(self, m: Module, values: Values) -> Values:
        return {**values, "zeros": leading_zeros(m, values["total"], "total")}

    def _normalize(self, m: Module, values: Values) -> Values:
        total = values["total"]
        field, normalized, vanished = normalize_magnitude(
            m, total, values["zeros"], values["exponent"], self.subnormals
        )
        sign = Mux(total.any(), values["sign"], values["zero_sign"])
        kept = others(values, "total", "zeros", "exponent", "zero_sign")
        return kept | {"field": field, "normalized": normalized, "vanished": vanished, "sign": sign}

    def _round(self, m: Module, values: Values) -> Values:
        rounded = round_magnitude(m, values["field"], values["normalized"], self.rounding)
        return others(values, "field", "normalized") | {"rounded": rounded}

    def _limit(self, m: Module, values: Values) -> Values:
        magnitude = limit_magnitude(m, values["rounded"], values["vanished"], self.rounding, self.specials)
        result = Signal(32, name="sum")
        m.d.comb += result.eq(Cat(magnitude, values["sign"]))
        if self.specials:
            with m.If(values["nan"]):
                m.d.comb += result.eq(QUIET_NAN)
            with m.Elif(values["infinite"]):
                m.d.comb += result.eq(Cat(Const(INFINITE_FIELD, 31), values["infinite_sign"]))
        return {"sum": result}


class IeeeAdder(wiring.Component):
    """Adds two singles.

    With all features this is IEEE 754 addition, bit for bit, with one NaN (0x7FC00000). Combinational.

    Parameters
    ----------
    addition : `Fp32Addition`

    Members
    -------
    left, right : `In(FP32)`
    sum : `Out(FP32)`
        An exact zero is +0, but for the sum of two -0.
    """

    left: Any
    right: Any
    sum: Any

    def __init__(self, addition: Fp32Addition) -> None:
        self.addition = addition
        super().__init__({"left": In(FP32), "right": In(FP32), "sum": Out(FP32)})

    def elaborate(self, platform: object) -> Module:
        """Chain the steps of the addition."""
        m = Module()
        values: Values = {"left": Value.cast(self.left), "right": Value.cast(self.right)}
        for step in self.addition.steps:
            values = step.apply(m, values)
        m.d.comb += Value.cast(self.sum).eq(values["sum"])
        return m
