# amaranth: UnusedElaboratable=no
"""The matrix engine: buffers, dispatch, array and collector; commands in, groups of outputs out."""

from dataclasses import dataclass, fields
from typing import Any, Self

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ...formats import InputError
from ...formats.accelerator.config import AcceleratorConfig
from ...formats.checks import check_integer
from ...formats.latency.array import WEIGHT_LOAD_CYCLES
from ..interfaces import FP16, SKIPPED_BITS, Stream
from .arbiter import share_reads
from .buffers import MAX_DEPTH, PLANE_READ, ActivationBuffer, RowBuffer
from .collector import OutputCollector
from .dispatch import TILES, AddressGenerator, WeightDispatcher
from .mxu import MatrixUnit, MatrixUnitParameters


@dataclass(frozen=True, kw_only=True)
class MatrixEngineParameters(MatrixUnitParameters):
    """The options of a `MatrixEngine`: those of `MatrixUnitParameters`, where `columns` divides `lanes`, and four more.

    `units` is at most 4, so that no group has to wait for them: its weights take four cycles.

    Parameters
    ----------
    depth, exponent_depth, weight_depth, factor_depth : `int`
        Rows of the memories of planes, exponents, weights and factors, 2 to 16384.

    Raises
    ------
    InputError
        A field is out of its range, or `columns` does not divide `lanes`.
    """

    depth: int = 8192
    exponent_depth: int = 8192
    weight_depth: int = 8192
    factor_depth: int = 8192

    def __post_init__(self) -> None:
        super().__post_init__()
        check_integer("units", self.units, 1, WEIGHT_LOAD_CYCLES)
        for name in ("depth", "exponent_depth", "weight_depth", "factor_depth"):
            check_integer(name, getattr(self, name), 2, MAX_DEPTH)
        if self.lanes % self.columns:
            raise InputError(f"columns: {self.columns} does not divide {self.lanes} lanes; choose a divisor")

    @classmethod
    def from_config(cls, config: AcceleratorConfig, **depths: int) -> Self:
        """The engine of an accelerator; `depths` replaces rows of its memories."""
        shared = {field.name for field in fields(cls)} & {field.name for field in fields(config)}
        options: dict[str, Any] = {name: getattr(config, name) for name in shared}
        options |= {"depth": config.plane_depth, **depths}
        return cls(**options)


