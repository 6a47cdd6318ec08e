"""IEEE 754 arithmetic with its features as options, so that the cost of each can be measured.

`floating` holds what the accelerator's accumulation path needs, where subnormal singles, infinities and NaN cannot
occur. A conventional floating-point unit has to take them; these circuits do, or leave out what they are told to.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, get_args

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..formats import InputError
from ..formats.elements.floating import QUIET_NAN, TRUNCATED_BITS, Rounding
from .floating import FP32, normalize, shift_right_sticky

INFINITE_FIELD, LARGEST_SINGLE = 255 << 23, (255 << 23) - 1

HALF_BIAS = 25
"""A half is its significand, an integer, times ``2**(exponent - 25)``."""

HALVES_BIAS = 2 * HALF_BIAS


def check_choice(field: str, value: object, choices: Sequence[str]) -> Any:
    """Return `value` if it is one of `choices`; raise `InputError` that names `field` if not."""
    if value not in choices:
        raise InputError(f"{field}: {value!r} is not valid; choose one of {', '.join(choices)}")
    return value


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
    """Exponent and significand of a single; without `subnormals` these count as zero."""
    normal = single.exponent.any()
    if subnormals:
        return Cat(single.exponent[0] | ~normal, single.exponent[1:]), Cat(single.fraction, normal)
    return single.exponent, Cat(single.fraction & normal.replicate(23), normal)


def pack_magnitude(
    m: Module, total: Value, exponent: Value, rounding: Rounding, subnormals: bool, overflow: bool
) -> Signal:
    """Normalise and round a magnitude to the exponent and fraction of a single.

    If its top bit is set its biased exponent is ``exponent + 1``, which is at least 1. Without `subnormals` a result
    below 2**-126 is zero. With `overflow` one beyond the largest single becomes an infinity, or when it is truncated
    that single; without, it must not occur.
    """
    zeros = leading_zeros(m, total, "total")
    small, vanished = Signal(), Signal()
    distance = Signal.like(zeros, name="distance")
    normalized = Signal.like(total, name="normalized")
    rounded = Signal(len(exponent) + 23, name="rounded")
    kept, dropped = normalized[-24:], normalized[:-24]
    up = dropped[-1] & (dropped[:-1].any() | kept[0]) if rounding == "nearest" else 0
    m.d.comb += [
        small.eq(zeros > exponent),
        distance.eq(Mux(small, exponent, zeros) if subnormals else zeros),
        vanished.eq(~total.any() if subnormals else small | ~total.any()),
        normalized.eq(total << distance),
        # the hidden bit in `kept` adds the one that `exponent` lacks; a subnormal has none
        rounded.eq(((exponent - distance) << 23) + kept + up),
    ]
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
        """The biased exponent, as of a single, of the significand's top bit."""
        return self.exponent + (127 - self.bias + len(self.significand) - 1)

    def single(self, m: Module, name: str, normal: bool) -> Any:
        """The product as a single, which holds every one of them.

        If both factors are `normal` the top bit is one of the two highest, and one multiplexer normalises.
        """
        result: Any = Signal(FP32, name=f"{name}_single")
        if normal:
            zeros = ~self.significand[-1]
            normalized = Mux(zeros, self.significand << 1, self.significand)[: len(self.significand)]
        else:
            normalized, zeros = normalize(m, self.significand, name)
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
class Half:
    """A half taken apart: effective exponent, significand with its hidden bit, and what is special about it."""

    sign: Value
    exponent: Value
    significand: Value
    zero: Value
    infinite: Value
    nan: Value

    @classmethod
    def split(cls, half: Any, subnormals: bool, specials: bool) -> "Half":
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


def multiply_halves(left: Half, right: Half) -> Product:
    """The product of two halves: 22 bits under the sum of two exponents."""
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


def multiply_integer(half: Half, integer: Value) -> Product:
    """The product of a half and a signed integer: 11 bits more than the integer has, under the half's exponent."""
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


