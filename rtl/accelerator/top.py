# amaranth: UnusedElaboratable=no
"""The accelerator: controller, matrix engine, compressor, vector unit, loader and storer around the on-chip buffers."""

from typing import Any

from amaranth.hdl import Const, Module, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ...formats.accelerator.config import AcceleratorConfig
from ...formats.accelerator.instructions import ADDRESS_BITS, INSTRUCTION_BITS, MEMORY_ADDRESS_BITS, Buffer, Unit
from ..array.arbiter import share_reads, share_stream
from ..array.buffers import RowBuffer, write_layout
from ..array.engine import MatrixEngine, MatrixEngineParameters
from ..compressor.unit import Compression
from ..interfaces import Stream
from ..isa import RETIRE, RETIRE_INDEX_BITS, RETIRED
from ..vector.sequencer import VectorSequencer
from .controller import Controller
from .dma import Loader, Storer, memory_write_layout
from .sequencer import GemmSequencer

FLAGS = ("illegal", "partial_saturated", "result_saturated", "nonfinite", "vector_saturated", "out_of_range")

STATUS = data.StructLayout(dict.fromkeys(FLAGS, 1))
"""The sticky flags at a program's end, see `Accelerator`."""


class Accelerator(wiring.Component):
    """Runs programs of `formats.accelerator`: whole GeMMs, and chains of them, from memory to memory.

    The host writes a program, then starts it; the controller issues its instructions in order; loader, matrix engine,
    compressor, vector unit and storer work beside each other. On chip are the engine's four buffers and the result buffer, which
    takes the engine's outputs as FP16 and feeds compressor, vector unit and storer.

    Timing: a group takes ``max(M + 1, 4)`` cycles in the array as long as weights come in time; a row of memory moves per
    cycle each way. The cycles of a whole program are those of `sim.cycle.accelerator`, exactly.

    Parameters
    ----------
    config : `AcceleratorConfig`

    Members
    -------
    program : `In(stream.Signature(StructLayout({"address": 14, "data": 128})))`
        Words of the instruction memory to write.
    start : `In(stream.Signature(14))`
        Runs the program from that instruction.
    done : `Out(stream.Signature(STATUS))`
        It has ended: ``halt``, an illegal instruction, or a row that does not exist.
    memory_read : `Out(stream.Signature(32))`
        Rows of memory to read.
    memory_data : `In(stream.Signature(config.memory_bits))`
        These rows, in order.
    memory_write : `Out(stream.Signature(StructLayout({"address": 32, "data": memory_bits})))`
        Rows of memory to write.
    retire : `Out(RETIRE)`
        What is finished in this cycle; nothing waits for it to be read.
    illegal, partial_saturated, result_saturated, nonfinite, vector_saturated, out_of_range : `Out(1)`
        Sticky: an instruction was illegal; a group's conversion, an output overflowed FP16; the compressor replaced an
        infinity or NaN; a result of the vector unit overflowed FP16; a row of a buffer was addressed that does not
        exist. After the last nothing more is issued: the program ends when the units are idle.
    """

    program: Stream
    start: Stream
    done: Stream
    memory_read: Stream
    memory_data: Stream
    memory_write: Stream
    retire: Any
    illegal: Signal
    partial_saturated: Signal
    result_saturated: Signal
    nonfinite: Signal
    vector_saturated: Signal
    out_of_range: Signal

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        self._engine = MatrixEngine(MatrixEngineParameters.from_config(config))
        super().__init__(
            {
                "program": In(stream.Signature(write_layout(INSTRUCTION_BITS))),
                "start": In(stream.Signature(ADDRESS_BITS)),
                "done": Out(stream.Signature(STATUS)),
                "memory_read": Out(stream.Signature(MEMORY_ADDRESS_BITS)),
                "memory_data": In(stream.Signature(config.memory_bits)),
                "memory_write": Out(stream.Signature(memory_write_layout(config.memory_bits))),
                "retire": Out(RETIRE),
                **{flag: Out(1) for flag in FLAGS},
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Connect controller, units and buffers with each other, with the host and with the memory."""
        m = Module()
        config = self.config
        m.submodules.controller = controller = Controller(config)
        m.submodules.engine = engine = self._engine
        m.submodules.loader = loader = Loader(config)
        m.submodules.storer = storer = Storer(config)
        m.submodules.sequencer = sequencer = GemmSequencer(config)
        m.submodules.compression = compression = Compression(config)
        m.submodules.results = results = RowBuffer(width=config.row_bits[Buffer.RESULTS], depth=config.result_depth)
        self._connect_host(m, controller, engine, compression)
        with m.If(engine.out_of_range | results.out_of_range | controller.out_of_range):
            m.d.sync += self.out_of_range.eq(1)
        self._connect_memory(m, loader, storer)
        wiring.connect(m, controller.load, loader.command)
        wiring.connect(m, controller.gemm, sequencer.command)
        wiring.connect(m, controller.compress, compression.command)
        wiring.connect(m, controller.store, storer.command)
        wiring.connect(m, sequencer.tiles, engine.command)
        wiring.connect(m, engine.groups, sequencer.groups)
        wiring.connect(m, loader.write_weights, engine.write_weights)
        wiring.connect(m, loader.write_factors, engine.write_factors)
        share_stream(m, [loader.write_planes, compression.write_planes], engine.write_planes)
        share_stream(m, [loader.write_exponents, compression.write_exponents], engine.write_exponents)
        wiring.connect(m, storer.read_planes, engine.read_planes)
        wiring.connect(m, engine.planes, storer.planes)
        writers = [loader.write_results, sequencer.write]
        readers = [(storer.read_results, storer.results), (compression.read, compression.results)]
        finished: dict[Unit, Value] = {
            Unit.LOADER: loader.finished,
            Unit.MATRIX: sequencer.finished,
            Unit.COMPRESSOR: compression.finished,
            Unit.VECTOR: Const(0),
            Unit.STORER: storer.finished,
        }
        if config.vector_unit:
            m.submodules.vector = vector = VectorSequencer(config)
            wiring.connect(m, controller.vector, vector.command)
            writers.append(vector.write)
            readers.append((vector.read, vector.answer))
            finished[Unit.VECTOR] = vector.finished
            m.d.comb += self.vector_saturated.eq(vector.saturated)
        share_stream(m, writers, results.write)
        share_reads(m, readers, results.read, results.answer, "results")
        m.d.comb += [controller.finished[unit].eq(finished[unit]) for unit in Unit]
        records = {unit.name.lower(): finished[unit] for unit in Unit}
        self._retire(m, {"group": engine.group_done, "tile": engine.tile_done, **records})
        return m

    def _connect_host(self, m: Module, controller: Controller, engine: MatrixEngine, compression: Compression) -> None:
        wiring.connect(m, wiring.flipped(self.program), controller.program)
        wiring.connect(m, wiring.flipped(self.start), controller.start)
        m.d.comb += [
            self.illegal.eq(controller.illegal),
            controller.fault.eq(self.out_of_range),
            self.partial_saturated.eq(engine.partial_saturated),
            self.result_saturated.eq(engine.result_saturated),
            self.nonfinite.eq(compression.nonfinite),
            self.done.valid.eq(controller.done.valid),
            controller.done.ready.eq(self.done.ready),
            *[self.done.payload[flag].eq(getattr(self, flag)) for flag in FLAGS],
        ]

    def _connect_memory(self, m: Module, loader: Loader, storer: Storer) -> None:
        wiring.connect(m, loader.memory_read, wiring.flipped(self.memory_read))
        wiring.connect(m, wiring.flipped(self.memory_data), loader.memory_data)
        wiring.connect(m, storer.memory_write, wiring.flipped(self.memory_write))

    def _retire(self, m: Module, strobes: dict[str, Value]) -> None:
        """Give each finished event of a kind its index, on the `retire` ports."""
        assert tuple(strobes) == RETIRED
        for name, strobe in strobes.items():
            index = Signal(RETIRE_INDEX_BITS, name=f"{name}_index")
            m.d.comb += [self.retire[name].valid.eq(strobe), self.retire[name].index.eq(index)]
            with m.If(strobe):
                m.d.sync += index.eq(index + 1)
