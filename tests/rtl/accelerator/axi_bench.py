"""A program on the accelerator behind AXI, with the models of cocotbext-axi: this file runs in the simulator, by cocotb."""

import itertools
import random
from pathlib import Path

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge
from cocotbext.axi import AxiBus, AxiLiteBus, AxiLiteMaster, AxiRam

CONTROL, STATUS, START, BASE, ADDRESS, DATA = 0x00, 0x04, 0x08, 0x0C, 0x10, 0x14
OFFSET = 0x4000


@cocotb.test()
async def programs(dut):
    """A GeMM twice, with pauses on every channel; then an illegal program, and its flag cleared without a reset."""
    memory, program = Path("memory.bin").read_bytes(), Path("program.txt").read_text().split()
    cocotb.start_soon(Clock(dut.clk, 10, "step").start())
    host = AxiLiteMaster(AxiLiteBus.from_prefix(dut, "s_axil"), dut.clk, dut.rst)
    ram = AxiRam(AxiBus.from_prefix(dut, "m_axi"), dut.clk, dut.rst, size=1 << 16)
    random.seed(2)
    for channel in (ram.read_if.ar_channel, ram.read_if.r_channel, ram.write_if.aw_channel, ram.write_if.w_channel):
        channel.set_pause_generator(itertools.cycle([random.random() < 0.3 for _ in range(97)]))
    dut.rst.value = 1
    for _ in range(4):
        await RisingEdge(dut.clk)
    dut.rst.value = 0
    ram.write(OFFSET, memory)
    await host.write_dword(BASE, OFFSET)
    await host.write_dword(ADDRESS, 0)
    for word in [*program, "f"]:  # behind it an instruction that does not exist
        for index in range(4):
            await host.write_dword(DATA + 4 * index, int(word, 16) >> 32 * index & 0xFFFFFFFF)
    for _ in range(2):
        assert await run(dut, host, 0) == 2
        Path("after.bin").write_bytes(ram.read(OFFSET, len(memory)))
        ram.write(OFFSET, memory)
    assert await run(dut, host, len(program)) == 2 | 1 << 8
    assert await run(dut, host, 0) == 2 | 1 << 8  # the flag stays
    await host.write_dword(CONTROL, 2)
    assert await host.read_dword(STATUS) == 0
    assert await run(dut, host, 0) == 2


async def run(dut, host, start):
    await host.write_dword(START, start)
    await host.write_dword(CONTROL, 1)
    for _ in range(20000):
        await RisingEdge(dut.clk)
        if dut.irq.value == 1:
            return await host.read_dword(STATUS)
    raise AssertionError("the program does not end")
