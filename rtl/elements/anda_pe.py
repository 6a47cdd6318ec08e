"""The bit-serial processing element: one group's integer dot product, a bit-plane per cycle."""

from typing import Any, Literal, get_args

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ...formats import InputError
from ...formats.checks import check_choice, check_integer
from ..arithmetic.adder_trees import Tree, adder_tree, carry_save_tree, check_tree, partial_sums, tree_sum
from ..arithmetic.pipeline import Values
from ..interfaces import (
    MAX_LANES,
    MAX_MANTISSA_BITS,
    SKIPPED_BITS,
    Stream,
    partial_sum_bits,
    partial_sum_layout,
    plane_layout,
)
from .sign_counter import counted_plane_layout

Signs = Literal["own", "shared"]

PARTS = 8
"""Shares of the lanes that have a register behind their sums in an element of three stages."""


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
    lanes, weight_bits, max_mantissa_bits, midpoint, tree, operand_isolation, stages, skipping, signs
        As of `AndaPE`.

    Members
    -------
    load : `In(1)`
        `plane` is a group's sign plane: keep it, from the next cycle on.
    step, first : `In(1)`
        `plane` is a mantissa plane: accumulate it; `first` starts from zero.
    add_fp16 : `In(1)`
        Accumulate, as one more plane, which mantissas were not zero. Only with `midpoint`.
    skipped : `In(4)`
        Planes between this one and the one before that were not sent. Only with `skipping`.
    plane : `In(lanes)`
    negatives : `In(range(lanes + 1))`
        Ones of the mantissa plane that belong to negative elements. Only with ``signs="shared"``.
    weights : `In(ArrayLayout(signed(weight_bits), lanes))`
    advance : `In(1)`
        The registers before the accumulator and it move; `load` and `step` come with it alone. High if it is not driven.
    partial_sum : `Out(signed(partial_sum_bits(...)))`
        The accumulator, from `stages` cycles after the last plane until the next first plane has passed.
    """

    load: Signal
    step: Signal
    first: Signal
    add_fp16: Signal
    skipped: Signal
    plane: Signal
    negatives: Signal
    weights: Any
    advance: Signal
    partial_sum: Signal

    def __init__(
        self,
        *,
        lanes: int,
        weight_bits: int,
        max_mantissa_bits: int,
        midpoint: bool = False,
        tree: Tree = "ripple",
        operand_isolation: bool = False,
        stages: int = 1,
        skipping: bool = False,
        signs: Signs = "own",
    ) -> None:
        self.skipping = skipping
        self.signs: Signs = signs
        self.lanes = lanes
        self.weight_bits = weight_bits
        self.midpoint = midpoint
        self.tree: Tree = check_tree(tree)
        self.operand_isolation = bool(operand_isolation)
        self.stages = check_integer("stages", stages, 1, 3)
        super().__init__(
            {
                "load": In(1),
                "step": In(1),
                "first": In(1),
                "add_fp16": In(1),
                "skipped": In(SKIPPED_BITS),
                "plane": In(lanes),
                "negatives": In(lanes.bit_length()),
                "weights": In(data.ArrayLayout(signed(weight_bits), lanes)),
                "advance": In(1, init=1),
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
            plane = Mux(self.add_fp16, nonzero, self.plane)
            accumulate = self.step | self.add_fp16
        with m.If(self.load):
            m.d.sync += signs.eq(self.plane)
        if self.operand_isolation:
            plane = plane & accumulate.replicate(self.lanes)
        going = {"first": self.first & self.step, "skipped": self.skipped if self.skipping else Const(0)}
        terms, carries = self._terms(plane, signs)
        bits = self.weight_bits
        if self.stages == 3:
            terms, carries = partial_sums(m, terms, bits, carries, self.tree, PARTS)
            bits = len(terms[0])
            parts = {f"part_{index}": part for index, part in enumerate(terms)}
            accumulate, held = self._held(m, accumulate, parts | {"carries": Cat(carries)} | going)
            terms, carries = [held[name] for name in parts], list(held["carries"])
            going = {name: held[name] for name in going}
        plane_sum = self._plane_sum(m, terms, bits, carries)
        if self.stages >= 2:
            accumulate, held = self._held(m, accumulate, {"plane_sum": plane_sum, **going})
            plane_sum, going = held["plane_sum"], held
        with m.If(accumulate & self.advance):
            before = _shift_left(self.partial_sum, going["skipped"]) if self.skipping else self.partial_sum
            m.d.sync += self.partial_sum.eq(Mux(going["first"], 0, before << 1) + plane_sum)
        return m

    def _held(self, m: Module, accumulate: Value, values: Values) -> tuple[Value, Values]:
        """A register behind each of the values of a plane, and whether they are to be accumulated."""
        held = {name: Signal.like(value, name=f"{name}_held") for name, value in values.items()}
        adding = Signal()
        with m.If(self.advance):
            m.d.sync += adding.eq(accumulate)
            with m.If(accumulate):
                m.d.sync += [held[name].eq(value) for name, value in values.items()]
        return adding, held

    def _terms(self, plane: Value, signs: Value) -> tuple[list[Value], list[Value]]:
        """Of each lane the plane's bit times the signed weight, less one if it is negative; and what is less."""
        weights = Value.cast(self.weights)
        negated = [
            weights.word_select(lane, self.weight_bits) ^ signs[lane].replicate(self.weight_bits)
            for lane in range(self.lanes)
        ]
        terms: list[Value] = [
            (weight & plane[lane].replicate(self.weight_bits)).as_signed() for lane, weight in enumerate(negated)
        ]
        return terms, [Const(0, 1)] * self.lanes if self.signs == "shared" else list(plane & signs)

    def _plane_sum(self, m: Module, terms: list[Value], bits: int, carries: list[Value]) -> Value:
        """The sum over the lanes."""
        if self.signs == "own":
            return tree_sum(m, terms, bits, carries, self.tree)
        if self.tree == "carry-save":
            return carry_save_tree(m, terms, bits, [self.negatives])
        return adder_tree(terms, bits, carries) + self.negatives


