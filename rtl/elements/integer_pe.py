# amaranth: UnusedElaboratable=no
"""The baselines that compute on pre-aligned integers: FIGNA, iFPU and FIGLUT."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from numpy.typing import NDArray

from ...formats.checks import check_integer
from ...formats.processing_elements.aligned import TABLE_INPUTS, WEIGHT_PLANES, aligned_dot
from ..arithmetic.adder_trees import Tree, check_tree, partial_sums, tree_sum
from ..arithmetic.fp import FP32
from ..arithmetic.fp_accumulator import MAX_ADDER_STAGES, MAX_INTERLEAVE
from ..arithmetic.pipeline import Pipeline, Values
from ..arithmetic.scaling import SCALE, GroupAccumulator
from ..interfaces import MAX_LANES, PARTIAL_EXPONENT, Stream, partial_sum_bits, per_unit

PARTS = 4
"""Parts of an iFPU step's terms with a register behind each part's sum, in an element of three stages."""

MAX_ALIGNED_BITS = 28
"""Magnitude bits of an aligned activation that these circuits take."""


def aligned_layout(lanes: int, mantissa_bits: int, weights: Any, **extra: Any) -> data.StructLayout:
    """A step of an integer dot product.

    Members
    -------
    activations : `ArrayLayout(signed(mantissa_bits + 1), lanes)`
        Integers under the group's exponent, magnitudes below ``2**mantissa_bits``.
    weights
        One per activation.
    exponent : `signed(6)`
        The group's shared exponent less `mantissa_bits`; read with its last step.
    last : `unsigned(1)`
        The step closes the group.
    """
    fields = {
        "activations": data.ArrayLayout(signed(mantissa_bits + 1), lanes),
        "weights": weights,
        "exponent": PARTIAL_EXPONENT,
        "last": 1,
    }
    return data.StructLayout(fields | extra)


@dataclass(frozen=True, kw_only=True)
class AlignedParameters(ABC):
    """The options that the elements on aligned integers share.

    Parameters
    ----------
    lanes : `int`
        Activations per cycle, 1 to 128.
    mantissa_bits : `int`
        Magnitude bits of an aligned activation, 1 to 28.
    group_size : `int`
        Largest group, 1 to 128 elements. Sizes the accumulator.
    stages : `int`
        Registers up to the group's sum: 1, the sum; 2, also the sum of a step's terms; 3, also the terms (`FignaPE`), or
        the sums of four parts of them (`IfpuPE`).
    adder_stages : `int`
        See `GroupAccumulator`.
    units : `int`
        Units of a row, 1 to 8: dot products of the same activations, each with weights of its own. They share a
        `GroupAccumulator`, which takes their groups in turn.

    Raises
    ------
    InputError
        A field is out of its range.
    """

    lanes: int
    mantissa_bits: int
    group_size: int = 64
    stages: int = 1
    adder_stages: int = 1
    units: int = 1

    def __post_init__(self) -> None:
        check_integer("units", self.units, 1, MAX_INTERLEAVE)
        check_integer("lanes", self.lanes, 1, MAX_LANES)
        check_integer("mantissa_bits", self.mantissa_bits, 1, MAX_ALIGNED_BITS)
        check_integer("group_size", self.group_size, 1, MAX_LANES)
        check_integer("stages", self.stages, 1, 3)
        check_integer("adder_stages", self.adder_stages, 1, MAX_ADDER_STAGES)

    @property
    @abstractmethod
    def operands_layout(self) -> data.StructLayout:
        """The operands of one step."""

    @property
    @abstractmethod
    def sum_bits(self) -> int:
        """Width of a group's signed sum in bits."""

    def compute(
        self,
        integers: NDArray[np.integer],
        exponents: NDArray[np.integer],
        codes: NDArray[np.int8],
        scales: NDArray[np.float16],
    ) -> NDArray[np.float32]:
        """The outputs ``[...]``, bit for bit; for the arguments see `formats.processing_elements.aligned.aligned_dot`."""
        return aligned_dot(integers, exponents, codes, scales, self.mantissa_bits)[0]


Parameters = TypeVar("Parameters", bound=AlignedParameters)


