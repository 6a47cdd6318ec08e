"""Sums of many small numbers: a tree of adders, or of carry-save compressors with one adder behind it."""

from collections.abc import Sequence
from typing import Literal, get_args

from amaranth.hdl import Cat, Const, Module, Signal, Value, signed

from ...formats.checks import check_choice

Tree = Literal["ripple", "carry-save"]


def check_tree(tree: Tree) -> Tree:
    """Return `tree`, checked."""
    return check_choice("tree", tree, get_args(Tree))


def adder_tree(terms: Sequence[Value], term_bits: int, carries: Sequence[Value]) -> Value:
    """Balanced tree that sums signed `terms` of `term_bits` bits and as many single-bit `carries`.

    A tree over n terms has n - 1 adders, and each takes one of the carries as its carry-in; only the n-th carry
    costs anything: it rides on the result, for the adder that follows. Any n works; an odd one out moves up a level.
    """
    free = list(carries)
    level = [(term, 1) for term in terms]
    while len(level) > 1:
        above = [
            _add(left, right, free.pop(), term_bits) for left, right in zip(level[0::2], level[1::2], strict=False)
        ]
        level = above + level[len(above) * 2 :]
    return level[0][0] + free.pop()


def partial_sums(
    m: Module, terms: Sequence[Value], term_bits: int, carries: Sequence[Value], tree: Tree, parts: int
) -> tuple[list[Value], list[Value]]:
    """The sums of `parts` equal shares of the terms, and the carries that they leave over, one each.

    `tree_sum` of both is that of the terms and their carries: a register may stand between.
    """
    share = -(-len(terms) // parts)
    starts = range(0, len(terms), share)
    sums = [
        tree_sum(m, terms[at : at + share], term_bits, [*carries[at : at + share][:-1], Const(0, 1)], tree)
        for at in starts
    ]
    equal = [Signal(signed(max(map(len, sums))), name=f"part_{index}") for index in range(len(sums))]
    m.d.comb += [part.eq(total) for part, total in zip(equal, sums, strict=True)]
    return list(equal), [carries[at : at + share][-1] for at in starts]


def tree_sum(m: Module, terms: Sequence[Value], term_bits: int, carries: Sequence[Value], tree: Tree) -> Value:
    """The sum of signed `terms` of `term_bits` bits and a carry for each, by that kind of tree."""
    if tree == "carry-save":
        return carry_save_tree(m, terms, term_bits, carries)
    return adder_tree(terms, term_bits, carries)


def _add(left: tuple[Value, int], right: tuple[Value, int], carry: Value, term_bits: int) -> tuple[Value, int]:
    """Sum of two subtrees, each with its number of terms; k terms and at most k - 1 carries never overflow."""
    count = left[1] + right[1]
    total = left[0] + right[0] + carry
    return total[: term_bits + (count - 1).bit_length()].as_signed(), count


def carry_save_tree(m: Module, terms: Sequence[Value], term_bits: int, addends: Sequence[Value]) -> Value:
    """The sum of signed `terms` of `term_bits` bits and unsigned `addends`, which sum to no more than there are terms.

    Dadda's scheme: full adders reduce the bits of each place to two, as late as possible; one adder follows. A sign bit
    counts as its complement, ``-b = (1 - b) - 1``, and what that adds is taken away once, by a constant.
    """
    width = term_bits + (2 * len(terms) - 1).bit_length()
    columns: list[list[Value]] = [[] for _ in range(width)]
    for term in terms:
        bits = term.as_unsigned()
        for place in range(term_bits):
            columns[place].append(~bits[place] if place == term_bits - 1 else bits[place])
    for addend in addends:
        for place, bit in enumerate(addend):
            columns[place].append(bit)
    offset = -len(terms) << term_bits - 1
    for place in range(width):
        if offset >> place & 1:
            columns[place].append(Const(1, 1))
    low, high = two_rows(m, columns)
    return (low + high)[:width].as_signed()


def two_rows(m: Module, columns: list[list[Value]]) -> tuple[Value, Value]:
    """Two numbers whose sum is that of the bits of all columns, carries beyond the last one dropped."""
    heights = [2]
    while heights[-1] < max(map(len, columns)):
        heights.append(heights[-1] * 3 // 2)
    for height in reversed(heights[:-1]):
        for place in range(len(columns)):
            _reduce(m, columns, place, height)
    rows = [Cat(column[row] if row < len(column) else Const(0, 1) for column in columns) for row in range(2)]
    return rows[0], rows[1]


def _reduce(m: Module, columns: list[list[Value]], place: int, height: int) -> None:
    """Compress a column to `height` bits, the oldest first; the carries go to the next one."""
    column = columns[place]
    while len(column) > height:
        count = 3 if len(column) > height + 1 else 2
        taken, column[:] = column[:count], column[count:]
        total = Signal(name=f"sum_{place}")
        carry = Signal(name=f"carry_{place}")
        half = taken[0] ^ taken[1]
        if count == 3:
            m.d.comb += [total.eq(half ^ taken[2]), carry.eq((taken[0] & taken[1]) | (half & taken[2]))]
        else:
            m.d.comb += [total.eq(half), carry.eq(taken[0] & taken[1])]
        column.append(total)
        if place + 1 < len(columns):
            columns[place + 1].append(carry)
