"""Proofs, for every input, by the SAT solver in Yosys; the bounds are the parameters of each test."""

from pathlib import Path

import pytest
from amaranth.back import rtlil
from amaranth.hdl import Assert, Assume, Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In
from anda_codesign.rtl.bpc import maximum
from anda_codesign.rtl.build import yosys
from anda_codesign.rtl.floating import FP32, SingleAdder
from anda_codesign.rtl.pe import adder_tree


class Claim(wiring.Component):
    """A combinational circuit with assertions about it; its inputs are free."""

    def __init__(self, inputs: dict[str, object]) -> None:
        super().__init__({name: In(shape) for name, shape in inputs.items()})


def prove(claim: Claim, folder: Path) -> None:
    """Raise `RuntimeError` with a counterexample if an assertion can fail."""
    (folder / "claim.il").write_text(rtlil.convert(claim, name="claim", emit_src=False))
    steps = ["read_rtlil claim.il", "prep -top claim -flatten", "chformal -lower", "opt_clean"]
    yosys([*steps, "sat -verify -prove-asserts -set-assumes claim"], folder)


class TreeIsASum(Claim):
    """The adder tree with complemented weights and carries sums the signed weights."""

    def __init__(self, *, lanes: int, weight_bits: int, off_by: int = 0) -> None:
        self.lanes, self.weight_bits, self.off_by = lanes, weight_bits, off_by
        super().__init__({"weights": lanes * weight_bits, "signs": lanes, "plane": lanes})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        total: Value | int = self.off_by
        terms: list[Value] = []
        for lane in range(self.lanes):
            weight = self.weights.word_select(lane, self.weight_bits)
            chosen = Mux(self.signs[lane], -weight.as_signed(), weight.as_signed())
            total = Mux(self.plane[lane], chosen, 0) + total
            term = (weight ^ self.signs[lane].replicate(self.weight_bits)) & self.plane[lane].replicate(
                self.weight_bits
            )
            terms.append(term.as_signed())
        carries = self.plane & self.signs
        tree = Signal(signed(16))
        expected = Signal(signed(16))
        m.d.comb += [
            tree.eq(adder_tree(terms, self.weight_bits, [carries[lane] for lane in range(self.lanes)])),
            expected.eq(total),
            Assert(tree == expected),
        ]
        return m


class MaximumIsTheLargest(Claim):
    """The maximum is one of the values, and none is larger."""

    def __init__(self, *, count: int) -> None:
        self.count = count
        super().__init__({f"value_{index}": 5 for index in range(count)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        values = [getattr(self, f"value_{index}") for index in range(self.count)]
        largest = Signal(5)
        m.d.comb += [
            largest.eq(maximum(m, values, 5)),
            Assert(Cat(value == largest for value in values).any()),
            Assert(Cat(value <= largest for value in values).all()),
        ]
        return m


class SumIsZeroOrNormal(Claim):
    """Zeros and singles of 2**-48 or more give a sum that is zero or a normal single: no subnormal, no carry lost."""

    def __init__(self) -> None:
        super().__init__({"left": FP32, "right": FP32})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.adder = adder = SingleAdder()
        m.d.comb += [adder.left.eq(self.left), adder.right.eq(self.right)]
        for summand in (self.left, self.right):
            normal = (summand.exponent >= 127 - 48) & (summand.exponent < 254)
            m.d.comb += Assume(normal | ~Cat(summand.fraction, summand.exponent).any())
        total = adder.sum
        m.d.comb += [
            Assert((total.exponent != 0) | ~Value.cast(total).any()),
            Assert(total.exponent != 255),
        ]
        return m


@pytest.mark.parametrize(("lanes", "weight_bits"), [(1, 4), (2, 4), (3, 4), (4, 4), (5, 3), (3, 5)])
def test_the_adder_tree_sums_signed_weights(lanes: int, weight_bits: int, tmp_path: Path) -> None:
    prove(TreeIsASum(lanes=lanes, weight_bits=weight_bits), tmp_path)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 8])
def test_the_maximum_is_the_largest(count: int, tmp_path: Path) -> None:
    prove(MaximumIsTheLargest(count=count), tmp_path)


def test_a_sum_is_zero_or_normal(tmp_path: Path) -> None:
    prove(SumIsZeroOrNormal(), tmp_path)


def test_a_false_claim_is_refuted(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="FAIL"):
        prove(TreeIsASum(lanes=2, weight_bits=3, off_by=1), tmp_path)