class _ScaledGroups(wiring.Component, ABC, Generic[Parameters]):
    """An integer dot product of each group and unit, and a `GroupAccumulator` behind them."""

    operands: Stream
    scales: Stream
    result: Stream
    saturated: Signal

    def __init__(self, parameters: Parameters) -> None:
        self.parameters = parameters
        super().__init__(
            {
                "operands": In(stream.Signature(parameters.operands_layout)),
                "scales": In(stream.Signature(SCALE)),
                "result": Out(stream.Signature(FP32)),
                "saturated": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Sum the terms of each step, and hand each group's sum to the accumulator."""
        m = Module()
        bits, units = self.parameters.sum_bits, self.parameters.units
        m.submodules.group_accumulator = accumulator = GroupAccumulator(
            bits=bits, adder_stages=self.parameters.adder_stages, units=units
        )
        pipeline = Pipeline(m, self.operands, accumulator.groups)
        totals = [Signal(signed(bits), name=f"total_{unit}") for unit in range(units)]
        exponent = Signal.like(self.operands.payload.exponent)
        weights = Value.cast(self.operands.payload.weights)
        share = len(weights) // units
        summands, start, lower, last = self._step(
            m, pipeline, [weights.word_select(unit, share) for unit in range(units)]
        )
        first = pipeline.first(last)
        following = [
            (Mux(first, start, total) + summand)[:bits] for total, summand in zip(totals, summands, strict=True)
        ]
        pipeline.accumulate(Cat(totals, exponent), Cat(following, lower), last)
        m.d.comb += Value.cast(accumulator.groups.payload).eq(Cat(totals, exponent))
        pipeline.finish()
        wiring.connect(m, wiring.flipped(self.scales), accumulator.scales)
        wiring.connect(m, accumulator.result, wiring.flipped(self.result))
        m.d.comb += self.saturated.eq(accumulator.saturated)
        return m

    @abstractmethod
    def _step(
        self, m: Module, pipeline: Pipeline, weights: Sequence[Value]
    ) -> tuple[Sequence[Value], Value, Value, Value]:
        """The term that a step adds in each unit, the start value of a group, its exponent, and its last step's flag.

        `weights` holds the weights of each unit.
        """


@dataclass(frozen=True, kw_only=True)
class FignaParameters(AlignedParameters):
    """The options of a `FignaPE`: those of `AlignedParameters`, and one more.

    Parameters
    ----------
    weight_bits : `int`
        Width of a signed weight, 2 to 8.
    """

    lanes: int = 4
    mantissa_bits: int = 13
    weight_bits: int = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        check_integer("weight_bits", self.weight_bits, 2, 8)

    @property
    def operands_layout(self) -> data.StructLayout:
        """A step: activations and weights of all lanes."""
        weights = per_unit(data.ArrayLayout(signed(self.weight_bits), self.lanes), self.units)
        return aligned_layout(self.lanes, self.mantissa_bits, weights)

    @property
    def sum_bits(self) -> int:
        """Width of a group's signed dot product in bits."""
        return partial_sum_bits(self.group_size, self.weight_bits, self.mantissa_bits)


class FignaPE(_ScaledGroups[FignaParameters]):
    """The FIGNA baseline: a bit-parallel integer dot product (Jang et al., HPCA 2024).

    Activations are aligned to their group's largest exponent before they come here, with 13 bits and a sign; the -M11 and
    -M8 variants keep 11 and 8 (Anda paper, section V). An INT4 weight multiplies each. A group's sum is converted, scaled
    and accumulated as in an Anda unit, so the arithmetic is that of `formats.processing_elements.aligned.aligned_dot`.

    Timing: ``ceil(64 / lanes)`` cycles for a group of 64, 16 with 4 lanes. The result is valid ``stages + 3`` cycles
    after the last step. The Anda paper gives the variants 16 / M of FIGNA's rate: -M11 has 6 lanes (11 cycles), -M8 has 8
    lanes (8 cycles).

    Parameters
    ----------
    parameters : `FignaParameters`

    Members
    -------
    operands : `In(stream.Signature(aligned_layout(lanes, mantissa_bits, ArrayLayout(signed(weight_bits), lanes))))`
        With several units, the weights are an array of that.
    scales : `In(stream.Signature(SCALE))`
        One per group; of several units in turn.
    result : `Out(stream.Signature(FP32))`
        Of several units in turn.
    saturated : `Out(1)`
        See `GroupAccumulator`.
    """

    def _step(
        self, m: Module, pipeline: Pipeline, weights: Sequence[Value]
    ) -> tuple[Sequence[Value], Value, Value, Value]:
        payload, lanes = self.operands.payload, self.parameters.lanes
        products: list[Value] = [
            payload.activations[lane] * own.word_select(lane, self.parameters.weight_bits).as_signed()
            for own in weights
            for lane in range(lanes)
        ]
        exponent, last = payload.exponent, payload.last
        if self.parameters.stages == 3:
            named = {f"product_{index}": product for index, product in enumerate(products)}
            *products, exponent, last = pipeline.cut(**named, exponent=exponent, last=last)
        starts = range(0, len(products), lanes)
        totals: list[Value] = [sum(products[at : at + lanes], start=Const(0, signed(1))) for at in starts]
        if self.parameters.stages >= 2:
            named = {f"products_{unit}": total for unit, total in enumerate(totals)}
            *totals, exponent, last = pipeline.cut(**named, exponent=exponent, last=last)
        return totals, Const(0, signed(1)), exponent, last


def plane_layout(lanes: int, mantissa_bits: int, group_size: int, weights: Any = None) -> data.StructLayout:
    """A step of a dot product that is serial in the weights' bits: `aligned_layout` with one bit of each weight.

    Members
    -------
    weights : `ArrayLayout(1, lanes)`
        Bit `place` of ``weight + 8``: 1 adds the activation, 0 subtracts it.
    place : `unsigned(2)`
    start : `signed(...)`
        Minus the sum of the group's activations; read with its first step.
    """
    start = signed(partial_sum_bits(group_size, 1, mantissa_bits))
    bits = data.ArrayLayout(1, lanes) if weights is None else weights
    return aligned_layout(lanes, mantissa_bits, bits, place=2, start=start)


@dataclass(frozen=True, kw_only=True)
class IfpuParameters(AlignedParameters):
    """The options of an `IfpuPE`: those of `AlignedParameters`, and one more.

    Parameters
    ----------
    tree : `str`
        Circuit that sums a step's terms: ``"ripple"``, an `adder_tree`, or ``"carry-save"``, a `carry_save_tree`.
    """

    lanes: int = 16
    mantissa_bits: int = 24
    tree: Tree = "ripple"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_tree(self.tree)

    @property
    def operands_layout(self) -> data.StructLayout:
        """A step: activations of all lanes, and a bit of each weight."""
        weights = per_unit(data.ArrayLayout(1, self.lanes), self.units)
        return plane_layout(self.lanes, self.mantissa_bits, self.group_size, weights)

    @property
    def sum_bits(self) -> int:
        """Width of twice a group's signed dot product in bits."""
        return doubled_sum_bits(self.group_size, self.mantissa_bits)


class IfpuPE(_ScaledGroups[IfpuParameters]):
    """The iFPU baseline: integer sums, serial in the bits of the weights (Kim et al., ICLR 2023).

    A weight of 4 bits is four binary ones, each +1 or -1: ``2 * w = sum over i of 2**i * b[i] - 1`` with ``b[i]`` given
    by bit i of ``w + 8``. A step adds or subtracts `lanes` aligned activations as one bit of their weights says and
    shifts the sum to that bit's place. The term that all weights share, minus the sum of the activations, does not depend
    on the weights, comes with the group and is shared by a row of elements.

    The width of the aligned activations is not published; 24 bits, `formats.activations.aligned.IfpuFormat`'s, leave an
    error far below FP16's. The order of the steps is this project's choice: the bits of a chunk of activations one after
    the other, so that the activations stand still. The sum is twice the dot product; the exponent makes up for it, so
    the arithmetic is again `formats.processing_elements.aligned.aligned_dot`.

    Timing: 4 steps for 16 weights, so 16 cycles for a group of 64 with 16 lanes; the result is valid ``stages + 3``
    cycles after the last step.

    Parameters
    ----------
    parameters : `IfpuParameters`

    Members
    -------
    operands : `In(stream.Signature(plane_layout(lanes, mantissa_bits, group_size)))`
        The exponent is one less than `aligned_layout` says.
    scales, result, saturated
        See `FignaPE`.
    """

    def _step(
        self, m: Module, pipeline: Pipeline, weights: Sequence[Value]
    ) -> tuple[Sequence[Value], Value, Value, Value]:
        payload, tree = self.operands.payload, self.parameters.tree
        terms = [self._terms(own) for own in weights]
        carried: Values = {name: getattr(payload, name) for name in ("place", "start", "exponent", "last")}
        bits = self.parameters.mantissa_bits + 1
        if self.parameters.stages == 3:
            parts = [partial_sums(m, own, bits, minus, tree, PARTS) for own, minus in terms]
            bits = len(parts[0][0][0])
            held, carried = pipeline.hold([_named(sums, minus) for sums, minus in parts], carried)
            terms = [(list(lane.values())[:-1], list(lane["minus"])) for lane in held]
        totals = [{"plane": tree_sum(m, own, bits, minus, tree)} for own, minus in terms]
        if self.parameters.stages >= 2:
            totals, carried = pipeline.hold(totals, carried)
        place, start, exponent, last = carried.values()
        return [to_place(total["plane"], place) for total in totals], start, exponent, last

    def _terms(self, weights: Value) -> tuple[list[Value], list[Value]]:
        """The activations with the signs of a unit's weights, complemented where they are minus, and their carries."""
        # minus x is the complement of x and one, which is a carry of the tree
        minus: list[Value] = [~weights[lane] for lane in range(self.parameters.lanes)]
        signs = [bit.replicate(self.parameters.mantissa_bits + 1) for bit in minus]
        activations = self.operands.payload.activations
        return [(x.as_unsigned() ^ sign).as_signed() for x, sign in zip(activations, signs, strict=True)], minus


def _named(sums: Sequence[Value], minus: Sequence[Value]) -> Values:
    """Partial sums and carries by name, the carries last."""
    return {f"sum_{share}": value for share, value in enumerate(sums)} | {"minus": Cat(minus)}


def to_place(value: Value, place: Value) -> Value:
    """A signed value times ``2**place``, for a place of 2 bits."""
    wide = Cat(value, value[-1].replicate(WEIGHT_PLANES - 1))
    return (wide << place)[: len(wide)].as_signed()


def doubled_sum_bits(group_size: int, mantissa_bits: int) -> int:
    """Bits of twice a dot product with weights of -8 to 7, and of every sum on the way to it."""
    return (group_size * (2**mantissa_bits - 1) * (2**WEIGHT_PLANES)).bit_length() + 1


def table_layout(outputs: int, mantissa_bits: int, group_size: int) -> data.StructLayout:
    """A step of a `FiglutPE`: as `plane_layout` with 4 lanes, but for the weights.

    Members
    -------
    weights : `ArrayLayout(unsigned(4), outputs)`
        Bit `place` of each output's 4 weights plus 8: a key of the table.
    """
    return plane_layout(TABLE_INPUTS, mantissa_bits, group_size, data.ArrayLayout(TABLE_INPUTS, outputs))


class FiglutPE(wiring.Component):
    """A look-up-table element: sums of 4 activations, read by bit patterns of weights (FIGLUT, arXiv 2503.06862).

    The table holds ``x4 +- x3 +- x2 +- x1`` of 4 aligned activations in flip-flops, half of the 16 sums: the key's top
    bit chooses between an entry and the negative of the opposite one (the paper's hFFLUT). The table takes 12 additions.
    `outputs` accumulators read it at once, 32 in the paper, each with a bit of its own weights. The arithmetic is that
    of `IfpuPE`: the results are twice the integer dot products, to be converted and scaled one after the other by a
    `GroupAccumulator`, which is free for that while the next group's 64 steps pass.

    Timing: 4 steps for 4 weights of each output, so 64 cycles for a group of 64, and `outputs` multiplications per cycle:
    32 outputs have 8 times the peak throughput of the other baselines. The sums are valid 2 cycles after the last step.

    Parameters
    ----------
    outputs : `int`
        Accumulators that share the table, 1 to 64.
    mantissa_bits, group_size
        See `AlignedParameters`.

    Members
    -------
    operands : `In(stream.Signature(table_layout(outputs, mantissa_bits, group_size)))`
        The exponent is one less than `aligned_layout` says. The activations stay the same for the 4 bits of a weight.
    sums : `Out(stream.Signature(sums_layout(outputs, mantissa_bits, group_size)))`
    """

    operands: Stream
    sums: Stream

    def __init__(self, *, outputs: int = 32, mantissa_bits: int = 13, group_size: int = 64) -> None:
        self.outputs = check_integer("outputs", outputs, 1, 64)
        self.mantissa_bits = check_integer("mantissa_bits", mantissa_bits, 1, MAX_ALIGNED_BITS)
        self.group_size = check_integer("group_size", group_size, 1, MAX_LANES)
        self.bits = doubled_sum_bits(group_size, mantissa_bits)
        super().__init__(
            {
                "operands": In(stream.Signature(table_layout(outputs, mantissa_bits, group_size))),
                "sums": Out(stream.Signature(sums_layout(outputs, mantissa_bits, group_size))),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Register the table, then add a term per output and step."""
        m = Module()
        payload = self.operands.payload
        pipeline = Pipeline(m, self.operands, self.sums)
        table = self._table(m)
        entries = {f"entry_{index}": entry for index, entry in enumerate(table)}
        fields = {name: getattr(payload, name) for name in ("weights", "place", "start", "exponent", "last")}
        *table, keys, place, start, exponent, last = pipeline.cut(**entries, **fields)
        first = pipeline.first(last)
        totals = [Signal(signed(self.bits), name=f"total_{output}") for output in range(self.outputs)]
        lower = Signal.like(payload.exponent, name="exponent")
        following: list[Value] = []
        for output, total in enumerate(totals):
            key = keys[output]
            # the opposite key reads the same entry, and its negative is meant
            index, negative = key[:-1] ^ (~key[-1]).replicate(TABLE_INPUTS - 1), ~key[-1]
            entry = Array(table)[index]
            term = to_place(Mux(negative, -entry, entry), place)
            following.append((Mux(first, start, total) + term)[: self.bits])
        pipeline.accumulate(Cat(*totals, lower), Cat(*following, exponent), last)
        m.d.comb += [self.sums.payload.doubled[output].eq(total) for output, total in enumerate(totals)]
        m.d.comb += self.sums.payload.exponent.eq(lower)
        pipeline.finish()
        return m

    def _table(self, m: Module) -> list[Value]:
        """Entry i: x4, plus x3, x2 and x1 where bits 2, 1 and 0 of i are set, minus them where they are not."""
        x1, x2, x3, x4 = self.operands.payload.activations
        pairs = [Signal(signed(self.mantissa_bits + 2), name=f"pair_{index}") for index in range(4)]
        m.d.comb += [
            pairs[0].eq(x4 - x3),
            pairs[1].eq(x4 + x3),
            pairs[2].eq(x2 - x1),
            pairs[3].eq(x2 + x1),
        ]
        low = [-pairs[3], -pairs[2], pairs[2], pairs[3]]  # of -x2-x1, -x2+x1, x2-x1, x2+x1
        return [(high + low[index])[: self.mantissa_bits + 3].as_signed() for high in pairs[:2] for index in range(4)]


def sums_layout(outputs: int, mantissa_bits: int, group_size: int) -> data.StructLayout:
    """Twice the dot products of a group with the weights of several outputs.

    Members
    -------
    doubled : `ArrayLayout(signed(doubled_sum_bits(...)), outputs)`
        The value of one is ``doubled * 2**(exponent - 14)``.
    exponent : `signed(6)`
    """
    bits = doubled_sum_bits(group_size, mantissa_bits)
    return data.StructLayout({"doubled": data.ArrayLayout(signed(bits), outputs), "exponent": PARTIAL_EXPONENT})
