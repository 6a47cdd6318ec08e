"""The accelerator's circuit against its event model, record for record, and against `fp_int_gemm`, bit for bit."""

from dataclasses import replace
from typing import Any

import accelerator_recurrence as recurrence
import numpy as np
import pytest
from anda_codesign.formats import AndaTensor, Int4Weights, fp_int_gemm
from anda_codesign.formats.accelerator import (
    AcceleratorConfig,
    Instruction,
    Schedule,
    assemble,
    compile_gemms,
    program_planes,
    read_outputs,
    read_tensor,
)
from anda_codesign.formats.accelerator.instructions import SCALAR_OPERATIONS, vector
from anda_codesign.formats.accelerator.layout import activation_rows, pack_rows
from anda_codesign.formats.vector.command import REDUCTIONS, Addend, Factor, VectorCommand, VectorOperation
from anda_codesign.rtl import run_accelerator_program, run_accelerator_schedule
from anda_codesign.rtl.simulation.simulate import SimulatorName
from anda_codesign.sim.cycle import accelerator as model
from cases import each
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from machines import SMALL_MACHINE
from numpy.typing import NDArray

MACHINES = [
    SMALL_MACHINE,
    replace(SMALL_MACHINE, rows=1, columns=8, memory_bits=136),
    replace(SMALL_MACHINE, rows=3, columns=4, affine=True, memory_bits=512),
    replace(SMALL_MACHINE, rows=4, columns=1, affine=True),
    replace(SMALL_MACHINE, weight_depth=64),
]
SMALL = replace(
    SMALL_MACHINE,
    plane_depth=56,
    exponent_depth=14,
    weight_depth=96,
    factor_depth=32,
    result_depth=24,
    vector_unit=True,
)
"""Buffers that are large enough for `random_program`, and a vector unit."""


def compare(
    machine: AcceleratorConfig,
    shape: tuple[int, int, int],
    mantissa_bits: int,
    *,
    weight_group: int = 8,
    then: tuple[int, int] | None = None,
    result_mantissa_bits: int | None = None,
    latency_cycles: int = 16,
    seed: int = 0,
    sparsity: float = 0,
    simulator: SimulatorName = "amaranth",
) -> int:
    """Compare circuit, event model and recurrence on ``[tokens, channels] @ [channels, outputs]``; return the cycles.

    With `then` (outputs, M), a second GeMM follows. A fraction `sparsity` of the values is zero.
    """
    rng = np.random.default_rng(seed)
    tokens, channels, outputs = shape
    values = rng.standard_normal((tokens, channels))
    values[rng.random(values.shape) < sparsity] = 0
    activations = [machine.format(mantissa_bits).encode(values.astype(np.float16))]
    weights = [random_weights(rng, channels, outputs, weight_group, machine.affine)]
    expected = fp_int_gemm(activations[0], weights[0])
    between: list[int] = []
    if then is not None:
        weights.append(random_weights(rng, outputs, then[0], weight_group, machine.affine))
        between = [then[1]]
        activations.append(replace(machine.format(then[1]), nonfinite="saturate").encode(expected))
        expected = fp_int_gemm(activations[1], weights[1])
    plan, memory = compile_gemms(
        machine, activations[0], weights, mantissa_bits=between, result_mantissa_bits=result_mantissa_bits
    )
    run = run_accelerator_schedule(plan, memory, latency_cycles=latency_cycles, simulator=simulator)
    if result_mantissa_bits is None:
        np.testing.assert_array_equal(read_outputs(plan, run.memory).view(np.uint16), expected.view(np.uint16))
    else:
        encoded = machine.format(result_mantissa_bits).encode(expected)
        assert read_tensor(plan, run.memory).to_bytes() == encoded.to_bytes()
        assert_image(plan, run.memory, encoded)
    for predict in (model.simulate_schedule, recurrence.solve_schedule):
        predicted = predict(plan, latency_cycles, program_planes(plan, activations))
        assert {kind: list(cycles) for kind, cycles in run.retired.items()} == predicted.retired
        assert run.cycles == predicted.cycles
    return run.cycles


