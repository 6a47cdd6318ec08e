# amaranth: UnusedElaboratable=no
"""Proofs, for every input: the carry-save tree is a sum, and leading zeros are counted."""

import pytest
from amaranth.hdl import Assert, Assume, Module, Signal, Value, signed
from anda_codesign.formats import InputError
from anda_codesign.rtl.arithmetic.adder_trees import carry_save_tree, check_tree
from anda_codesign.rtl.arithmetic.ieee754 import leading_zeros

from ..formal import Claim, RefutedError, prove


class CarrySaveIsASum(Claim):
    """The tree sums signed terms and single bits."""

    def __init__(self, *, count: int, bits: int, off_by: int = 0) -> None:
        self.count, self.bits, self.off_by = count, bits, off_by
        super().__init__({"terms": count * bits, "ones": count})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        terms = [self.terms.word_select(index, self.bits).as_signed() for index in range(self.count)]
        ones = list(self.ones)
        expected: Value | int = self.off_by
        for value in [*terms, *ones]:
            expected = expected + value
        tree = Signal(signed(16))
        total = Signal(signed(16))
        m.d.comb += [tree.eq(carry_save_tree(m, terms, self.bits, ones)), total.eq(expected), Assert(tree == total)]
        return m


class ZerosAreCounted(Claim):
    """Below the counted zeros stands the highest one."""

    def __init__(self, *, bits: int) -> None:
        self.bits = bits
        super().__init__({"value": bits})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        zeros = Signal(8)
        m.d.comb += [
            zeros.eq(leading_zeros(m, self.value, "value")),
            Assume(self.value.any()),
            Assert((self.value << zeros)[self.bits - 1]),
            Assert((self.value << zeros)[self.bits :] == 0),
        ]
        return m


@pytest.mark.parametrize(("count", "bits"), [(1, 4), (2, 4), (3, 4), (4, 4), (5, 3), (7, 2), (3, 6)])
def test_the_carry_save_tree_is_a_sum(count: int, bits: int) -> None:
    prove(CarrySaveIsASum(count=count, bits=bits))


def test_a_false_sum_is_refuted() -> None:
    with pytest.raises(RefutedError):
        prove(CarrySaveIsASum(count=2, bits=3, off_by=1))


@pytest.mark.parametrize("bits", [1, 2, 3, 12, 26, 28, 33, 96])
def test_leading_zeros_are_counted(bits: int) -> None:
    prove(ZerosAreCounted(bits=bits))


def test_unknown_trees() -> None:
    with pytest.raises(InputError) as error:
        check_tree("linear")
    assert str(error.value).startswith("tree: 'linear'")
