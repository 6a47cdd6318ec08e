# amaranth: UnusedElaboratable=no
"""Vector programs on the accelerator: rows of results in, rows of results out, bits of the twin, cycles of the model."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
from anda_codesign.formats import AndaFormat, Int4Weights, fp_int_gemm
from anda_codesign.formats.accelerator import (
    AcceleratorConfig,
    Instruction,
    Opcode,
    assemble,
    compile_gemms,
    read_outputs,
)
from anda_codesign.formats.accelerator.instructions import Unit, barrier, vector
from anda_codesign.formats.vector.command import Addend, Factor, VectorCommand, VectorOperation
from anda_codesign.formats.vector.programs import RESULT, VectorProgram, layer_norm, relu, silu, softmax
from anda_codesign.rtl import run_accelerator_program, run_accelerator_schedule
from anda_codesign.sim.cycle import accelerator as model
from numpy.typing import NDArray

LANES = 8
MACHINE = AcceleratorConfig(
    rows=2,
    columns=2,
    lanes=LANES,
    memory_bits=128,
    plane_depth=64,
    exponent_depth=16,
    weight_depth=64,
    factor_depth=32,
    result_depth=64,
    instruction_depth=256,
)


def instructions(program: VectorProgram, places: Mapping[str, int], stride: int) -> list[Instruction]:
    return [
        vector(
            step.command,
            left=places.get(step.left or "", 0),
            right=places.get(step.right or "", 0),
            result=places.get(step.result or "", 0),
            stride=stride,
        )
        for step in program.steps
    ]


def assert_program(program: VectorProgram, rows: Mapping[str, NDArray[np.float16]], stride: int = 1) -> None:
    """Load the rows, run the program on one token, store its result."""
    vectors = -(-program.channels // LANES)
    names = [*rows, *sorted({step.result for step in program.steps if step.result} - set(rows))]
    places = {name: 12 * index for index, name in enumerate(names)}
    memory = np.zeros((128, 16), np.uint8)
    load: list[Instruction] = []
    for name, row in rows.items():
        padded = np.pad(row, (0, vectors * LANES - len(row))).reshape(vectors, LANES)
        for index in range(vectors):
            place = places[name] + index * stride
            memory[place] = padded[index].view(np.uint8)
            load += assemble(f"load buffer=results address={place} count=1 memory={place}")
    store = [
        assemble(f"store buffer=results address={places[RESULT] + index * stride} count=1 memory={100 + index}")[0]
        for index in range(vectors)
    ]
    code = [*load, barrier(Unit.LOADER), *instructions(program, places, stride), barrier(Unit.VECTOR), *store]
    code += assemble("halt")
    run = run_accelerator_program(MACHINE, code, memory, list(range(100, 100 + vectors)))
    result = run.memory[100 : 100 + vectors].reshape(-1).view(np.float16)[: program.channels]
    expected = program.run({name: row[None] for name, row in rows.items()}, lanes=LANES)[0]
    np.testing.assert_array_equal(result.view(np.uint16), expected.view(np.uint16))
    predicted = model.simulate_program(MACHINE, code)
    assert {kind: list(cycles) for kind, cycles in run.retired.items()} == predicted.retired
    assert run.cycles == predicted.cycles


def row(channels: int, seed: int) -> NDArray[np.float16]:
    return (np.random.default_rng(seed).standard_normal(channels) * 2).astype(np.float16)


@pytest.mark.parametrize("channels", [5, 8, 19])
def test_softmax(channels: int) -> None:
    assert_program(softmax(channels, lanes=LANES), {"x": row(channels, 0)}, stride=3)


def test_layer_norm() -> None:
    program = layer_norm(16, lanes=LANES)
    assert_program(program, {name: row(16, seed) for seed, name in enumerate(program.inputs)})


def test_activation_functions() -> None:
    for program in (silu(20, lanes=LANES), relu(20, lanes=LANES)):
        assert_program(program, {name: row(20, seed) for seed, name in enumerate(program.inputs)}, stride=2)


def test_an_operand_from_the_right_alone() -> None:
    load = VectorCommand(operation=VectorOperation.LOAD, destination=1, immediate=-1.5)
    scaled = VectorCommand(left_scalar=1, factor=Factor.RIGHT, addend=Addend.RIGHT, vectors=3)
    memory = np.zeros((16, 16), np.uint8)
    values = row(24, 3).reshape(3, LANES)
    memory[:3] = values.view(np.uint8)
    code = [
        *assemble("load buffer=results address=0 count=3 memory=0\nbarrier units=loader pending=0"),
        vector(load),
        vector(scaled, right=0, result=5),
        *assemble("barrier units=vector pending=0\nstore buffer=results address=5 count=3 memory=8\nhalt"),
    ]
    run = run_accelerator_program(MACHINE, code, memory, [8, 9, 10])
    expected = (values.astype(np.float64) * -0.5).astype(np.float16)
    np.testing.assert_array_equal(run.memory[8:11].view(np.float16), expected)
    assert run.cycles == model.simulate_program(MACHINE, code).cycles


def test_a_layer_with_its_activation_function_before_compression() -> None:
    """GeMM, ReLU in place, store: an instruction is put into a compiled program."""
    rng = np.random.default_rng(4)
    a = AndaFormat(4, LANES).encode(rng.standard_normal((2, 16)).astype(np.float16))
    w = Int4Weights.quantize(rng.standard_normal((16, 8)), LANES)
    plan, memory = compile_gemms(MACHINE, a, [w])
    (step,) = relu(2 * LANES, lanes=LANES).steps
    code = list(plan.instructions)
    where = next(index for index, each in enumerate(code) if each.opcode == Opcode.STORE)
    code[where:where] = [vector(step.command, left=0, right=0, result=0), barrier(Unit.VECTOR)]
    run = run_accelerator_schedule(replace(plan, instructions=tuple(code)), memory)
    expected = np.maximum(fp_int_gemm(a, w), np.float16(0))
    np.testing.assert_array_equal(read_outputs(plan, run.memory), expected)


def test_a_vector_result_that_overflows_sets_a_flag() -> None:
    square = VectorCommand(factor=Factor.LEFT)
    memory = np.full((4, 8), 60000, np.float16).view(np.uint8).reshape(4, 16)
    code = [
        *assemble("load buffer=results address=0 count=1 memory=0\nbarrier units=loader pending=0"),
        vector(square, result=1),
        *assemble("halt"),
    ]
    assert run_accelerator_program(MACHINE, code, memory).flags["vector_saturated"]


def test_without_a_vector_unit_its_instructions_are_illegal() -> None:
    code = [vector(VectorCommand()), *assemble("load buffer=planes address=0 count=1 memory=0\nhalt")]
    run = run_accelerator_program(replace(MACHINE, vector_unit=False), code, np.zeros((1, 16), np.uint8))
    assert run.flags["illegal"]
    assert run.retired["vector"] == run.retired["loader"] == ()
