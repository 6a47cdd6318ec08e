# amaranth: UnusedElaboratable=no
"""The accelerator on buses: its memory port as an AXI4 manager, its host ports as AXI4-Lite registers."""

from enum import IntEnum
from typing import TYPE_CHECKING, Any

from amaranth.hdl import Cat, ClockDomain, ClockSignal, DomainRenamer, Module, ResetSignal, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ...formats import InputError
from ...formats.accelerator.config import AcceleratorConfig
from ...formats.accelerator.instructions import ADDRESS_BITS, INSTRUCTION_BITS
from ..isa import RETIRE
from .top import FLAGS, Accelerator

WORD_BITS = 32
BUS_BITS = (32, 64, 128, 256, 512, 1024)
"""Widths of an AXI4 data bus."""


class Register(IntEnum):
    """Byte addresses of the registers."""

    CONTROL = 0x00
    STATUS = 0x04
    START = 0x08
    BASE = 0x0C
    PROGRAM_ADDRESS = 0x10
    PROGRAM_DATA = 0x14


FIRST_FLAG = 8


class AxiAccelerator(wiring.Component):
    """`Accelerator` with an AXI4 manager for its memory and AXI4-Lite registers for its host.

    A row of memory is one beat: row r is at byte address BASE + r * memory_bits / 8. Reads use one ID, so rows come in order;
    a program is done when its last write has been answered. Error responses of the memory set a flag.

    Registers, 32 bits each, by byte address:

    * 0x00 CONTROL, written: bit 0 starts the program at START; bit 1 clears all sticky flags and the counts of `retire`,
      without a reset of the bus or of memory contents. Both are ignored while a program runs.
    * 0x04 STATUS, read: bit 0 a program runs, bit 1 one is done, bit 2 an error response; bits 8 to 13 the sticky flags in the
      order of `done` of `Accelerator`.
    * 0x08 START: first instruction. 0x0C BASE: byte address of the memory's row 0.
    * 0x10 PROGRAM_ADDRESS: instruction to write next; counts up. 0x14 to 0x20 PROGRAM_DATA: an instruction, lowest word
      first; a write to 0x20 stores it.

    Members
    -------
    irq : `Out(1)`
        A program is done; low again when the next one starts or the flags are cleared.
    retire : `Out(RETIRE)`
        As of `Accelerator`.

    Parameters
    ----------
    config : `AcceleratorConfig`
        Its `memory_bits` are the width of the data bus: 32, 64, 128, 256, 512 or 1024.

    Raises
    ------
    InputError
        The memory is no width of an AXI4 bus.
    """

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """Ports, whose names are made of those of the channels."""

    def __init__(self, config: AcceleratorConfig) -> None:
        if config.memory_bits not in BUS_BITS:
            choices = ", ".join(map(str, BUS_BITS))
            raise InputError(f"memory_bits: {config.memory_bits} is no width of an AXI4 bus; choose one of {choices}")
        self.config = config
        data, strobes = config.memory_bits, config.memory_bits // 8
        address = {"id": 1, "addr": WORD_BITS, "len": 8, "size": 3, "burst": 2}
        members: dict[str, Any] = {}

        def channel(prefix: str, flow: Any, fields: dict[str, int]) -> None:
            back = In if flow is Out else Out
            members.update({f"{prefix}{name}": flow(bits) for name, bits in (fields | {"valid": 1}).items()})
            members[f"{prefix}ready"] = back(1)

        channel("s_axil_aw", In, {"addr": 6, "prot": 3})
        channel("s_axil_w", In, {"data": WORD_BITS, "strb": 4})
        channel("s_axil_b", Out, {"resp": 2})
        channel("s_axil_ar", In, {"addr": 6, "prot": 3})
        channel("s_axil_r", Out, {"data": WORD_BITS, "resp": 2})
        channel("m_axi_aw", Out, address)
        channel("m_axi_w", Out, {"data": data, "strb": strobes, "last": 1})
        channel("m_axi_b", In, {"id": 1, "resp": 2})
        channel("m_axi_ar", Out, address)
        channel("m_axi_r", In, {"id": 1, "data": data, "resp": 2, "last": 1})
        super().__init__(members | {"irq": Out(1), "retire": Out(RETIRE)})

    def elaborate(self, platform: object) -> Module:
        """The accelerator in a clock domain of its own, which a clear resets, between registers and memory channels."""
        m = Module()
        clear, running, done, error = Signal(), Signal(), Signal(), Signal()
        m.domains.core = core = ClockDomain("core", local=True)
        core_reset = Signal()
        m.d.comb += [core.clk.eq(ClockSignal()), core_reset.eq(ResetSignal() | clear), core.rst.eq(core_reset)]
        accelerator: Any = Accelerator(self.config)
        m.submodules.accelerator = DomainRenamer("core")(accelerator)
        base = Signal(WORD_BITS)
        unanswered = self._connect_memory(m, accelerator, base, error)
        self._connect_registers(m, accelerator, base, (running, done, error, clear))
        m.d.comb += [
            accelerator.done.ready.eq(unanswered == 0),
            self.irq.eq(done),
            Value.cast(self.retire).eq(Value.cast(accelerator.retire)),
        ]
        with m.If(accelerator.done.valid & accelerator.done.ready):
            m.d.sync += [running.eq(0), done.eq(1)]
        return m

    def _connect_memory(self, m: Module, accelerator: Any, base: Signal, error: Signal) -> Signal:
        """Rows as single beats; returns the number of writes without an answer."""
        size = (self.config.memory_bits // 8).bit_length() - 1
        read, rows, write = accelerator.memory_read, accelerator.memory_data, accelerator.memory_write
        sent_address, sent_data = Signal(), Signal()
        unanswered = Signal(10)
        free = unanswered != (1 << len(unanswered)) - 1
        for name in ("aw", "ar"):
            channel = f"m_axi_{name}"
            m.d.comb += [getattr(self, f"{channel}size").eq(size), getattr(self, f"{channel}burst").eq(1)]
        address_done = sent_address | (self.m_axi_awvalid & self.m_axi_awready)
        data_done = sent_data | (self.m_axi_wvalid & self.m_axi_wready)
        m.d.comb += [
            self.m_axi_araddr.eq(base + (read.payload << size)),
            self.m_axi_arvalid.eq(read.valid),
            read.ready.eq(self.m_axi_arready),
            rows.payload.eq(self.m_axi_rdata),
            rows.valid.eq(self.m_axi_rvalid),
            self.m_axi_rready.eq(rows.ready),
            self.m_axi_awaddr.eq(base + (write.payload.address << size)),
            self.m_axi_wdata.eq(write.payload.data),
            self.m_axi_wstrb.eq(-1),
            self.m_axi_wlast.eq(1),
            self.m_axi_awvalid.eq(write.valid & ~sent_address & free),
            self.m_axi_wvalid.eq(write.valid & ~sent_data & free),
            write.ready.eq(address_done & data_done),
            self.m_axi_bready.eq(1),
        ]
        moved = write.valid & write.ready
        m.d.sync += [
            sent_address.eq(address_done & ~moved),
            sent_data.eq(data_done & ~moved),
            unanswered.eq(unanswered + moved - self.m_axi_bvalid),
        ]
        with m.If((self.m_axi_rvalid & rows.ready & self.m_axi_rresp[1]) | (self.m_axi_bvalid & self.m_axi_bresp[1])):
            m.d.sync += error.eq(1)
        return unanswered

    def _connect_registers(
        self, m: Module, accelerator: Any, base: Signal, state: tuple[Signal, Signal, Signal, Signal]
    ) -> None:
        """AXI4-Lite: a write is taken when address and data are there, a read when the answer before has been taken."""
        running, done, error, clear = state
        start = Signal(ADDRESS_BITS)
        place = Signal(ADDRESS_BITS)
        word = Signal(INSTRUCTION_BITS)
        writes, reads, starting, storing = Signal(), Signal(), Signal(), Signal()
        data = self.s_axil_wdata
        m.d.comb += [
            writes.eq(self.s_axil_awvalid & self.s_axil_wvalid & ~self.s_axil_bvalid & ~starting & ~storing),
            self.s_axil_awready.eq(writes),
            self.s_axil_wready.eq(writes),
            reads.eq(self.s_axil_arvalid & ~self.s_axil_rvalid),
            self.s_axil_arready.eq(reads),
            accelerator.start.payload.eq(start),
            accelerator.start.valid.eq(starting),
            accelerator.program.payload.address.eq(place),
            accelerator.program.payload.data.eq(word),
            accelerator.program.valid.eq(storing),
        ]
        m.d.sync += [
            self.s_axil_bvalid.eq(writes | (self.s_axil_bvalid & ~self.s_axil_bready)),
            self.s_axil_rvalid.eq(reads | (self.s_axil_rvalid & ~self.s_axil_rready)),
            clear.eq(0),
        ]
        with m.If(starting & accelerator.start.ready):
            m.d.sync += starting.eq(0)
        with m.If(storing & accelerator.program.ready):
            m.d.sync += [storing.eq(0), place.eq(place + 1)]
        with m.If(writes), m.Switch(self.s_axil_awaddr[2:]):
            with m.Case(Register.CONTROL >> 2):
                with m.If(data[0] & ~running):
                    m.d.sync += [starting.eq(1), running.eq(1), done.eq(0)]
                with m.Elif(data[1] & ~running):
                    m.d.sync += [clear.eq(1), done.eq(0), error.eq(0)]
            with m.Case(Register.START >> 2):
                m.d.sync += start.eq(data)
            with m.Case(Register.BASE >> 2):
                m.d.sync += base.eq(data)
            with m.Case(Register.PROGRAM_ADDRESS >> 2):
                m.d.sync += place.eq(data)
            for index in range(INSTRUCTION_BITS // WORD_BITS):
                with m.Case((Register.PROGRAM_DATA >> 2) + index):
                    m.d.sync += word.word_select(index, WORD_BITS).eq(data)
                    if index == INSTRUCTION_BITS // WORD_BITS - 1:
                        m.d.sync += storing.eq(1)
        status = Signal(WORD_BITS)
        flags = [getattr(accelerator, flag) for flag in FLAGS]
        m.d.comb += [
            status[:3].eq(Cat(running, done, error)),
            status[FIRST_FLAG : FIRST_FLAG + len(FLAGS)].eq(Cat(flags)),
        ]
        with m.If(reads), m.Switch(self.s_axil_araddr[2:]):
            for register, value in (
                (Register.STATUS, status),
                (Register.START, start),
                (Register.BASE, base),
                (Register.PROGRAM_ADDRESS, place),
            ):
                with m.Case(register >> 2):
                    m.d.sync += self.s_axil_rdata.eq(value)
            with m.Default():
                m.d.sync += self.s_axil_rdata.eq(0)