class IeeeAdder(wiring.Component):
    """Adds two singles.

    With all features this is IEEE 754 addition, bit for bit, with one NaN (0x7FC00000). Combinational.

    Parameters
    ----------
    rounding : `str`
        ``"nearest"``: to nearest even; an overflow gives an infinity. ``"truncate"``: no sticky bit and no incrementer.
        The smaller summand is cut at one bit below the larger one's last, and the sum at 24 bits; an overflow gives
        the largest finite single.
    subnormals : `bool`
        If not, a subnormal summand or sum counts as zero, of its sign.
    specials : `bool`
        If not, infinities, NaN and overflow must not occur.

    Members
    -------
    left, right : `In(FP32)`
    sum : `Out(FP32)`
        An exact zero is +0, but for the sum of two -0.
    """

    left: Any
    right: Any
    sum: Any

    def __init__(self, *, rounding: Rounding = "nearest", subnormals: bool = True, specials: bool = True) -> None:
        self.rounding: Rounding = check_rounding(rounding)
        self.subnormals = bool(subnormals)
        self.specials = bool(specials)
        super().__init__({"left": In(FP32), "right": In(FP32), "sum": Out(FP32)})

    def elaborate(self, platform: object) -> Module:
        """Build the circuit."""
        m = Module()
        large: Any = Signal(FP32)
        small: Any = Signal(FP32)
        swap = Cat(self.left.fraction, self.left.exponent) < Cat(self.right.fraction, self.right.exponent)
        m.d.comb += [
            Value.cast(large).eq(Mux(swap, self.right, self.left)),
            Value.cast(small).eq(Mux(swap, self.left, self.right)),
        ]
        total, exponent = self._add(m, large, small)
        magnitude = pack_magnitude(m, total, exponent, self.rounding, self.subnormals, self.specials)
        m.d.comb += [
            Cat(self.sum.fraction, self.sum.exponent).eq(magnitude),
            self.sum.sign.eq(Mux(total.any(), large.sign, self.left.sign & self.right.sign)),
        ]
        if self.specials:
            self._override_specials(m)
        return m

    def _add(self, m: Module, large: Any, small: Any) -> tuple[Signal, Value]:
        """The larger magnitude plus or minus the smaller, with guard bits below and a carry above; its exponent."""
        large_exponent, large_significand = effective_parts(large, self.subnormals)
        small_exponent, small_significand = effective_parts(small, self.subnormals)
        distance = Signal(8)
        m.d.comb += distance.eq(large_exponent - small_exponent)
        if self.rounding == "nearest":
            guard_bits = 3  # guard, round and sticky make the rounded result exact
            aligned = shift_right_sticky(m, small_significand << 3, distance, "small")
        else:
            guard_bits = TRUNCATED_BITS - 24
            near = small_significand << guard_bits >> distance[:5]
            aligned = Mux(distance[5:].any(), 0, near)
        total = Signal(25 + guard_bits)
        wide = large_significand << guard_bits
        m.d.comb += total.eq(Mux(large.sign ^ small.sign, wide - aligned, wide + aligned))
        return total, large_exponent

    def _override_specials(self, m: Module) -> None:
        left, right = self.left, self.right
        nonfinite = left.exponent.all(), right.exponent.all()
        nan = [is_special & single.fraction.any() for is_special, single in zip(nonfinite, (left, right), strict=True)]
        with m.If(nan[0] | nan[1] | (nonfinite[0] & nonfinite[1] & (left.sign ^ right.sign))):
            m.d.comb += Value.cast(self.sum).eq(QUIET_NAN)
        with m.Elif(nonfinite[0] | nonfinite[1]):
            m.d.comb += [
                Cat(self.sum.fraction, self.sum.exponent).eq(INFINITE_FIELD),
                self.sum.sign.eq(Mux(nonfinite[0], left.sign, right.sign)),
            ]
