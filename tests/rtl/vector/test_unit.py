# amaranth: UnusedElaboratable=no
"""The vector unit against its software twin: bits, flags, cycles."""

import numpy as np
import pytest
from anda_codesign.formats import InputError
from anda_codesign.formats.latency.vector import VECTOR_PIPELINE_CYCLES
from anda_codesign.formats.vector.command import (
    REDUCTIONS,
    Addend,
    Factor,
    Modifier,
    VectorCommand,
    VectorOperation,
    VectorState,
)
from anda_codesign.formats.vector.programs import (
    VectorProgram,
    layer_norm,
    relu,
    residual,
    rms_norm,
    rotation,
    silu,
    softmax,
    square_root,
)
from anda_codesign.rtl.simulation.testbenches.vector import program_streams, run_vector_commands
from anda_codesign.rtl.vector.unit import VectorUnit
from cases import each
from numpy.typing import NDArray

HALVES = np.arange(65536, dtype=np.uint32).astype(np.uint16).view(np.float16)
FINITE = HALVES[np.isfinite(HALVES)]
FUNCTIONS = [VectorOperation.EXPONENTIAL, VectorOperation.RECIPROCAL, VectorOperation.RECIPROCAL_ROOT]


def halves(rng: np.random.Generator, *shape: int) -> NDArray[np.float16]:
    """All magnitudes, subnormals included."""
    return FINITE[rng.integers(0, len(FINITE), shape)]


def assert_same_bits(results: NDArray[np.float16], expected: NDArray[np.float16]) -> None:
    np.testing.assert_array_equal(results.view(np.uint16), expected.view(np.uint16))


@pytest.mark.tool("g++")
@pytest.mark.parametrize("operation", FUNCTIONS)
def test_every_half(operation: VectorOperation) -> None:
    vectors = FINITE.reshape(-1, 8)
    command = VectorCommand(operation=operation, vectors=len(vectors))
    state = VectorState()
    expected = state.execute(command, vectors, lanes=8)
    run = run_vector_commands([command], vectors, lanes=8, simulator="cxxrtl")
    assert_same_bits(run.results, expected)
    assert run.saturated == state.saturated
    assert np.diff(run.result_cycles).tolist() == [1] * (len(vectors) - 1)


@pytest.mark.tool("g++")
@pytest.mark.parametrize("operation", [o for o in VectorOperation if o not in (*REDUCTIONS, VectorOperation.LOAD)])
@each("addend", list(Addend))
def test_random_operands(operation: VectorOperation, addend: Addend) -> None:
    """Pairs of halves of all magnitudes, and every choice of factor and modifier."""
    rng = np.random.default_rng(operation)
    vectors = 500
    choices = [(factor, modifier) for factor in Factor for modifier in Modifier]
    left, right = halves(rng, len(choices) * vectors, 8), halves(rng, len(choices) * vectors, 8)
    load = VectorOperation.LOAD
    commands = [
        VectorCommand(operation=load, destination=1, immediate=0.3),
        VectorCommand(operation=load, destination=2, immediate=-7e-5),
    ]
    state, results, rights = VectorState(), [], []
    for command in commands:
        state.execute(command, lanes=8)
    for index, (factor, modifier) in enumerate(choices):
        command = VectorCommand(
            operation=operation,
            factor=factor,
            modifier=modifier,
            addend=addend,
            subtract=index % 2 == 1,
            factor_scalar=1,
            addend_scalar=2,
            vectors=vectors,
            active=index % 8,
        )
        part = slice(index * vectors, (index + 1) * vectors)
        results.append(state.execute(command, left[part], right[part], lanes=8))
        rights += [right[part]] if command.reads_right else []
        commands.append(command)
    rights = np.concatenate(rights)
    run = run_vector_commands(commands, left, rights, lanes=8, simulator="cxxrtl")
    assert_same_bits(run.results, np.concatenate(results))
    assert run.saturated == state.saturated


