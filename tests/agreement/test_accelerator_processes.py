"""The accelerator's processes against a recurrence and the closed form; a deadlock names what each process waits for."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from accelerator_recurrence import solve_program
from anda_codesign.formats import InputError
from anda_codesign.formats.accelerator import AcceleratorConfig, Instruction, Layer, Unit, assemble, schedule
from anda_codesign.formats.accelerator.instructions import vector
from anda_codesign.formats.vector.command import REDUCTIONS, Addend, Factor, VectorCommand, VectorOperation
from anda_codesign.sim.cycle.accelerator import (
    AcceleratorProcesses,
    SentPlanes,
    simulate_program,
    simulate_schedule,
)
from anda_codesign.sim.cycle.matrix_engine import MatrixEngineProcesses
from anda_codesign.sim.processes.units import DeadlockError, Process
from hypothesis import given, settings
from hypothesis import strategies as st
from latencies import matrix_engine_cycles
from machines import SMALL_MACHINE

MACHINE = replace(SMALL_MACHINE, instruction_depth=16384, vector_unit=True)
DEPTHS = {f"{name}_depth": 4096 for name in ("plane", "exponent", "weight", "factor", "result")}
ROOMY = replace(MACHINE, **DEPTHS)


@st.composite
def machines(draw: st.DrawFn) -> AcceleratorConfig:
    """Random array, with buffers for at least a block of tokens with 30 channels."""
    columns = draw(st.sampled_from([1, 2, 4, 8]))
    return AcceleratorConfig(
        rows=draw(st.integers(1, 5)),
        columns=columns,
        lanes=8,
        affine=draw(st.booleans()),
        memory_bits=draw(st.sampled_from([256, 320, 1024])),
        plane_depth=draw(st.sampled_from([80, 200, 1000])),
        exponent_depth=draw(st.sampled_from([16, 64])),
        weight_depth=draw(st.sampled_from([128, 200, 512])),
        factor_depth=draw(st.sampled_from([32, 128])),
        result_depth=draw(st.sampled_from([10, 30])),
        instruction_depth=16384,
        midpoint=draw(st.booleans()),
        skipping=draw(st.booleans()),
    )


layers = st.tuples(st.integers(1, 30), st.integers(1, 30), st.integers(1, 8), st.integers(1, 5))
latencies = st.integers(2, 40) | st.integers(60, 70) | st.integers(100, 300)


def assert_equal(
    machine: AcceleratorConfig, program: list[Instruction], latency_cycles: int, sent_planes: SentPlanes | None = None
) -> None:
    run = simulate_program(machine, program, latency_cycles, sent_planes)
    expected = solve_program(machine, program, latency_cycles, sent_planes)
    assert run.retired == expected.retired
    assert run.cycles == expected.cycles


@settings(max_examples=250, deadline=None)
@given(st.data(), machines(), st.integers(1, 12), st.lists(layers, min_size=1, max_size=3), latencies)
def test_chains_of_gemms(
    data: st.DataObject,
    machine: AcceleratorConfig,
    tokens: int,
    shapes: list[tuple[int, int, int, int]],
    latency_cycles: int,
) -> None:
    """All records are equal for any array, buffers, options, memory and shapes."""
    chain = [Layer(shapes[0][0], *shapes[0][1:])]
    chain += [Layer(before[1], *shape[1:]) for before, shape in pairwise(shapes)]
    plan = schedule(machine, tokens, chain, data.draw(st.none() | st.integers(1, 8)))
    rng, sent = np.random.default_rng(data.draw(st.integers(0, 99))), None
    if machine.skipping:
        gemms = [each for each in plan.instructions if each.opcode.name == "GEMM"]
        sent = [rng.integers(1, each["mantissa_bits"] + 1, (each["blocks"], each["groups"])) for each in gemms]
    assert_equal(machine, list(plan.instructions), latency_cycles, sent)


def transfers(kind: str, buffers: list[str]) -> st.SearchStrategy[str]:
    return st.builds(
        f"{kind} buffer={{}} address=0 count={{}} memory=0".format, st.sampled_from(buffers), st.integers(1, 90)
    )


gemms = st.builds(
    (
        "gemm planes=0 exponents=0 weights=0 factors=0 results=0 unsigned_codes=0 "
        "groups={} output_groups={} blocks={} mantissa_bits={} groups_per_factor=2"
    ).format,
    st.integers(1, 6),
    st.integers(1, 3),
    st.integers(1, 4),
    st.integers(1, 7),
)
compressions = st.builds(
    "compress results=0 planes=0 exponents=0 blocks={} stride=1 mantissa_bits={}".format,
    st.integers(1, 4),
    st.integers(1, 7),
)
barriers = st.builds(
    "barrier units={} pending={}".format,
    st.lists(st.sampled_from(["loader", "matrix", "compressor", "vector", "storer"]), min_size=1, unique=True).map(
        "|".join
    ),
    st.integers(0, 4),
)


@st.composite
def vectors(draw: st.DrawFn) -> Instruction:
    operation = draw(st.sampled_from(VectorOperation))
    to_scalar = operation in (*REDUCTIONS, VectorOperation.LOAD) or draw(st.booleans())
    command = VectorCommand(
        operation=operation,
        factor=draw(st.sampled_from(Factor)),
        addend=draw(st.sampled_from(Addend)),
        left_scalar=draw(st.none() | st.just(1)),
        destination=0 if to_scalar else None,
        vectors=draw(st.integers(1, 9)) if operation in REDUCTIONS or not to_scalar else 1,
    )
    return vector(command)


lines = transfers("load", ["planes", "exponents", "weights", "factors", "results"]) | transfers(
    "store", ["planes", "exponents", "results"]
)


@settings(max_examples=250, deadline=None)
@given(
    st.lists((lines | gemms | compressions | barriers).map(lambda line: assemble(line)[0]) | vectors(), max_size=25),
    latencies,
)
def test_programs_without_order(instructions: list[Instruction], latency_cycles: int) -> None:
    """Instructions in any order, which wait for their units and for each other's ports."""
    assert_equal(ROOMY, [*instructions, *assemble("halt")], latency_cycles)


