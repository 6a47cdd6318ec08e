# amaranth: UnusedElaboratable=no
"""Proofs about the accumulator's arithmetic, for every input, by the SAT solver in Yosys."""

from typing import Any

import pytest
from amaranth.hdl import Assert, Assume, Cat, Module, Mux, Signal, Value, signed
from anda_codesign.rtl.arithmetic.fp import FP32, Fp16Multiplier, Fp32Adder
from anda_codesign.rtl.interfaces import FP16

from ..formal import Claim, RefutedError, prove


def on_grid(single: Any) -> Value:
    """+-0, or a normal single that is a multiple of 2**-48: what products of halves and their sums are."""
    below = 102 - single.exponent  # bits of the fraction that weigh less
    fine = Mux(below > 0, single.fraction & ((1 << below[:5]) - 1), 0)
    normal = (single.exponent >= 79) & (single.exponent < 255) & (fine == 0)
    return normal | (Cat(single.fraction, single.exponent) == 0)


class SumIsOnGrid(Claim):
    """The sum of multiples of 2**-48 is one, and never subnormal; a carry out of the exponent does not occur."""

    def __init__(self) -> None:
        super().__init__({"left": FP32, "right": FP32})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.adder = adder = Fp32Adder()
        m.d.comb += [adder.left.eq(self.left), adder.right.eq(self.right)]
        for summand in (self.left, self.right):
            m.d.comb += Assume(on_grid(summand) & (summand.exponent < 254))
        m.d.comb += Assert(on_grid(adder.sum))
        return m


class ProductIsOnGrid(Claim):
    """The product of finite halves is a multiple of 2**-48, never subnormal, and less than 2**32."""

    def __init__(self) -> None:
        super().__init__({"left": FP16, "right": FP16})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.multiplier = multiplier = Fp16Multiplier()
        m.d.comb += [
            multiplier.left.eq(self.left),
            multiplier.right.eq(self.right),
            Assume((self.left.exponent < 31) & (self.right.exponent < 31)),
            Assert(on_grid(multiplier.product) & (multiplier.product.exponent < 127 + 32)),
        ]
        return m


class SumIsRounded(Claim):
    """The sum of singles whose exponents are `distance` apart is the exact sum, rounded to nearest even.

    The reference has no guard, round and sticky bits: it adds in as many bits as the exact sum takes, looks for the
    leading one, and compares the remainder with one half. From a distance of 26 on the sum is the larger summand.
    """

    def __init__(self, *, distance: int, subtract: bool) -> None:
        self.distance, self.subtract = distance, subtract
        super().__init__({"left": FP32, "right": FP32})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.adder = adder = Fp32Adder()
        m.d.comb += [adder.left.eq(self.left), adder.right.eq(self.right)]
        apart = self.left.exponent - self.right.exponent
        zero = ~Cat(self.right.fraction, self.right.exponent).any() & (self.distance == 26)
        m.d.comb += [
            Assume(((self.right.exponent > 24) | zero) & (self.left.exponent < 254)),
            Assume((apart >= 26) if self.distance == 26 else (apart == self.distance)),
            Assume((self.left.sign ^ self.right.sign) == self.subtract),
        ]
        if self.distance == 26:
            m.d.comb += Assert(Value.cast(adder.sum) == Value.cast(self.left))
            return m
        fixed = [Signal(51, name=f"fixed_{side}") for side in ("left", "right")]
        exact = Signal(signed(52))
        magnitude = Signal(51)
        m.d.comb += [
            fixed[0].eq(Cat(self.left.fraction, 1) << self.distance),
            fixed[1].eq(Cat(self.right.fraction, 1)),
            exact.eq(fixed[0] - fixed[1] if self.subtract else fixed[0] + fixed[1]),
            magnitude.eq(Mux(exact < 0, -exact, exact)),
        ]
        sign = self.left.sign ^ (exact < 0)
        with m.If(magnitude == 0):
            m.d.comb += Assert(Value.cast(adder.sum) == 0)
        for leading in range(24 + self.distance + 1):
            with m.If((magnitude >> leading) == 1):
                self._assert_rounded(m, adder, sign, magnitude, leading)
        return m

    def _assert_rounded(self, m: Module, adder: Fp32Adder, sign: Value, magnitude: Signal, leading: int) -> None:
        """The sum is the magnitude, whose leading one is given, rounded to 24 bits."""
        dropped = max(0, leading - 23)
        kept, remainder, half = magnitude >> dropped, magnitude[:dropped], 2**dropped >> 1
        up = ((remainder > half) | ((remainder == half) & kept[0])) if dropped else 0
        significand = Signal(25, name=f"significand_{leading}")
        carried = significand[24]
        m.d.comb += [
            significand.eq((kept << max(0, 23 - leading)) + up),
            Assert(adder.sum.fraction == Mux(carried, 0, significand[:23])),
            Assert(adder.sum.exponent == self.right.exponent + leading - 23 + carried),
            Assert(adder.sum.sign == sign),
        ]


class SumsCommute(Claim):
    """The order of the summands does not matter."""

    def __init__(self) -> None:
        super().__init__({"left": FP32, "right": FP32})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.adder = adder = Fp32Adder()
        m.submodules.swapped = swapped = Fp32Adder()
        m.d.comb += [
            adder.left.eq(self.left),
            adder.right.eq(self.right),
            swapped.left.eq(self.right),
            swapped.right.eq(self.left),
            Assert(Value.cast(adder.sum) == Value.cast(swapped.sum)),
        ]
        return m


def test_no_sum_and_no_product_is_subnormal() -> None:
    """An accumulator that starts at zero and takes sums of products never holds a subnormal single."""
    prove(SumIsOnGrid())
    prove(ProductIsOnGrid())


BORDERS = (0, 1, 2, 3, 23, 24, 25, 26)


@pytest.mark.parametrize(
    "distance", [each if each in BORDERS else pytest.param(each, marks=pytest.mark.slow) for each in range(27)]
)
@pytest.mark.parametrize("subtract", [False, True])
def test_a_sum_is_the_exact_sum_rounded(distance: int, subtract: bool) -> None:
    prove(SumIsRounded(distance=distance, subtract=subtract))


def test_sums_commute() -> None:
    prove(SumsCommute())


@pytest.mark.parametrize(
    ("claim", "cell", "other"),
    [(SumIsRounded(distance=2, subtract=True), "$or", "$and"), (SumIsOnGrid(), "$ge", "$lt")],
    ids=["rounding", "grid"],
)
def test_a_broken_adder_is_refuted(claim: Claim, cell: str, other: str) -> None:
    """With the first such operator of the circuit replaced, the proof fails."""

    def mutate(netlist: str) -> str:
        before, start, circuit = netlist.partition("module \\claim.adder\n")
        return before + start + circuit.replace(f"cell {cell} ", f"cell {other} ", 1)

    with pytest.raises(RefutedError):
        prove(claim, mutate=mutate)
