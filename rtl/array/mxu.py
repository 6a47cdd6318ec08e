# amaranth: UnusedElaboratable=no
"""The matrix unit: an output-stationary array of Anda processing units."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ...formats import InputError
from ...formats.accelerator.config import Signs
from ...formats.checks import check_flags, check_integer
from ..arithmetic.adder_trees import Tree
from ..elements.anda_apu import ActivationSum, UnitColumn, unit_strobes
from ..elements.anda_pe import DotProductParameters
from ..elements.signed_planes import SignedPlanes
from ..interfaces import CODE_BITS, FP16, MAX_MANTISSA_BITS, PARTIAL_EXPONENT, Stream, plane_rows_layout
from ..rtlil import place


def factors_layout(columns: int) -> data.StructLayout:
    """A group's factors: the scales and offsets of its weights.

    Members
    -------
    scales, offsets : `ArrayLayout(FP16, columns)`
        One per output channel. An array that is not affine ignores the offsets.
    last : `unsigned(1)`
        This is the last group of the tile.
    """
    halves = data.ArrayLayout(FP16, columns)
    return data.StructLayout({"scales": halves, "offsets": halves, "last": 1})


@dataclass(frozen=True, kw_only=True)
class MatrixUnitParameters:
    """The options of a `MatrixUnit`.

    Parameters
    ----------
    rows, columns : `int`
        Tokens and output channels of a tile, 1 to 64 each.
    lanes, max_mantissa_bits, midpoint, skipping, tree, operand_isolation, signs
        See `DotProductParameters`. `midpoint` costs no cycle per group: a group's weights and factors are taken, and its
        tile's outputs are valid, one cycle later. With `skipping`, planes that have a one in no row may be left out.
    affine : `bool`
        Weights may have offsets and codes of 0 to 15.
    units : `int`
        Units of a row that share conversion, multiplier, adder and rounder in turn, 1 to 8; a divisor of `columns`. Not
        with `affine`. A group takes at least a cycle for each of them; outputs leave in the same cycles otherwise.

    Raises
    ------
    InputError
        A field is out of its range, or excluded by another.
    """

    rows: int = 16
    columns: int = 16
    lanes: int = 64
    max_mantissa_bits: int = MAX_MANTISSA_BITS
    affine: bool = False
    midpoint: bool = False
    skipping: bool = False
    tree: Tree = "ripple"
    operand_isolation: bool = False
    signs: Signs = "own"
    units: int = 1

    def __post_init__(self) -> None:
        check_flags(self)
        check_integer("rows", self.rows, 1, 64)
        check_integer("columns", self.columns, 1, 64)
        _ = self.unit  # checks the rest
        if self.units > 1 and self.affine:
            raise InputError(f"units: {self.units} do not work with affine; choose 1")
        if self.columns % self.units:
            raise InputError(f"units: {self.units} is no divisor of {self.columns} columns; choose one")

    @cached_property
    def unit(self) -> DotProductParameters:
        """The options of the array's units."""
        return DotProductParameters(
            lanes=self.lanes,
            weight_bits=CODE_BITS + self.affine,
            max_mantissa_bits=self.max_mantissa_bits,
            midpoint=self.midpoint,
            skipping=self.skipping,
            tree=self.tree,
            operand_isolation=self.operand_isolation,
            signs=self.signs,
            units=self.units,
        )

    @property
    def weights_layout(self) -> data.ArrayLayout:
        """A group's weights of every output channel."""
        return data.ArrayLayout(self.unit.weights_layout, self.columns)