@given(machines(), st.integers(1, 6), st.integers(1, 3), st.integers(1, 5), st.integers(1, 9))
def test_operands_on_chip_give_the_closed_form(
    machine: AcceleratorConfig, groups: int, outputs: int, blocks: int, m: int
) -> None:
    """A ``gemm`` with its operands on chip takes the cycles of the formula, from its command to its last results."""
    text = (
        "gemm planes=0 exponents=0 weights=0 factors=0 results=0 unsigned_codes=0 "
        f"groups={groups} output_groups={outputs} blocks={blocks} mantissa_bits={m} groups_per_factor=1\nhalt"
    )
    expected = matrix_engine_cycles(
        blocks * outputs * machine.tiles,
        groups,
        m,
        rows=machine.rows,
        columns=machine.columns,
        lanes=machine.lanes,
        affine=machine.affine,
        midpoint=machine.midpoint,
    )
    run = simulate_program(replace(machine, **DEPTHS), assemble(text))
    assert run.retired["matrix"][0] - run.issued[0] == expected


def test_rows_that_do_not_exist_are_refused() -> None:
    with pytest.raises(InputError) as caught:
        simulate_program(MACHINE, assemble("load buffer=planes address=60 count=5 memory=0\nhalt"))
    assert str(caught.value) == (
        "address: instruction 0, load, reaches row 64 of planes, the machine has 64; "
        "lower it, or choose a machine with more"
    )


def test_what_the_machine_cannot_do_ends_the_program() -> None:
    load = "load buffer=planes address=0 count=3 memory=0"
    gemm = (
        "gemm planes=0 exponents=0 weights=0 factors=0 results=0 unsigned_codes=0 "
        "groups=1 output_groups=1 blocks=1 mantissa_bits=9 groups_per_factor=1"
    )
    halt = simulate_program(MACHINE, assemble(f"{load}\nhalt"))
    assert simulate_program(replace(MACHINE, vector_unit=False), [*assemble(load), vector(VectorCommand())]) == halt
    assert simulate_program(replace(MACHINE, max_mantissa_bits=8), assemble(f"{load}\n{gemm}\n{load}\nhalt")) == halt
    assert len(halt.issued) == 2


def test_a_collector_without_room_stops_everyone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message lists all waiting processes, from the controller to the one that waits for the missing resource."""

    def collect(self: MatrixEngineProcesses) -> Process:
        yield from self.computed.get("collector")
        if wait := self.units.slots("a free row of results").take("collector"):
            yield wait

    monkeypatch.setattr(MatrixEngineProcesses, "_collect", collect)
    with pytest.raises(DeadlockError) as caught:
        simulate_schedule(schedule(MACHINE, 5, [Layer(20, 18, 3)], 4))
    assert str(caught.value) == (
        "deadlock in cycle 191: "
        "the controller, at gemm, waits for the array to take another instruction; "
        "the dispatcher of planes waits for the last row of planes to be wanted; "
        "the dispatcher of weights waits for the last row of weights to be wanted; "
        "the dispatcher of factors waits for the last row of factors to be wanted; "
        "the sequencer waits for a dispatcher to take a command; "
        "the buffer of weights waits for the array to be done with a group; "
        "the array waits for the collector to take the tile before; "
        "the collector waits for a free row of results"
    )


def test_a_memory_that_takes_no_rows_stops_a_program_at_its_barrier() -> None:
    """The writer never completes its store. A barrier, another store and ``halt`` wait for it."""
    store = "store buffer=results address=0 count=1 memory=0"

    class Stuck(AcceleratorProcesses):
        def _work(self, unit: Unit) -> Process:
            if unit != Unit.STORER:
                yield from super()._work(unit)
            yield from self.stations[unit].instructions.get("writer")
            if wait := self.slots("the memory to take a row").take("writer"):
                yield wait

    for line, who in (("barrier units=storer pending=0", "barrier"), (store, "store"), ("halt", "halt")):
        waits = "take another instruction" if line == store else "end an instruction"
        with pytest.raises(DeadlockError) as caught:
            Stuck(MACHINE).execute(assemble(f"{store}\n{line}\nhalt"))
        assert str(caught.value) == (
            f"deadlock in cycle 3: the controller, at {who}, waits for the writer to {waits}; "
            "the writer waits for the memory to take a row"
        )