class MatrixEngine(wiring.Component):
    """Matrix unit with its buffers, address generators, weight dispatcher and output collector.

    It computes the tiles of a command and sends their outputs `lanes` channels at a time. So the tiles of all commands
    together must make whole groups.

    Timing: address generators, dispatcher and array run ahead of each other as far as their streams let them, across
    commands too. A group takes ``max(M + 1, 4)`` cycles (`formats.latency.array.array_cycles_per_group`), plus start, drain
    and collection.

    Parameters
    ----------
    parameters : `MatrixEngineParameters`

    Members
    -------
    command : `In(stream.Signature(TILES))`
    write_planes, write_exponents
        See `ActivationBuffer`, which has masks with `skipping`.
    write_weights, write_factors : `In(stream.Signature(write_layout(...)))`
        Rows of ``lanes * columns`` bits for the `WeightDispatcher`, and rows of the columns' scales, followed by their
        offsets with `affine`.
    groups : `Out(stream.Signature(ArrayLayout(FP16, lanes)))`
        `lanes` outputs of one token; the tokens in turn.
    read_planes : `In(stream.Signature(PLANE_READ))`
    planes : `Out(stream.Signature(plane_rows_layout(rows, lanes, masked=skipping)))`
        Reads of the activation buffer for other circuits. The array waits meanwhile. With `skipping` they are allowed
        only while the engine is idle.
    group_done, tile_done : `Out(1)`
        The array takes the last bit-plane of a group; the last column of a tile leaves the array.
    partial_saturated, result_saturated : `Out(1)`
        See `MatrixUnit`.
    out_of_range : `Out(1)`
        A row that does not exist is read or written in this cycle.
    """

    command: Stream
    write_planes: Stream
    write_exponents: Stream
    write_weights: Stream
    write_factors: Stream
    groups: Stream
    read_planes: Stream
    planes: Stream
    group_done: Signal
    tile_done: Signal
    partial_saturated: Signal
    result_saturated: Signal
    out_of_range: Signal

    def __init__(self, parameters: MatrixEngineParameters) -> None:
        self.parameters = parameters
        rows, columns, lanes = parameters.rows, parameters.columns, parameters.lanes
        affine = parameters.affine
        self._unit = MatrixUnit(parameters)
        self._activations = ActivationBuffer(
            rows=rows,
            lanes=lanes,
            depth=parameters.depth,
            exponent_depth=parameters.exponent_depth,
            masked=parameters.skipping,
        )
        self._weights = RowBuffer(width=lanes * columns, depth=parameters.weight_depth)
        self._factors = RowBuffer(width=16 * columns * (1 + affine), depth=parameters.factor_depth)
        self._dispatcher = WeightDispatcher(
            columns=columns, lanes=lanes, affine=affine, direct=parameters.signs == "row"
        )
        self._collector = OutputCollector(rows=rows, lanes=lanes)
        super().__init__(
            {
                "command": In(stream.Signature(TILES)),
                "write_planes": self._activations.signature.members["write_planes"],
                "write_exponents": self._activations.signature.members["write_exponents"],
                "write_weights": self._weights.signature.members["write"],
                "write_factors": self._factors.signature.members["write"],
                "groups": Out(stream.Signature(data.ArrayLayout(FP16, lanes))),
                "read_planes": self._activations.signature.members["read"],
                "planes": self._activations.signature.members["planes"],
                "group_done": Out(1),
                "tile_done": Out(1),
                "partial_saturated": Out(1),
                "result_saturated": Out(1),
                "out_of_range": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Connect buffers, address generators, dispatcher, array and collector."""
        m = Module()
        m.submodules.matrix_unit = unit = self._unit
        m.submodules.collector = self._collector
        planes, weights, factors = self._address_generators(m)
        buffers = (self._activations, self._weights, self._factors)
        m.d.comb += [
            self.out_of_range.eq(Cat(buffer.out_of_range for buffer in buffers).any()),
            self.partial_saturated.eq(unit.partial_saturated),
            self.result_saturated.eq(unit.result_saturated),
        ]
        self._connect_planes(m, planes)
        self._connect_weights(m, weights)
        self._connect_factors(m, factors)
        wiring.connect(m, unit.outputs, self._collector.columns)
        column = Signal(range(self.parameters.columns))
        moved = unit.outputs.valid & unit.outputs.ready
        last = column == self.parameters.columns - 1
        m.d.comb += [self.group_done.eq(unit.weights.ready), self.tile_done.eq(moved & last)]
        with m.If(moved):
            m.d.sync += column.eq(Mux(last, 0, column + 1))
        wiring.connect(m, self._collector.groups, wiring.flipped(self.groups))
        return m

    def _address_generators(self, m: Module) -> list[AddressGenerator]:
        """An address generator for each kind of row. Each takes the command when it can; the last one finishes it."""
        generators = [
            AddressGenerator(field="planes", skipping=self.parameters.skipping),
            AddressGenerator(field="weights"),
            AddressGenerator(field="factors"),
        ]
        taken = Signal(len(generators))
        takes = Cat(generator.command.ready for generator in generators) | taken
        m.d.comb += self.command.ready.eq(takes.all())
        with m.If(self.command.valid):
            m.d.sync += taken.eq(Mux(takes.all(), 0, takes))
        for index, generator in enumerate(generators):
            m.submodules[f"{generator.field}_addresses"] = generator
            m.d.comb += [
                generator.command.valid.eq(self.command.valid & ~taken[index]),
                generator.command.payload.eq(self.command.payload),
            ]
        return generators

    def _connect_planes(self, m: Module, addresses: AddressGenerator) -> None:
        """Connect plane addresses, activation buffer and array."""
        m.submodules.activations = buffer = self._activations
        wiring.connect(m, wiring.flipped(self.write_planes), buffer.write_planes)
        wiring.connect(m, wiring.flipped(self.write_exponents), buffer.write_exponents)
        read: Stream = stream.Signature(PLANE_READ).create(path=("read_for_array",))
        m.d.comb += [
            read.valid.eq(addresses.requests.valid),
            addresses.requests.ready.eq(read.ready),
            read.payload.plane.eq(addresses.requests.payload.address),
            read.payload.exponents.eq(addresses.requests.payload.exponents),
            read.payload.last.eq(addresses.requests.payload.last_row),
        ]
        users = [(self.read_planes, self.planes), (read, self._unit.planes)]
        share_reads(m, users, buffer.read, buffer.planes, "planes")
        if self.parameters.skipping:
            # a group's mask is read with each of its planes, and stands at the buffer's output until the next group's;
            # a plane comes before the next one is asked for
            # (the array's payload has `skipped` where the buffer's has the mask)
            skipped = Signal(SKIPPED_BITS)
            m.d.comb += [
                addresses.mask.eq(buffer.planes.payload.mask),
                self._unit.planes.payload.skipped.eq(skipped),
            ]
            with m.If(addresses.requests.valid & addresses.requests.ready):
                m.d.sync += skipped.eq(addresses.requests.payload.skipped)

    def _connect_weights(self, m: Module, addresses: AddressGenerator) -> None:
        """Connect weight addresses, buffer, dispatcher and array."""
        m.submodules.weights = buffer = self._weights
        m.submodules.dispatcher = dispatcher = self._dispatcher
        wiring.connect(m, wiring.flipped(self.write_weights), buffer.write)
        _read(m, addresses, buffer, addresses.requests.payload.unsigned_codes)
        m.d.comb += [
            dispatcher.rows.valid.eq(buffer.answer.valid),
            buffer.answer.ready.eq(dispatcher.rows.ready),
            dispatcher.rows.payload.codes.eq(buffer.answer.payload.data),
            dispatcher.rows.payload.unsigned_codes.eq(buffer.answer.payload.tag),
        ]
        wiring.connect(m, dispatcher.weights, self._unit.weights)

    def _connect_factors(self, m: Module, addresses: AddressGenerator) -> None:
        """Connect factor addresses, buffer and array."""
        m.submodules.factors = buffer = self._factors
        wiring.connect(m, wiring.flipped(self.write_factors), buffer.write)
        _read(m, addresses, buffer, addresses.requests.payload.last_group)
        factors = self._unit.factors
        m.d.comb += [
            factors.valid.eq(buffer.answer.valid),
            buffer.answer.ready.eq(factors.ready),
            # without offsets they are zero
            Cat(Value.cast(factors.payload.scales), Value.cast(factors.payload.offsets)).eq(buffer.answer.payload.data),
            factors.payload.last.eq(buffer.answer.payload.tag),
        ]


def _read(m: Module, addresses: AddressGenerator, buffer: RowBuffer, tag: Value) -> None:
    """Let an address generator read a buffer."""
    m.d.comb += [
        buffer.read.valid.eq(addresses.requests.valid),
        addresses.requests.ready.eq(buffer.read.ready),
        buffer.read.payload.address.eq(addresses.requests.payload.address),
        buffer.read.payload.tag.eq(tag),
    ]