class MatrixUnit(wiring.Component):
    """Array of `rows` tokens by `columns` output channels (Anda paper, section IV-A, "MXU").

    A bit-plane of every token goes to all columns at once. A group's weights of every output channel go to all rows. All
    units work in step. A tile is `rows` by `columns` outputs; its groups follow each other, and so do tiles.

    With `affine`, the units of a row share one more dot product, of the activations with ones. The offsets multiply its
    result, and the product is accumulated right after the scaled dot product, at no extra cycle per group.

    Timing: a group takes M + 1 cycles, if its weights and factors are there; a group of fewer planes than there are `units`
    of a row waits for their turns. From a tile's last plane it takes
    `formats.latency.array.unit_pipeline_cycles` until the first column of outputs is valid; they leave one column per
    cycle. Meanwhile the next tile's groups are taken, but its last plane waits until the last column has left.

    Parameters
    ----------
    parameters : `MatrixUnitParameters`

    Members
    -------
    planes : `In(stream.Signature(plane_rows_layout(rows, lanes, skipping)))`
        The same plane of every token's group.
    weights : `In(stream.Signature(ArrayLayout(ArrayLayout(signed(weight_bits), lanes), columns)))`
        A group's weights, once per group, held while its planes pass, with the signs of the row its sign plane, too;
        `weight_bits` is 4, or 5 with `affine`.
    factors : `In(stream.Signature(factors_layout(columns)))`
        A group's scales and offsets, taken with its last plane.
    outputs : `Out(stream.Signature(ArrayLayout(FP16, rows)))`
        A tile's outputs, column by column.
    partial_saturated, result_saturated : `Out(1)`
        Sticky: a group's conversion, or an output, overflowed FP16.
    """

    planes: Stream
    weights: Stream
    factors: Stream
    outputs: Stream
    partial_saturated: Signal
    result_saturated: Signal

    def __init__(self, parameters: MatrixUnitParameters) -> None:
        self.parameters = parameters
        rows, columns = parameters.rows, parameters.columns
        planes = plane_rows_layout(rows, parameters.lanes, parameters.skipping)
        super().__init__(
            {
                "planes": In(stream.Signature(planes)),
                "weights": In(stream.Signature(parameters.weights_layout)),
                "factors": In(stream.Signature(factors_layout(columns))),
                "outputs": Out(stream.Signature(data.ArrayLayout(FP16, rows))),
                "partial_saturated": Out(1),
                "result_saturated": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Connect sequencer, exponents, activation sums and columns; drain the outputs."""
        m = Module()
        sequence = self._sequence(m)
        planes = self._planes(m, sequence.strobes)
        exponents = self._exponents(m, sequence.strobes)
        totals, sum_saturated = self._activation_sums(m, sequence.strobes, planes, exponents)
        columns = self._columns(m, sequence, planes, self._turn_exponents(m, sequence, exponents), totals, platform)
        partial_saturated = Cat(sum_saturated, (column.partial_saturated for column in columns)).any()
        result_saturated = Cat(column.result_saturated for column in columns).any()
        m.d.sync += [
            self.partial_saturated.eq(self.partial_saturated | partial_saturated),
            self.result_saturated.eq(self.result_saturated | result_saturated),
        ]
        self._drain(m, columns, sequence)
        return m

    def _sequence(self, m: Module) -> "_Sequence":
        """Take the planes of a group, then drive the strobes of the pipeline stages with its factors."""
        sequence = _Sequence(self.parameters.columns, self.parameters.units)
        strobes, units = sequence.strobes, self.parameters.units
        planes, factors = self.planes.payload, self.factors.payload
        loaded = Signal()
        first_group = Signal(init=1)
        complete = Signal()
        last_plane = Signal()
        # a group ends with its last plane, or with the half units that are added in the cycle after
        group = strobes.add_halves if self.parameters.midpoint else last_plane
        # bit n: n + 1 cycles ago was the end of a group; of a tile's first group; of a tile's last group
        groups = Signal(2 + units + self.parameters.affine)
        clears = Signal(2 + units)
        tiles = Signal(3 + units + self.parameters.affine)
        # the units of a row take turns, in the cycles after the end of a group
        busy = (
            groups[: units - 1 - self.parameters.midpoint].any() if units > 1 + self.parameters.midpoint else Const(0)
        )
        weights_needed = loaded | (self.parameters.signs == "row")
        m.d.comb += [
            sequence.turns.eq(groups[:units]),
            complete.eq(~planes.last | (self.factors.valid & ~(factors.last & sequence.tile_pending) & ~busy)),
            self.planes.ready.eq((self.weights.valid | ~weights_needed) & (complete | ~loaded)),
            strobes.load.eq(self.planes.valid & self.planes.ready & ~loaded),
            strobes.step.eq(self.planes.valid & self.planes.ready & loaded),
            last_plane.eq(strobes.step & planes.last),
            self.weights.ready.eq(group),
            self.factors.ready.eq(group),
            strobes.convert.eq(sequence.turns.any()),
            strobes.waiting.eq(sequence.turns[1:].any() if units > 1 else 0),
            strobes.multiply.eq(groups[1 : 1 + units].any() | strobes.affine),
            strobes.affine.eq(groups[2] & self.parameters.affine),
            strobes.accumulate.eq(groups[2:].any()),
            strobes.clear.eq(clears[2:].any()),
            strobes.finish.eq(tiles[3 + self.parameters.affine :]),
        ]
        m.d.sync += [
            groups.eq(Cat(group, groups)),
            clears.eq(Cat(group & first_group, clears)),
            tiles.eq(Cat(group & factors.last, tiles)),
        ]
        with m.If(strobes.load):
            m.d.sync += [loaded.eq(1), strobes.first.eq(1)]
        with m.If(strobes.step):
            m.d.sync += [loaded.eq(~planes.last), strobes.first.eq(0)]
        if self.parameters.midpoint:
            m.d.sync += strobes.add_halves.eq(last_plane)
        if self.parameters.skipping:
            with m.If(strobes.load | strobes.step):
                m.d.sync += strobes.skipped.eq(Mux(loaded, planes.skipped, 0))
        with m.If(group):
            m.d.sync += [first_group.eq(factors.last), sequence.scales.eq(factors.scales)]
            with m.If(factors.last):
                m.d.sync += sequence.tile_pending.eq(1)
        if self.parameters.affine:
            # an offset is used a cycle after its scale, when the next group's may already have come
            offsets = Signal.like(sequence.offsets)
            m.d.sync += sequence.offsets.eq(offsets)
            with m.If(group):
                m.d.sync += offsets.eq(factors.offsets)
        return sequence

    def _exponents(self, m: Module, strobes: Any) -> Value:
        """Each row's shared exponent, less the planes that have passed."""
        exponents: Any = Signal(data.ArrayLayout(PARTIAL_EXPONENT, self.parameters.rows))
        with m.If(strobes.load):
            m.d.sync += [exponents[row].eq(self.planes.payload.exponents[row]) for row in range(self.parameters.rows)]
        passed = 1 + strobes.skipped if self.parameters.skipping else 1
        with m.If(strobes.step):
            m.d.sync += [exponents[row].eq(exponents[row] - passed) for row in range(self.parameters.rows)]
        if not self.parameters.midpoint:
            return exponents
        # the next group's exponents are loaded in the cycle that adds the half units
        halved: Any = Signal.like(exponents)
        with m.If(strobes.add_halves):
            m.d.sync += [halved[row].eq(exponents[row] - passed) for row in range(self.parameters.rows)]
        return halved

    def _turn_exponents(self, m: Module, sequence: "_Sequence", exponents: Any) -> Any:
        """The exponents of the group that is converted: the next group's may be coming while units wait for their turn."""
        if self.parameters.units == 1:
            return exponents
        waiting = Signal.like(Value.cast(exponents), name="waiting_exponents")
        with m.If(sequence.turns[0]):
            m.d.sync += waiting.eq(Value.cast(exponents))
        return Mux(sequence.turns[0], Value.cast(exponents), waiting)

    def _planes(self, m: Module, strobes: Any) -> list[Value]:
        """Each row's plane as its units take it."""
        planes = [self.planes.payload.planes[row] for row in range(self.parameters.rows)]
        if self.parameters.signs == "own":
            return planes
        signed: list[Value] = []
        for row, plane in enumerate(planes):
            m.submodules[f"signed_planes_{row}"] = signs = SignedPlanes(
                lanes=self.parameters.lanes, operand_isolation=self.parameters.operand_isolation
            )
            m.d.comb += [signs.load.eq(strobes.load), signs.step.eq(strobes.step), signs.plane.eq(plane)]
            signed.append(signs.signed)
        return signed

    def _activation_sums(
        self, m: Module, strobes: Any, planes: list[Value], exponents: Any
    ) -> tuple[list[Value], list[Value]]:
        """Each row's activation sum, and its flag that the conversion overflows; none without `affine`."""
        totals: list[Value] = []
        saturated: list[Value] = []
        for row in range(self.parameters.rows if self.parameters.affine else 0):
            m.submodules[f"sum_{row}"] = unit = ActivationSum(self.parameters.unit)
            m.d.comb += [
                unit.strobes.eq(strobes),
                unit.plane.eq(planes[row]),
                unit.exponent.eq(exponents[row]),
            ]
            totals.append(Value.cast(unit.total))
            saturated.append(unit.saturated)
        return totals, saturated

    def _columns(
        self,
        m: Module,
        sequence: "_Sequence",
        planes: list[Value],
        exponents: Any,
        totals: list[Value],
        platform: object,
    ) -> list[UnitColumn]:
        """The array: planes go along the rows, weights and factors along the columns."""
        rows, unit = self.parameters.rows, self.parameters.unit
        columns = [UnitColumn(rows, unit) for _ in range(self.parameters.columns // unit.units)]
        weights = Value.cast(self.weights.payload)
        share = len(weights) // len(columns)
        key = f"unit_column_{rows}_{unit.module_suffix}"
        for index, column in enumerate(columns):
            place(m, f"column_{index}", key, column, platform)
            factor = sequence.scales[index]
            if unit.units > 1:
                factor = Signal(FP16.size, name=f"factor_{index}")
                for turn in range(unit.units):
                    with m.If(sequence.turns[turn]):
                        m.d.sync += factor.eq(Value.cast(sequence.scales[index * unit.units + turn]))
            if self.parameters.affine:
                factor = Mux(sequence.strobes.affine, sequence.offsets[index], factor)
            m.d.comb += [
                column.strobes.eq(sequence.strobes),
                column.planes.eq(Cat(planes)),
                column.exponents.eq(exponents),
                column.totals.eq(Cat(totals)),
                Value.cast(column.weights).eq(weights.word_select(index, share)),
                column.factor.eq(factor),
            ]
        return columns

    def _drain(self, m: Module, columns: list[UnitColumn], sequence: "_Sequence") -> None:
        """Send the finished outputs column by column."""
        index = Signal(range(self.parameters.columns))
        last = index == self.parameters.columns - 1
        # the outputs of a token's units stand side by side
        rows, units = range(self.parameters.rows), self.parameters.units
        outputs = Array(
            Cat(Value.cast(column.outputs).word_select(row * units + unit, FP16.size) for row in rows)
            for column in columns
            for unit in range(units)
        )
        m.d.comb += Value.cast(self.outputs.payload).eq(outputs[index])
        with m.If(sequence.strobes.finish[0]):
            m.d.sync += self.outputs.valid.eq(1)
        with m.If(self.outputs.valid & self.outputs.ready):
            m.d.sync += index.eq(Mux(last, 0, index + 1))
            with m.If(last):
                m.d.sync += [self.outputs.valid.eq(0), sequence.tile_pending.eq(0)]


class _Sequence:
    """Signals from sequencer to array: strobes, the group's factors, and a flag while a tile's outputs leave.

    Bit u of `turns` is high while unit u of each row has its dot product converted.
    """

    def __init__(self, columns: int, units: int) -> None:
        self.strobes: Any = Signal(unit_strobes(units))
        self.turns = Signal(units)
        self.scales: Any = Signal(data.ArrayLayout(FP16, columns))
        self.offsets: Any = Signal(data.ArrayLayout(FP16, columns))
        self.tile_pending = Signal()
