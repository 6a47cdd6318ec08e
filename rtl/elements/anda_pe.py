"""The bit-serial processing element: one group's integer dot product, a bit-plane per cycle."""

from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
from amaranth.hdl import Cat, Const, Module, Mux, ShapeLike, Signal, Value, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from numpy.typing import NDArray

from ...formats import AndaFormat, AndaTensor, InputError
from ...formats.accelerator.config import Signs
from ...formats.checks import check_choice, check_flags, check_integer
from ..arithmetic.adder_trees import Tree, check_tree, partial_sums, tree_sum
from ..arithmetic.pipeline import Values
from ..interfaces import (
    MAX_LANES,
    MAX_MANTISSA_BITS,
    SKIPPED_BITS,
    Stream,
    partial_sum_bits,
    partial_sum_layout,
    per_unit,
    plane_layout,
)
from .signed_planes import SignedPlanes

MAX_UNITS = 8
"""Units of a row in one element, at most."""

PARTS = 8
"""Parts of the lanes with a register behind each part's sum, in an element of three stages."""


@dataclass(frozen=True, kw_only=True)
class DotProductParameters:
    """The options that element, unit and array share.

    Parameters
    ----------
    lanes : `int`
        Elements per group, 1 to 128.
    weight_bits : `int`
        Bits of a signed weight, 2 to 8. INT4 codes of -8 to 7 need 4; affine codes of 0 to 15 need 5.
    max_mantissa_bits : `int`
        Largest M, 1 to 16. Sizes the accumulator.
    midpoint : `bool`
        A mantissa m > 0 counts as m + 1/2, the middle of the values that truncation maps to it.
    skipping : `bool`
        Planes without a one may be left out (zero-plane skipping): a group then takes a cycle for each plane that is
        sent. The result is the same, except that without `midpoint` it is not shifted for planes left out at the
        group's end: those zeros are missing on its right.
    tree : `str`
        Circuit that sums the terms of a plane: ``"ripple"``, an `adder_tree`, or ``"carry-save"``, a `carry_save_tree`.
    operand_isolation : `bool`
        Hold the tree's inputs at zero in cycles that accumulate nothing, such as those of the sign planes.
    signs : `str`
        Place of the signs: ``"own"``, a register in each unit and an XOR for each bit of its weights, or ``"row"``, a
        `SignedPlanes` for all units. Not with `midpoint`.
    units : `int`
        Units of a row, 1 to 8: dot products of the same planes, each with weights of its own. What follows a dot
        product is shared by them.

    Raises
    ------
    InputError
        A field is out of its range.
    """

    lanes: int = 64
    weight_bits: int = 4
    max_mantissa_bits: int = MAX_MANTISSA_BITS
    midpoint: bool = False
    skipping: bool = False
    tree: Tree = "ripple"
    operand_isolation: bool = False
    signs: Signs = "own"
    units: int = 1

    def __post_init__(self) -> None:
        check_flags(self)
        check_tree(self.tree)
        check_integer("lanes", self.lanes, 1, MAX_LANES)
        check_integer("weight_bits", self.weight_bits, 2, 8)
        check_integer("max_mantissa_bits", self.max_mantissa_bits, 1, MAX_MANTISSA_BITS)
        check_integer("units", self.units, 1, MAX_UNITS)
        check_choice("signs", self.signs, get_args(Signs))
        if self.signs == "row" and self.midpoint:
            raise InputError("signs: 'row' does not work with midpoint; choose own")

    @property
    def weights_layout(self) -> data.ArrayLayout:
        """A group's weights, one per lane."""
        return data.ArrayLayout(signed(self.weight_bits), self.lanes)

    @property
    def row_weights_layout(self) -> ShapeLike:
        """A group's weights of all units: `weights_layout` of one, an array of them for several."""
        return per_unit(self.weights_layout, self.units)

    @property
    def partial_sum_bits(self) -> int:
        """Width of the signed dot product in bits."""
        return partial_sum_bits(self.lanes, self.weight_bits, self.max_mantissa_bits + self.midpoint)

    @property
    def module_suffix(self) -> str:
        """The options as part of a Verilog module's name."""
        named = {"midpoint": self.midpoint, "skipping": self.skipping, "isolated": self.operand_isolation}
        named |= {"row_signs": self.signs == "row", f"{self.units}_units": self.units > 1}
        options = [self.tree.replace("-", "_"), *(name for name, chosen in named.items() if chosen)]
        return "_".join([str(self.lanes), str(self.weight_bits), str(self.max_mantissa_bits), *options])

    def format(self, mantissa_bits: int) -> AndaFormat:
        """The format of the activations at M = `mantissa_bits`."""
        return AndaFormat(mantissa_bits, self.lanes, reconstruct="midpoint" if self.midpoint else "truncate")

    def compute(
        self, activations: AndaTensor, weights: NDArray[np.int8]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The result of every group: dot product P and exponent, each int64 ``[groups]``; the value is P * 2**(exponent - 14).

        Parameters
        ----------
        activations
            A tensor of `format`, one group after the other.
        weights
            ``[groups, lanes]``.
        """
        integers = activations.signed_integers().reshape(weights.shape).astype(np.int64)
        exponents = activations.exponents.reshape(-1).astype(np.int64)
        return (integers * weights).sum(axis=1), exponents - activations.format.mantissa_bits - self.midpoint


class DotProduct(wiring.Component):
    """Datapath of a bit-serial processing element: signs, signed adder tree, accumulator (Anda paper, section IV-B).

    First element, then bit-plane: in each cycle the tree sums one mantissa plane of all lanes with their signed weights,
    and the accumulator takes ``2 * accumulator + sum``. After M planes it holds
    ``sum over i of (-1)**sign[i] * mantissa[i] * weight[i]``, exactly.

    With its own signs, a negative element adds its weight's complement and a carry. A 64-lane tree has room for all 64
    carries (`adder_tree`), so signs cost one XOR per weight bit and no adder.

    With the signs of the row, the planes come as x = sign XOR bit (`SignedPlanes`), so that
    ``(-1)**sign * bit = x - sign``: the sign plane passes through the tree first, its sum D = sum of sign * weight is
    kept, and each plane adds its own sum less D. The element keeps no signs and its terms have no XOR and no carry.

    The weights are not stored: they stay at the port while the planes pass, with the signs of the row the sign plane, too.

    Parameters
    ----------
    parameters : `DotProductParameters`
    stages : `int`
        See `AndaPEParameters`.

    Members
    -------
    load : `In(1)`
        `plane` is a group's sign plane: keep it, or with the signs of the row its sum, from the next cycle on.
    step, first : `In(1)`
        `plane` is a mantissa plane: accumulate it; `first` starts from zero.
    add_halves : `In(1)`
        Accumulate one more plane: a one for every mantissa that was not zero. Only with `midpoint`.
    skipped : `In(4)`
        Planes between this one and the one before that were not sent. Only with `skipping`.
    plane : `In(lanes)`
    weights : `In(ArrayLayout(signed(weight_bits), lanes))`
    advance : `In(1)`
        The accumulator and the registers before it move. `load` and `step` need it high. It is high if nothing drives it.
    partial_sum : `Out(signed(partial_sum_bits))`
        The accumulator, from `stages` cycles after the last plane until the next first plane has passed.
    """

    load: Signal
    step: Signal
    first: Signal
    add_halves: Signal
    skipped: Signal
    plane: Signal
    weights: Any
    advance: Signal
    partial_sum: Signal

    def __init__(self, parameters: DotProductParameters, *, stages: int = 1) -> None:
        self.parameters = parameters
        self.stages = stages
        super().__init__(
            {
                "load": In(1),
                "step": In(1),
                "first": In(1),
                "add_halves": In(1),
                "skipped": In(SKIPPED_BITS),
                "plane": In(parameters.lanes),
                "weights": In(parameters.weights_layout),
                "advance": In(1, init=1),
                "partial_sum": Out(signed(parameters.partial_sum_bits)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Connect sign register, adder tree and accumulator, with registers between them if there are several stages."""
        m = Module()
        options = self.parameters
        plane, summed = self._plane(m)
        row_signs = options.signs == "row"
        terms, carries = self._terms(m, plane)
        going: Values = {"first": self.first & self.step, "skipped": self.skipped if options.skipping else Const(0)}
        going = {**going, "load": self.load} if row_signs else going
        bits = options.weight_bits
        if self.stages == 3:
            terms, carries = partial_sums(m, terms, bits, carries, options.tree, PARTS)
            bits = len(terms[0])
            parts = {f"part_{index}": part for index, part in enumerate(terms)}
            summed, held = self._held(m, summed, parts | {"carries": Cat(carries)} | going)
            terms, carries = [held[name] for name in parts], list(held["carries"])
            going = {name: held[name] for name in going}
        plane_sum = tree_sum(m, terms, bits, carries, options.tree)
        if row_signs:  # no term is negated
            plane_sum = plane_sum[: options.weight_bits + (options.lanes - 1).bit_length()].as_signed()
        if self.stages >= 2:
            summed, held = self._held(m, summed, {"plane_sum": plane_sum, **going})
            plane_sum, going = held["plane_sum"], held
        accumulate = summed & self.advance
        if row_signs:
            sign_sum = Signal.like(plane_sum, name="sign_sum")
            with m.If(accumulate & going["load"]):
                m.d.sync += sign_sum.eq(plane_sum)
            accumulate, plane_sum = accumulate & ~going["load"], plane_sum - sign_sum
        with m.If(accumulate):
            before = _shift_left(self.partial_sum, going["skipped"]) if options.skipping else self.partial_sum
            m.d.sync += self.partial_sum.eq(Mux(going["first"], 0, before << 1) + plane_sum)
        return m

    def _plane(self, m: Module) -> tuple[Value, Value]:
        """The plane that the tree sums, and a flag: its sum counts."""
        plane: Value = self.plane
        summed = self.step | self.load if self.parameters.signs == "row" else self.step
        if self.parameters.midpoint:
            nonzero = Signal(self.parameters.lanes)
            with m.If(self.step):
                m.d.sync += nonzero.eq(Mux(self.first, 0, nonzero) | self.plane)
            plane = Mux(self.add_halves, nonzero, self.plane)
            summed = self.step | self.add_halves
        if self.parameters.operand_isolation and self.parameters.signs == "own":
            plane = plane & summed.replicate(self.parameters.lanes)
        return plane, summed

    def _held(self, m: Module, summed: Value, values: Values) -> tuple[Value, Values]:
        """A register behind each value of a plane, and a flag: the values count."""
        held = {name: Signal.like(value, name=f"{name}_held") for name, value in values.items()}
        adding = Signal()
        with m.If(self.advance):
            m.d.sync += adding.eq(summed)
            with m.If(summed):
                m.d.sync += [held[name].eq(value) for name, value in values.items()]
        return adding, held

    def _terms(self, m: Module, plane: Value) -> tuple[list[Value], list[Value]]:
        """Partial products of all lanes, with own signs their one's complements where negative, and their carry-ins."""
        bits, lanes = self.parameters.weight_bits, range(self.parameters.lanes)
        weights = [Value.cast(self.weights).word_select(lane, bits) for lane in lanes]
        carries: list[Value] = [Const(0, 1)] * len(lanes)
        if self.parameters.signs == "own":
            signs = Signal(len(lanes))
            with m.If(self.load):
                m.d.sync += signs.eq(self.plane)
            weights = [weights[lane] ^ signs[lane].replicate(bits) for lane in lanes]
            carries = list(plane & signs)
        return [(weights[lane] & plane[lane].replicate(bits)).as_signed() for lane in lanes], carries


def _shift_left(value: Value, distance: Value) -> Value:
    """A signed value shifted left; bits that leave it are lost."""
    for stage, selected in enumerate(distance):
        value = Mux(selected, Cat(Const(0, 1 << stage), value)[: len(value)], value).as_signed()
    return value


@dataclass(frozen=True, kw_only=True)
class AndaPEParameters(DotProductParameters):
    """The options of an `AndaPE`: those of `DotProductParameters`, and one more.

    Parameters
    ----------
    stages : `int`
        1; 2 adds a register between tree and accumulator; 3 adds another one within the tree. The result is valid
        that many cycles after the last plane, at the same rate. With `midpoint` only 1.

    Raises
    ------
    InputError
        A field is out of its range, or excluded by another.
    """

    stages: int = 1

    def __post_init__(self) -> None:
        check_integer("stages", self.stages, 1, 3)
        if self.midpoint and self.stages > 1:
            raise InputError(f"stages: {self.stages} does not work with midpoint; choose 1")
        super().__post_init__()

    @property
    def planes_layout(self) -> data.StructLayout:
        """A bit-plane as the element takes it."""
        return plane_layout(self.lanes, self.skipping)

    @property
    def result_layout(self) -> data.StructLayout:
        """A group's dot product and its exponent."""
        return partial_sum_layout(self.partial_sum_bits, self.units)


class AndaPE(wiring.Component):
    """Bit-serial dot product of a group of Anda activations with integer weights (Anda paper, section IV-B).

    A `DotProduct` behind streams. M may differ from group to group.

    Timing: the sign plane and each mantissa plane take one cycle, so a group takes M + 1 cycles
    (`formats.latency.elements.pe_cycles_per_group`) and groups follow each other without a gap. The result is valid in the
    cycle after the last plane. It is held until the sink takes it. The next
    group's sign plane waits for that, so a sink that is always ready costs no cycle.

    The element stores no weights. It reads them with every mantissa plane, with the signs of the row the sign plane, too,
    and takes them with the last one. The sender holds them for the length of a group, as the stream rule says; the
    array's double buffer does that.

    With several `units` this is a row of the array: they share control, exponent and, with the signs of the row, signs.

    With `midpoint` the result is ``2 * P + sum over m[i] > 0 of (-1)**sign[i] * weight[i]``, at an exponent that is one
    lower (``AndaFormat(reconstruct="midpoint")``). The added sum goes through the adder tree in the cycle that loads the
    next group's sign plane, so a group still takes M + 1 cycles. Weights are taken, and the result is valid,
    one cycle later.

    Parameters
    ----------
    parameters : `AndaPEParameters`

    Members
    -------
    activation : `In(stream.Signature(plane_layout(lanes, skipping)))`
        Planes of the groups: sign, then mantissa from the most significant bit down; `last` closes the group.
    weights : `In(stream.Signature(ArrayLayout(signed(weight_bits), lanes)))`
        One weight per lane, once per group; with several units an array of that.
    result : `Out(stream.Signature(partial_sum_layout(partial_sum_bits, units)))`
        Dot product and the exponent of its least significant bit.
    """

    activation: Stream
    weights: Stream
    result: Stream

    def __init__(self, parameters: AndaPEParameters) -> None:
        self.parameters = parameters
        super().__init__(
            {
                "activation": In(stream.Signature(parameters.planes_layout)),
                "weights": In(stream.Signature(parameters.row_weights_layout)),
                "result": Out(stream.Signature(parameters.result_layout)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Drive the `DotProduct` of each unit with the planes taken, and follow each group's exponent and result."""
        m = Module()
        options = self.parameters
        strobes = _Strobes()
        skipped: Value = Const(0)
        exponent = Signal.like(self.result.payload.exponent)
        loaded = Signal()
        done = Signal()
        group = Signal()
        free = ~done | self.result.ready
        delayed = options.midpoint or options.stages > 1  # the next sign plane passes before the result is there
        activation = self.activation.payload
        taken = self.activation.valid & self.activation.ready
        m.d.comb += [
            self.activation.ready.eq(self._ready(loaded, free, delayed)),
            strobes.load.eq(taken & ~loaded),
            strobes.step.eq(taken & loaded),
            # of three stages, the next group's first plane may be on its way, too: all wait for the result to be taken
            strobes.advance.eq(free if options.stages == 3 else 1),
            group.eq(strobes.step & activation.last),
            self.result.valid.eq(done),
        ]
        with m.If(self.result.ready):
            m.d.sync += done.eq(0)
        if options.skipping:
            m.d.comb += strobes.skipped.eq(skipped := Signal(SKIPPED_BITS, name="skipped_before"))
            with m.If(taken):
                m.d.sync += skipped.eq(Mux(loaded, activation.skipped, 0))
        with m.If(strobes.load):
            m.d.sync += [loaded.eq(1), strobes.first.eq(1), exponent.eq(activation.exponent)]
        with m.If(strobes.step):
            m.d.sync += [loaded.eq(~activation.last), strobes.first.eq(0), exponent.eq(exponent - 1 - skipped)]
        if delayed:
            summed, final = self._last_sum(m, group, exponent, free)
            m.d.comb += self.weights.ready.eq(summed if options.midpoint else group)
            if options.midpoint:
                m.d.comb += strobes.add_halves.eq(summed)
            half = 1 + skipped if options.midpoint else 0
            with m.If(summed):
                # the next group's exponent may be coming
                m.d.sync += [done.eq(1), self.result.payload.exponent.eq(final - half)]
        else:
            m.d.comb += [self.weights.ready.eq(group), self.result.payload.exponent.eq(exponent)]
            with m.If(group):
                m.d.sync += done.eq(1)
        m.d.comb += Value.cast(self.result.payload.partial_sum).eq(self._dot_products(m, strobes))
        return m

    def _ready(self, loaded: Value, free: Value, delayed: bool) -> Value:
        """True if a plane is taken: with its weights, and not if it would overwrite a result not yet taken."""
        room = free if self.parameters.stages == 3 else Mux(loaded, free, 1) if delayed else Mux(loaded, 1, free)
        weights = self.weights.valid if self.parameters.signs == "row" else self.weights.valid | ~loaded
        return weights & room

    def _dot_products(self, m: Module, strobes: "_Strobes") -> Value:
        """The accumulators of all units."""
        options = self.parameters
        plane = self.activation.payload.plane
        if options.signs == "row":
            m.submodules.signed_planes = row = SignedPlanes(
                lanes=options.lanes, operand_isolation=options.operand_isolation
            )
            m.d.comb += [row.load.eq(strobes.load), row.step.eq(strobes.step), row.plane.eq(plane)]
            plane = row.signed
        weights, bits = Value.cast(self.weights.payload), options.lanes * options.weight_bits
        sums: list[Value] = []
        for unit in range(options.units):
            dot_product = DotProduct(options, stages=options.stages)
            m.submodules["dot_product" if options.units == 1 else f"dot_product_{unit}"] = dot_product
            strobes.drive(m, dot_product)
            m.d.comb += [
                dot_product.plane.eq(plane),
                Value.cast(dot_product.weights).eq(weights.word_select(unit, bits)),
            ]
            sums.append(dot_product.partial_sum)
        return Cat(sums)

    def _last_sum(self, m: Module, group: Value, exponent: Value, free: Value) -> tuple[Value, Value]:
        """The strobe that accumulates a group's last sum, `stages` - 1 cycles after its plane, and the group's exponent."""
        following = Signal()
        if self.parameters.stages < 3:
            m.d.sync += following.eq(group)
            return following, exponent
        summed = Signal()
        final = Signal.like(exponent, name="final_exponent")
        with m.If(free):
            m.d.sync += [following.eq(group), summed.eq(following)]
            with m.If(following):
                m.d.sync += final.eq(exponent)
        return summed & free, final


class _Strobes:
    """Signals that drive the dot products of all units alike."""

    NAMES = ("load", "step", "first", "add_halves", "advance")

    def __init__(self) -> None:
        self.load, self.step, self.first, self.add_halves, self.advance = (Signal(name=name) for name in self.NAMES)
        self.skipped = Signal(SKIPPED_BITS)

    def drive(self, m: Module, dot_product: DotProduct) -> None:
        """Connect the signals to a dot product."""
        m.d.comb += [getattr(dot_product, name).eq(getattr(self, name)) for name in (*self.NAMES, "skipped")]
