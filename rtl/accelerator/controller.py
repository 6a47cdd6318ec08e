# amaranth: UnusedElaboratable=no
"""The top controller: instruction memory, fetch, decode, and what an instruction waits for."""

from amaranth.hdl import Array, Cat, Module, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ...formats.accelerator.config import AcceleratorConfig
from ...formats.accelerator.instructions import (
    ADDRESS_BITS,
    INSTRUCTION_BITS,
    MAX_UNFINISHED,
    UNITS,
    Opcode,
    Port,
    Unit,
)
from ..array.buffers import RowBuffer, write_layout
from ..interfaces import Stream
from ..isa import is_legal, is_opcode, needs_port, operands, operands_layout


class Controller(wiring.Component):
    """Fetches a program's instructions and hands them to the units, in order, at most one per cycle.

    An instruction waits until its unit takes it, has fewer than four unfinished ones, and the buffer ports that it needs
    are free: a port belongs to the unit that uses it until that unit is idle. A barrier waits for its units, ``halt`` for
    all of them. An illegal instruction, or a program's last word without ``halt``, sets `illegal` and ends the program as
    ``halt`` does; it is not executed. So does any instruction once `fault` is set.

    Timing: the first instruction can be issued two cycles after `start` (`FETCH_CYCLES`), the next one in
    the cycle after it; `done` is valid in the cycle after ``halt`` was.

    Parameters
    ----------
    config : `AcceleratorConfig`
        Sets the size of the instruction memory, the largest legal M, and whether vector instructions are legal.

    Members
    -------
    program : `In(stream.Signature(write_layout(128)))`
        Words of the instruction memory to write, before the start. Always ready.
    start : `In(stream.Signature(14))`
        Runs the program at that address.
    load, gemm, compress, vector, store : `Out(stream.Signature(operands_layout(...)))`
        To the units.
    fault : `In(1)`
        Issue nothing more.
    finished : `In(len(Unit))`
        One bit per `Unit`: it finishes an instruction in this cycle.
    done : `Out(stream.Signature(1))`
        A program has ended; the payload is 1 if it was illegal.
    illegal : `Out(1)`
        Sticky: an instruction was illegal.
    out_of_range : `Out(1)`
        In this cycle a word of the program is written past the end of the memory.
    """

    program: Stream
    start: Stream
    load: Stream
    gemm: Stream
    compress: Stream
    vector: Stream
    store: Stream
    fault: Signal
    finished: Signal
    done: Stream
    illegal: Signal
    out_of_range: Signal

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        self._memory = RowBuffer(width=INSTRUCTION_BITS, depth=config.instruction_depth)
        super().__init__(
            {
                "program": In(stream.Signature(write_layout(INSTRUCTION_BITS))),
                "start": In(stream.Signature(ADDRESS_BITS)),
                **{opcode.name.lower(): Out(stream.Signature(operands_layout(opcode))) for opcode in UNITS},
                "fault": In(1),
                "finished": In(len(Unit)),
                "done": Out(stream.Signature(1)),
                "illegal": Out(1),
                "out_of_range": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Connect fetch, decode, port ownership and the streams to the units."""
        m = Module()
        word = Signal(INSTRUCTION_BITS)
        present = Signal()
        issued = Signal()
        running = Signal()
        self._fetch(m, running, word, present, issued)
        unfinished = self._count_unfinished(m)
        idle = Signal(len(Unit))
        m.d.comb += idle.eq(Cat(count == 0 for count in unfinished))
        legal = Signal()
        past_end = self._memory.answer.payload.tag
        m.d.comb += legal.eq(is_legal(word, self.config.max_mantissa_bits, self.config.vector_unit) & ~past_end)
        free = self._own_ports(m, word, issued, idle)
        with m.If(present & legal & ~self.fault):
            for opcode, unit in UNITS.items():
                self._hand_over(m, word, opcode, issued, free & (unfinished[unit] != MAX_UNFINISHED))
            with m.If(is_opcode(word, Opcode.BARRIER)):
                barrier = operands(word, Opcode.BARRIER)
                waits = [barrier.units[unit] & (unfinished[unit] > barrier.pending) for unit in Unit]
                m.d.comb += issued.eq(~Cat(waits).any())
        ends = ~legal | is_opcode(word, Opcode.HALT) | self.fault
        with m.If(present & ends & idle.all()):
            m.d.comb += issued.eq(1)
            m.d.sync += [
                running.eq(0),
                self.done.valid.eq(1),
                self.done.payload.eq(~legal & ~self.fault),
                self.illegal.eq(self.illegal | (~legal & ~self.fault)),
            ]
        with m.If(self.done.valid & self.done.ready):
            m.d.sync += self.done.valid.eq(0)
        return m

    def _fetch(self, m: Module, running: Signal, word: Signal, present: Signal, issued: Signal) -> None:
        """Read the program ahead; what was read past its end is dropped."""
        m.submodules.instructions = memory = self._memory
        wiring.connect(m, wiring.flipped(self.program), memory.write)
        address = memory.read.payload.address
        m.d.comb += [
            self.out_of_range.eq(self.program.valid & (self.program.payload.address >= memory.depth)),
            memory.read.payload.tag.eq(address >= memory.depth),
            memory.read.valid.eq(running),
            word.eq(memory.answer.payload.data),
            present.eq(running & memory.answer.valid),
            memory.answer.ready.eq(issued | ~running),
            self.start.ready.eq(~running & ~memory.answer.valid & ~self.done.valid),
        ]
        with m.If(memory.read.valid & memory.read.ready):
            m.d.sync += address.eq(address + 1)
        with m.If(self.start.valid & self.start.ready):
            m.d.sync += [running.eq(1), address.eq(self.start.payload)]

    def _count_unfinished(self, m: Module) -> list[Signal]:
        """Number of unfinished instructions of each unit."""
        counts: list[Signal] = []
        for unit in Unit:
            count = Signal(range(MAX_UNFINISHED + 1), name=f"unfinished_{unit.name.lower()}")
            streams = [getattr(self, opcode.name.lower()) for opcode in UNITS if UNITS[opcode] == unit]
            taken = Cat([each.valid & each.ready for each in streams]).any()
            m.d.sync += count.eq(count + taken - self.finished[unit])
            counts.append(count)
        return counts

    def _own_ports(self, m: Module, word: Signal, issued: Signal, idle: Signal) -> Signal:
        """High if the ports that an instruction needs are free or owned by its unit. The unit owns them once it issues."""
        unit = Signal(range(len(Unit)))
        for opcode, each in UNITS.items():
            with m.If(is_opcode(word, opcode)):
                m.d.comb += unit.eq(each)
        free = Signal(len(Port), init=-1)
        for index, port in enumerate(Port):
            name = str(port.name).lower()
            owned = Signal(name=f"{name}_owned")
            owner = Signal.like(unit, name=f"{name}_owner")
            needs = Signal()
            m.d.comb += needs.eq(needs_port(word, port))
            used = owned & ~Array(idle)[owner]
            m.d.comb += free[index].eq(~(needs & used & (owner != unit)))
            m.d.sync += owned.eq(used)
            with m.If(issued & needs):
                m.d.sync += [owned.eq(1), owner.eq(unit)]
        all_free = Signal()
        m.d.comb += all_free.eq(free.all())
        return all_free

    def _hand_over(self, m: Module, word: Signal, opcode: Opcode, issued: Signal, may: Value) -> None:
        """Give an instruction to its unit."""
        unit = getattr(self, opcode.name.lower())
        m.d.comb += Value.cast(unit.payload).eq(Value.cast(operands(word, opcode)))
        with m.If(is_opcode(word, opcode)):
            m.d.comb += [unit.valid.eq(may), issued.eq(may & unit.ready)]