PROGRAMS = [
    softmax(11, lanes=4, scale=0.3),
    rms_norm(11, lanes=4),
    layer_norm(12, lanes=4),
    silu(9, lanes=4, gated=True),
    relu(5, lanes=4),
    square_root(5, lanes=4),
    residual(5, lanes=4),
    rotation(5, lanes=4),
]


@pytest.mark.parametrize("program", PROGRAMS)
def test_programs_in_their_stated_cycles(program: VectorProgram) -> None:
    rng = np.random.default_rng(program.channels)
    rows = {name: (rng.standard_normal(program.channels) * 3).astype(np.float16) for name in program.inputs}
    streams = program_streams(program, rows, lanes=4)
    run = run_vector_commands(streams.commands, streams.left, streams.right, lanes=4)
    assert_same_bits(run.results, streams.results)
    assert run.command_cycles[-1] + 1 == program.cycles(4)


@pytest.mark.parametrize("lanes", [1, 2, 8])
@pytest.mark.parametrize("operation", REDUCTIONS)
def test_reductions_of_any_number_of_lanes(lanes: int, operation: VectorOperation) -> None:
    """Two in a row, of whole and partial vectors; then what they left."""
    rng = np.random.default_rng(lanes)
    left = (rng.standard_normal((6, lanes)) * 5).astype(np.float16)
    commands = [
        VectorCommand(operation=operation, factor=Factor.LEFT, destination=0, vectors=5, active=(lanes + 1) // 2),
        VectorCommand(operation=operation, destination=3),
        *[VectorCommand(left_scalar=scalar) for scalar in (0, 3)],
    ]
    state = VectorState()
    state.execute(commands[0], left[:5], lanes=lanes)
    state.execute(commands[1], left[5:], lanes=lanes)
    expected = [state.execute(command, lanes=lanes) for command in commands[2:]]
    run = run_vector_commands(commands, left, lanes=lanes)
    assert_same_bits(run.results, np.concatenate(expected))
    ends = np.cumsum([command.cycles(lanes) for command in commands]) - 1
    assert run.command_cycles == ends.tolist()


def test_results_come_after_the_stated_cycles() -> None:
    left = np.ones((3, 2), np.float16)
    run = run_vector_commands([VectorCommand(vectors=3)], left, lanes=2)
    assert run.left_cycles == [0, 1, 2]
    assert run.result_cycles == [cycle + VECTOR_PIPELINE_CYCLES for cycle in run.left_cycles]


@pytest.mark.parametrize("port", ["command", "left", "right", "results"])
def test_pauses_on_one_port_change_nothing_but_time(port: str) -> None:
    rng = np.random.default_rng(3)
    rows = {name: (rng.standard_normal(11) * 3).astype(np.float16) for name in ("x", "gain", "bias")}
    program = layer_norm(11, lanes=4)
    streams = program_streams(program, rows, lanes=4)
    pauses = {port: (rng.random(97) < 0.6).tolist()}
    run = run_vector_commands(streams.commands, streams.left, streams.right, lanes=4, pauses=pauses)
    assert_same_bits(run.results, streams.results)
    assert run.result_cycles[-1] >= program.cycles(4)


def test_the_flag_is_raised_by_active_lanes_alone() -> None:
    left = np.array([[1, 0]], np.float16)
    reciprocal = VectorCommand(operation=VectorOperation.RECIPROCAL, active=1)
    assert not run_vector_commands([reciprocal], left, lanes=2).saturated
    run = run_vector_commands([reciprocal], left[:, ::-1], lanes=2)
    assert run.saturated and run.results.tolist() == [[65504, 0]]


@pytest.mark.parametrize(
    ("lanes", "message"),
    [
        (0, "lanes: 0"),
        (12, "lanes: 12"),
    ],
)
def test_illegal_parameters(lanes: int, message: str) -> None:
    with pytest.raises(InputError) as error:
        VectorUnit(lanes=lanes)
    assert str(error.value).startswith(message)
