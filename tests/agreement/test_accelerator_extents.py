"""Rows outside a buffer: the circuit's flag against `check_program`."""

from contextlib import nullcontext

import numpy as np
import pytest
from anda_codesign.formats import InputError
from anda_codesign.formats.accelerator import AcceleratorConfig, Instruction, Opcode, assemble, check_program
from anda_codesign.formats.accelerator.bounds_check import extents
from anda_codesign.formats.accelerator.instructions import FIELDS
from anda_codesign.rtl import Accelerator, run_accelerator_program
from anda_codesign.rtl.accelerator.top import FLAGS
from anda_codesign.rtl.simulation.compiled import compile_design
from anda_codesign.rtl.simulation.testbenches.accelerator import host_orders
from anda_codesign.rtl.simulation.testbenches.accelerator_circuit import AcceleratorBench

MACHINE = AcceleratorConfig(
    rows=2,
    columns=2,
    lanes=8,
    memory_bits=128,
    plane_depth=60,
    exponent_depth=16,
    weight_depth=100,
    factor_depth=64,
    result_depth=15,
    instruction_depth=4,
    vector_unit=False,
)


def near_the_end(rng: np.random.Generator) -> Instruction:
    """Random instruction that ends close to the end of a buffer."""
    kind = Opcode(rng.choice([Opcode.LOAD, Opcode.STORE, Opcode.GEMM, Opcode.COMPRESS]))
    most = {"blocks": 3, "groups": 3, "output_groups": 2, "stride": 4, "mantissa_bits": 6, "count": 12, "buffer": 1}
    fields = {field.name: int(rng.integers(field.lowest, most.get(field.name, 1) + 1)) for field in FIELDS[kind]}
    for name, (buffer, rows) in extents(MACHINE, Instruction(kind, fields)).items():
        fields[name] = max(0, MACHINE.depth(buffer) - rows + int(rng.choice([-1, 0, 0, 0, 0, 0, 1])))
    return Instruction(kind, fields)


@pytest.mark.tool("g++")
def test_the_circuit_stops_what_the_check_refuses() -> None:
    """Programs of one instruction."""
    rng = np.random.default_rng(0)
    bench = AcceleratorBench(accelerator=Accelerator(MACHINE), memory_depth=1024)
    circuit, memory = compile_design(bench, "cxxrtl"), np.zeros((1, MACHINE.memory_bits // 8), np.uint8)
    stopped: list[bool] = []
    for instruction in [near_the_end(rng) for _ in range(300)]:
        program = [instruction, *assemble("halt")]
        run = circuit.run_streams({"host": host_orders(MACHINE, program, memory)}, {"started": 1, "done": 1}, [], {})
        status = int(run.transfers["done"].payloads[0])
        stopped.append(bool(status >> FLAGS.index("out_of_range") & 1))
        with pytest.raises(InputError) if stopped[-1] else nullcontext():
            check_program(MACHINE, program)
    assert 50 < sum(stopped) < 250


@pytest.mark.tool("g++")
def test_a_far_memory_is_waited_for() -> None:
    """A load takes longer than the usual stall limit before it leaves a record."""
    program = assemble("load buffer=planes address=0 count=60 memory=0\nhalt")
    memory = np.zeros((8, MACHINE.memory_bits // 8), np.uint8)
    run = run_accelerator_program(MACHINE, program, memory, latency_cycles=4095, simulator="cxxrtl")
    assert run.retired["loader"][0] > 4095
