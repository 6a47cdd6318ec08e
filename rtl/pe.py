"""The bit-serial processing element: one group's integer dot product, a bit-plane per cycle."""

from collections.abc import Sequence
from typing import Any

from amaranth.hdl import Module, Mux, Signal, Value, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .interfaces import (
    MAX_LANES,
    MAX_MANTISSA_BITS,
    Stream,
    check_range,
    partial_sum_bits,
    partial_sum_layout,
    plane_layout,
)


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


def _add(left: tuple[Value, int], right: tuple[Value, int], carry: Value, term_bits: int) -> tuple[Value, int]:
    """Sum of two subtrees, each with its number of terms; k terms and at most k - 1 carries never overflow."""
    count = left[1] + right[1]
    total = left[0] + right[0] + carry
    return total[: term_bits + (count - 1).bit_length()].as_signed(), count


class DotProduct(wiring.Component):
    """Datapath of a bit-serial processing element: signs, signed adder tree, accumulator (Anda paper, section IV-B).

    First element, then bit-plane: in each cycle all lanes of one mantissa plane are summed with their signed weights,
    and the accumulator takes ``2 * accumulator + sum``. After M planes it holds
    ``sum over i of (-1)**sign[i] * mantissa[i] * weight[i]``, exactly.

    A negative element adds its weight's complement and a carry; a 64-lane tree has room for all 64 carries
    (`adder_tree`), so signs cost one XOR per weight bit and no adder. The weights are not stored: they stand at the
    port while the planes pass.

    Parameters
    ----------
    lanes, weight_bits, max_mantissa_bits, midpoint
        As of `AndaPE`.

    Members
    -------
    load : `In(1)`
        `plane` is a group's sign plane: keep it, from the next cycle on.
    step, first : `In(1)`
        `plane` is a mantissa plane: accumulate it; `first` starts from zero.
    add_half : `In(1)`
        Accumulate, as one more plane, which mantissas were not zero. Only with `midpoint`.
    plane : `In(lanes)`
    weights : `In(ArrayLayout(signed(weight_bits), lanes))`
    partial_sum : `Out(signed(partial_sum_bits(...)))`
        The accumulator, from the cycle after the last plane until the next first plane has passed.
    """

    load: Signal
    step: Signal
    first: Signal
    add_half: Signal
    plane: Signal
    weights: Any
    partial_sum: Signal

    def __init__(self, *, lanes: int, weight_bits: int, max_mantissa_bits: int, midpoint: bool = False) -> None:
        self.lanes = lanes
        self.weight_bits = weight_bits
        self.midpoint = midpoint
        super().__init__(
            {
                "load": In(1),
                "step": In(1),
                "first": In(1),
                "add_half": In(1),
                "plane": In(lanes),
                "weights": In(data.ArrayLayout(signed(weight_bits), lanes)),
                "partial_sum": Out(signed(partial_sum_bits(lanes, weight_bits, max_mantissa_bits + midpoint))),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Build the circuit."""
        m = Module()
        signs = Signal(self.lanes)
        plane: Value = self.plane
        accumulate: Value = self.step
        if self.midpoint:
            nonzero = Signal(self.lanes)
            with m.If(self.step):
                m.d.sync += nonzero.eq(Mux(self.first, 0, nonzero) | self.plane)
            plane = Mux(self.add_half, nonzero, self.plane)
            accumulate = self.step | self.add_half
        with m.If(self.load):
            m.d.sync += signs.eq(self.plane)
        with m.If(accumulate):
            doubled = Mux(self.first & self.step, 0, self.partial_sum << 1)
            m.d.sync += self.partial_sum.eq(doubled + self._plane_sum(plane, signs))
        return m

    def _plane_sum(self, plane: Value, signs: Value) -> Value:
        """Sum over the lanes of the plane's bit times the signed weight."""
        weights = Value.cast(self.weights)
        negated = [
            weights.word_select(lane, self.weight_bits) ^ signs[lane].replicate(self.weight_bits)
            for lane in range(self.lanes)
        ]
        terms = [(weight & plane[lane].replicate(self.weight_bits)).as_signed() for lane, weight in enumerate(negated)]
        carries = plane & signs
        return adder_tree(terms, self.weight_bits, [carries[lane] for lane in range(self.lanes)])


class AndaPE(wiring.Component):
    """Bit-serial dot product of a group of Anda activations with integer weights (Anda paper, section IV-B).

    A `DotProduct` behind streams. M may differ from group to group.

    Timing: the sign plane and each mantissa plane take one cycle, so a group takes M + 1 cycles
    (`formats.latency.pe_cycles_per_group`) and groups follow each other without a gap. The result is valid in the cycle
    after the last plane (`formats.latency.PE_RESULT_CYCLES`). It is held until it is taken; the next group's sign plane
    waits for that, so a consumer that is always ready costs nothing.

    The element stores no weights. It reads them in every mantissa plane and takes them with the last one, so whoever
    sends them holds them for the length of a group, as the stream rule says; the array's double buffer does.

    With `midpoint` a mantissa m > 0 counts as m + 1/2, as in ``AndaFormat(reconstruct="midpoint")``: the result is
    ``2 * P + sum over m[i] > 0 of (-1)**sign[i] * weight[i]``, at one power of two less. The added sum goes through the
    adder tree in the cycle in which the next group's sign plane is loaded, so a group still takes M + 1 cycles; weights
    are taken, and the result is valid, `formats.latency.MIDPOINT_CYCLES` later.

    Parameters
    ----------
    lanes : `int`
        Elements per group, 1 to 128.
    weight_bits : `int`
        Bits of a signed weight, 2 to 8. INT4 codes of -8 to 7 need 4; affine codes of 0 to 15 need 5.
    max_mantissa_bits : `int`
        Largest M, 1 to 16. Sizes the accumulator.
    midpoint : `bool`
        Whether mantissas stand for the middle of what truncation maps to them.

    Members
    -------
    activation : `In(stream.Signature(plane_layout(lanes)))`
        Planes of the groups: sign, then mantissa from the most significant bit down; `last` closes the group.
    weights : `In(stream.Signature(ArrayLayout(signed(weight_bits), lanes)))`
        One weight per lane, once per group.
    result : `Out(stream.Signature(partial_sum_layout(...)))`
        Dot product and the exponent of its least significant bit.
    """

    activation: Stream
    weights: Stream
    result: Stream

    def __init__(
        self,
        *,
        lanes: int = 64,
        weight_bits: int = 4,
        max_mantissa_bits: int = MAX_MANTISSA_BITS,
        midpoint: bool = False,
    ) -> None:
        self.midpoint = bool(midpoint)
        self.lanes = check_range("lanes", lanes, 1, MAX_LANES)
        self.weight_bits = check_range("weight_bits", weight_bits, 2, 8)
        self.max_mantissa_bits = check_range("max_mantissa_bits", max_mantissa_bits, 1, MAX_MANTISSA_BITS)
        super().__init__(
            {
                "activation": In(stream.Signature(plane_layout(lanes))),
                "weights": In(stream.Signature(data.ArrayLayout(signed(weight_bits), lanes))),
                "result": Out(
                    stream.Signature(partial_sum_layout(lanes, weight_bits, max_mantissa_bits + self.midpoint))
                ),
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
        )
        exponent = Signal.like(self.result.payload.exponent)
        loaded, done, group = Signal(), Signal(), Signal()
        free = ~done | self.result.ready
        activation = self.activation.payload
        taken = self.activation.valid & self.activation.ready
        m.d.comb += [
            self.activation.ready.eq(
                Mux(loaded, self.weights.valid & free, 1) if self.midpoint else Mux(loaded, self.weights.valid, free)
            ),
            dot_product.load.eq(taken & ~loaded),
            dot_product.step.eq(taken & loaded),
            dot_product.plane.eq(activation.plane),
            dot_product.weights.eq(self.weights.payload),
            group.eq(dot_product.step & activation.last),
            self.result.valid.eq(done),
            self.result.payload.partial_sum.eq(dot_product.partial_sum),
        ]
        with m.If(self.result.ready):
            m.d.sync += done.eq(0)
        with m.If(dot_product.load):
            m.d.sync += [loaded.eq(1), dot_product.first.eq(1), exponent.eq(activation.exponent)]
        with m.If(dot_product.step):
            m.d.sync += [loaded.eq(~activation.last), dot_product.first.eq(0), exponent.eq(exponent - 1)]
        if self.midpoint:
            m.d.sync += dot_product.add_half.eq(group)
            m.d.comb += self.weights.ready.eq(dot_product.add_half)
            with m.If(dot_product.add_half):
                # the next group's exponent may be coming
                m.d.sync += [done.eq(1), self.result.payload.exponent.eq(exponent - 1)]
        else:
            m.d.comb += [self.weights.ready.eq(group), self.result.payload.exponent.eq(exponent)]
            with m.If(group):
                m.d.sync += done.eq(1)
        return m
