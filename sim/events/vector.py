"""The event model of the vector unit: strips of tokens come from DRAM, pass a port and the lanes, and go back to DRAM.

The half of the activation buffer that the lanes read has its port for itself. Loads, results and stores share the port of the
other half. Where the traffic of the vector unit is not counted, its operands are on chip and only the first port is used.
"""

from ...formats.latency.vector import VECTOR_PIPELINE_CYCLES
from ...workloads.models.gemms import FP16_BITS
from ..analytical.vector_work import VectorWork
from ..config.architecture import Architecture
from ..memory.dram import Dram, Request
from ..processes.timeline import Timeline
from ..processes.units import MemoryPort, Process, Units


def run_vector(
    work: VectorWork, tokens: int, machine: Architecture, dram: Dram, timeline: Timeline | None = None
) -> int:
    """Cycles of one kind of vector work in one layer, in strips with one token for each row of the array.

    Parameters
    ----------
    work
        The work of all tokens.
    tokens
        Tokens of all sequences.
    machine
        The accelerator.
    dram
        A fresh memory; ``activations`` are loads, ``results`` stores.
    timeline
        Records the activity of the units.
    """
    return _Vector(work, -(-tokens // machine.array.rows), machine, dram, timeline).run_work()


class _Vector(Units):
    def __init__(
        self, work: VectorWork, strips: int, machine: Architecture, dram: Dram, timeline: Timeline | None
    ) -> None:
        super().__init__()
        self.part, self.strips, self.dram, self.timeline = work, strips, dram, timeline
        port_bits = machine.activation_buffer.port_bits
        self.read_port, self.fill_port = MemoryPort(port_bits), MemoryPort(port_bits)
        self.room = self.slots("room for a strip", 2)
        self.loaded = self.slots("a loaded strip", 0 if work.loads else strips)
        self.registers = self.slots("a free register file", 2)
        self.values = self.slots("a strip of values")
        self.results = self.slots("a strip of results")

    def run_work(self) -> int:
        """Run all strips."""
        loads = [self._load()] if self.part.loads else []
        stores = [self._store()] if self.part.dram_bits else []
        return self.run(*loads, self._read(), self._compute(), *stores) + VECTOR_PIPELINE_CYCLES

    def _share(self, total: int, strip: int) -> int:
        return self._start(total, strip + 1) - self._start(total, strip)

    def _start(self, total: int, strip: int) -> int:
        return total * strip // self.strips

    def _load(self) -> Process:
        for strip in range(self.strips):
            if wait := self.room.take("loader"):
                yield wait
            bits = self._share(self.part.loads, strip)
            served = self.dram.serve(self.now, Request("activations", self._start(self.part.loads, strip), bits))
            stop = max(served.stop, self.fill_port.serve(served.start, bits).stop)
            if stop > self.now:
                yield self.until(stop)
            self.loaded.give()
            self._note_transfer("loader of activations", served.start, stop, bits)

    def _read(self) -> Process:
        for strip in range(self.strips):
            if wait := self.loaded.take("port"):
                yield wait
            if wait := self.registers.take("port"):
                yield wait
            stop = self.read_port.serve(self.now, self._share(self.part.read_bits, strip)).stop
            if stop > self.now:
                yield self.until(stop)
            self.values.give()
            self.room.give()

    def _compute(self) -> Process:
        for strip in range(self.strips):
            if wait := self.values.take("vector unit"):
                yield wait
            began = self.now
            yield self.after(self._share(self.part.cycles, strip))
            if self.timeline:
                self.timeline.span("vector unit", self.part.name, began, self.now)
            self.registers.give()
            self.results.give()

    def _store(self) -> Process:
        for strip in range(self.strips):
            if wait := self.results.take("writer"):
                yield wait
            now, bits = self.now, self._share(self.part.stores, strip)
            written = self.fill_port.serve(now, bits + self._share(self.part.results * FP16_BITS, strip))
            served = self.dram.serve(now, Request("results", self._start(self.part.stores, strip), bits))
            stop = max(written.stop, served.stop)
            if stop > now:
                yield self.until(stop)
            self._note_transfer("writer", served.start, stop, bits)

    def _note_transfer(self, unit: str, start: int, stop: int, bits: int) -> None:
        if self.timeline:
            self.timeline.transfer(unit, "strip", start, stop, bits)