def assert_image(plan: Schedule, memory: NDArray[np.uint8], tensor: AndaTensor) -> None:
    """The stored rows are the memory image of the tensor, bit for bit, plane masks included."""
    rows = activation_rows(tensor, plan.machine)
    for chunk in plan.chunks:
        blocks = slice(chunk.first_block, chunk.first_block + chunk.blocks)
        for region, bits in zip(chunk.outputs, rows, strict=True):
            image = pack_rows(bits[blocks].reshape(region.rows, -1), plan.machine.memory_bits)
            np.testing.assert_array_equal(memory[region.memory : region.memory + len(image)], image)


def random_weights(rng: np.random.Generator, channels: int, outputs: int, group_size: int, affine: bool) -> Int4Weights:
    if not affine:
        return Int4Weights.quantize(rng.standard_normal((channels, outputs)), group_size)
    codes = rng.integers(0, 16, (channels, outputs)).astype(np.int8)
    scales, offsets = (rng.standard_normal((2, -(-channels // group_size), outputs)) / 8).astype(np.float16)
    return Int4Weights(codes, scales, group_size, offsets)


@pytest.mark.parametrize("machine", MACHINES)
def test_every_record_of_a_gemm(machine: AcceleratorConfig) -> None:
    compare(machine, (3, 20, 18), 3, weight_group=16, latency_cycles=30)


@pytest.mark.parametrize("result_mantissa_bits", [None, 3])
def test_every_record_of_a_chain(result_mantissa_bits: int | None) -> None:
    compare(SMALL_MACHINE, (5, 12, 17), 2, then=(9, 9), result_mantissa_bits=result_mantissa_bits)


OPTIONS = [
    {"midpoint": True},
    {"nearest": True},
    {"skipping": True},
    {"midpoint": True, "skipping": True, "affine": True},
    {"nearest": True, "skipping": True},
    {"signs": "row", "units": 2},
    {"signs": "row", "units": 2, "skipping": True},
]


@pytest.mark.parametrize("options", OPTIONS, ids="-".join)
@pytest.mark.parametrize("mantissa_bits", [1, 6])
def test_every_record_with_options(options: dict[str, Any], mantissa_bits: int) -> None:
    """Most values are zero, so that planes are zero. In a chain the compressor makes the plane masks."""
    machine = replace(SMALL_MACHINE, **options)
    compare(machine, (3, 12, 9), mantissa_bits, then=(8, 7), result_mantissa_bits=5, sparsity=0.8)


def test_planes_that_are_skipped_save_cycles() -> None:
    without, skipping = (
        compare(replace(SMALL_MACHINE, skipping=skips), (2, 24, 8), 12, sparsity=0.8) for skips in (False, True)
    )
    assert skipping < without


@pytest.mark.tool("g++")
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_every_record_of_random_gemms(data: st.DataObject) -> None:
    """Sizes with tails in every dimension, short reductions that wait for outputs, short and long memory latencies."""
    compare(
        data.draw(st.sampled_from([SMALL, MACHINES[2], replace(SMALL, signs="row", units=2)])),
        data.draw(st.tuples(st.integers(1, 9), st.integers(1, 30), st.integers(1, 30))),
        data.draw(st.integers(1, 6)),
        weight_group=data.draw(st.sampled_from([8, 16, 32])),
        then=data.draw(st.none() | st.tuples(st.integers(1, 20), st.integers(1, 5))),
        result_mantissa_bits=data.draw(st.none() | st.integers(1, 7)),
        latency_cycles=data.draw(st.integers(2, 100)),
        seed=data.draw(st.integers(0, 1000)),
        simulator="cxxrtl",
    )


EVERY_OPTION = replace(SMALL_MACHINE, rows=4, columns=4, memory_bits=136, midpoint=True, nearest=True, skipping=True)


@pytest.mark.tool("g++")
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_every_record_of_random_gemms_with_every_option(data: st.DataObject) -> None:
    compare(
        EVERY_OPTION,
        data.draw(st.tuples(st.integers(1, 9), st.integers(1, 16), st.integers(1, 20))),
        data.draw(st.integers(1, 16)),
        weight_group=data.draw(st.sampled_from([8, 16])),
        then=data.draw(st.none() | st.tuples(st.integers(1, 20), st.integers(1, 5))),
        result_mantissa_bits=data.draw(st.none() | st.integers(1, 7)),
        latency_cycles=data.draw(st.integers(2, 100)),
        sparsity=data.draw(st.sampled_from([0.5, 0.8, 0.95])),
        seed=data.draw(st.integers(0, 1000)),
        simulator="cxxrtl",
    )


@pytest.mark.slow
@pytest.mark.tool("g++")
def test_every_record_in_verilator() -> None:
    compare(SMALL_MACHINE, (3, 20, 18), 3, then=(9, 4), result_mantissa_bits=5, simulator="verilator")


def random_vector(rng: np.random.Generator) -> Instruction:
    """Random operation on rows of results or scalars, with rows of results or a scalar as its result."""
    operation = VectorOperation(int(rng.integers(len(VectorOperation))))
    to_scalar = operation in SCALAR_OPERATIONS or rng.random() < 0.3
    return vector(
        VectorCommand(
            operation=operation,
            factor=Factor(int(rng.integers(len(Factor)))),
            addend=Addend(int(rng.integers(len(Addend)))),
            left_scalar=None if rng.random() < 0.7 else 1,
            destination=0 if to_scalar else None,
            vectors=int(rng.integers(1, 8)) if operation in REDUCTIONS or not to_scalar else 1,
        ),
        result=12,
    )


def random_program(rng: np.random.Generator) -> list[Instruction]:
    """Random instructions without barriers, which wait for their units and for each other's buffer ports."""
    program: list[Instruction] = []
    for _ in range(14):
        match rng.integers(6):
            case 0 | 1:
                buffer = rng.choice(["planes", "exponents", "weights", "factors", "results"])
                line = f"load buffer={buffer} address=0 count={rng.integers(1, 14)} memory=0"
            case 2:
                line = (
                    "gemm planes=0 exponents=0 weights=0 factors=0 results=0 unsigned_codes=0 "
                    f"groups={rng.integers(1, 4)} output_groups={rng.integers(1, 3)} blocks={rng.integers(1, 4)} "
                    f"mantissa_bits={rng.integers(1, 6)} groups_per_factor={rng.integers(1, 4)}"
                )
            case 3:
                line = (
                    f"compress results=0 planes=0 exponents=0 blocks={rng.integers(1, 4)} stride=1 "
                    f"mantissa_bits={rng.integers(1, 6)}"
                )
            case 4:
                program.append(random_vector(rng))
                continue
            case _:
                buffer = rng.choice(["planes", "exponents", "results"])
                line = f"store buffer={buffer} address=0 count={rng.integers(1, 14)} memory=20"
        program += assemble(line)
    return [*program, *assemble("halt")]


@pytest.mark.tool("g++")
@each("seed", range(20))
def test_every_record_of_programs_without_order(seed: int) -> None:
    program = random_program(np.random.default_rng(seed))
    latency_cycles = 2 + 3 * seed
    memory = np.zeros((64, SMALL.memory_bits // 8), np.uint8)
    run = run_accelerator_program(SMALL, program, memory, latency_cycles=latency_cycles, simulator="cxxrtl")
    for predict in (model.simulate_program, recurrence.solve_program):
        predicted = predict(SMALL, program, latency_cycles)
        assert {kind: list(cycles) for kind, cycles in run.retired.items()} == predicted.retired
        assert run.cycles == predicted.cycles