def _shift_left(value: Value, distance: Value) -> Value:
    """A signed value shifted left; bits that leave it are lost."""
    for stage, selected in enumerate(distance):
        value = Mux(selected, Cat(Const(0, 1 << stage), value)[: len(value)], value).as_signed()
    return value


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
    tree : `str`
        How a plane's terms are summed: ``"ripple"``, by `adder_tree`, or ``"carry-save"``, by `carry_save_tree`.
    operand_isolation : `bool`
        Hold the tree's inputs at zero in cycles that sum nothing, such as those of the sign planes.
    stages : `int`
        1, or 2 with a register between tree and accumulator, or 3 with another one within the tree: the result is valid
        as many cycles later, at the same rate. More than one not with `midpoint`, three only with own signs.
    skipping : `bool`
        Whether planes without a one may be left out: a group then takes a cycle for each plane that is sent, and the
        result is the same, but for planes left out at its end without `midpoint`: those are zeros less to the right.
    signs : `str`
        Who counts the ones that complete the negative elements' complements: ``"own"``, this element's adder tree, or
        ``"shared"``, a `NegativeCounter` for all elements that share a plane. Not with `midpoint` or `skipping`.

    Members
    -------
    activation : `In(stream.Signature(plane_layout(lanes, skipping)))`, or with shared signs `counted_plane_layout(lanes)`
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
        tree: Tree = "ripple",
        operand_isolation: bool = False,
        stages: int = 1,
        skipping: bool = False,
        signs: Signs = "own",
    ) -> None:
        self.midpoint = bool(midpoint)
        self.skipping = bool(skipping)
        self.tree: Tree = check_tree(tree)
        self.operand_isolation = bool(operand_isolation)
        self.stages = check_integer("stages", stages, 1, 3)
        if midpoint and stages > 1:
            raise InputError("stages: midpoint reconstruction needs 1")
        self.signs: Signs = check_choice("signs", signs, get_args(Signs))
        if signs == "shared" and stages == 3:
            raise InputError("stages: shared signs need 1 or 2")
        if signs == "shared" and (midpoint or skipping):
            raise InputError("signs: midpoint reconstruction and skipping need own")
        self.lanes = check_integer("lanes", lanes, 1, MAX_LANES)
        self.weight_bits = check_integer("weight_bits", weight_bits, 2, 8)
        self.max_mantissa_bits = check_integer("max_mantissa_bits", max_mantissa_bits, 1, MAX_MANTISSA_BITS)
        planes = counted_plane_layout(lanes) if signs == "shared" else plane_layout(lanes, self.skipping)
        super().__init__(
            {
                "activation": In(stream.Signature(planes)),
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
            tree=self.tree,
            operand_isolation=self.operand_isolation,
            stages=self.stages,
            skipping=self.skipping,
            signs=self.signs,
        )
        skipped: Value = Const(0)
        exponent = Signal.like(self.result.payload.exponent)
        loaded, done, group = Signal(), Signal(), Signal()
        free = ~done | self.result.ready
        delayed = self.midpoint or self.stages > 1  # the next group's sign plane passes before the result is there
        activation = self.activation.payload
        taken = self.activation.valid & self.activation.ready
        self._take(m, dot_product, loaded, free, delayed)
        m.d.comb += [
            dot_product.load.eq(taken & ~loaded),
            dot_product.step.eq(taken & loaded),
            dot_product.plane.eq(activation.plane),
            dot_product.weights.eq(self.weights.payload),
            group.eq(dot_product.step & activation.last),
            self.result.valid.eq(done),
            self.result.payload.partial_sum.eq(dot_product.partial_sum),
        ]
        if self.signs == "shared":
            m.d.comb += dot_product.negatives.eq(activation.negatives)
        with m.If(self.result.ready):
            m.d.sync += done.eq(0)
        if self.skipping:
            m.d.comb += dot_product.skipped.eq(skipped := Signal(SKIPPED_BITS))
            with m.If(taken):
                m.d.sync += skipped.eq(Mux(loaded, activation.skipped, 0))
        with m.If(dot_product.load):
            m.d.sync += [loaded.eq(1), dot_product.first.eq(1), exponent.eq(activation.exponent)]
        with m.If(dot_product.step):
            m.d.sync += [loaded.eq(~activation.last), dot_product.first.eq(0), exponent.eq(exponent - 1 - skipped)]
        if delayed:
            summed, final = self._last_sum(m, group, exponent, free)
            m.d.comb += self.weights.ready.eq(summed if self.midpoint else group)
            if self.midpoint:
                m.d.comb += dot_product.add_fp16.eq(summed)
            half = 1 + skipped if self.midpoint else 0
            with m.If(summed):
                # the next group's exponent may be coming
                m.d.sync += [done.eq(1), self.result.payload.exponent.eq(final - half)]
        else:
            m.d.comb += [self.weights.ready.eq(group), self.result.payload.exponent.eq(exponent)]
            with m.If(group):
                m.d.sync += done.eq(1)
        return m

    def _take(self, m: Module, dot_product: DotProduct, loaded: Value, free: Value, delayed: bool) -> None:
        """When a plane is taken: a mantissa plane with its weights, and none that would overtake the result."""
        if self.stages == 3:
            # the next group's first plane may be on its way, too, so everything waits for the result to be taken
            m.d.comb += [dot_product.advance.eq(free), self.activation.ready.eq(free & (self.weights.valid | ~loaded))]
        elif delayed:
            m.d.comb += self.activation.ready.eq(Mux(loaded, self.weights.valid & free, 1))
        else:
            m.d.comb += self.activation.ready.eq(Mux(loaded, self.weights.valid, free))

    def _last_sum(self, m: Module, group: Value, exponent: Value, free: Value) -> tuple[Value, Value]:
        """Whether the last sum of a group is accumulated, `stages` - 1 cycles after its plane, and its exponent."""
        following = Signal()
        if self.stages < 3:
            m.d.sync += following.eq(group)
            return following, exponent
        summed, final = Signal(), Signal.like(exponent, name="final_exponent")
        with m.If(free):
            m.d.sync += [following.eq(group), summed.eq(following)]
            with m.If(following):
                m.d.sync += final.eq(exponent)
        return summed & free, final
