"""Programs of the accelerator as timelines, and how long the rows of its buffers are needed."""

from collections import Counter, defaultdict
from dataclasses import replace
from itertools import pairwise

import pytest
from anda_codesign.formats import InputError
from anda_codesign.formats.accelerator import Buffer, Instruction, Layer, Opcode, assemble, schedule
from anda_codesign.formats.accelerator.instructions import UNITS as UNIT_OF
from anda_codesign.sim import Timeline, simulate
from anda_codesign.sim.cycle.accelerator import simulate_program
from anda_codesign.sim.cycle.liveness import rows_read, rows_written, stays
from anda_codesign.sim.cycle.program_timeline import draw_program
from anda_codesign.sim.processes.timeline import UNITS
from anda_codesign.workloads import Gemm, Precision
from machines import SMALL_MACHINE

CLOCK = 1e6
"""A cycle is a microsecond."""

MACHINE = replace(SMALL_MACHINE, vector_unit=True)
CHAIN = schedule(MACHINE, 9, [Layer(20, 18, 3), Layer(18, 9, 4)], 5).instructions
VECTORS = assemble(
    """
    load buffer=results address=0 count=6 memory=0
    barrier units=loader pending=0
    vector left=0 right=3 result=6 stride=1 vectors=3 operation=multiply_add modifier=plain factor=right addend=zero \
      subtract=0 left_is_scalar=0 left_scalar=0 factor_scalar=0 addend_scalar=0 to_scalar=0 destination=0 active=0 immediate=0
    barrier units=vector pending=0
    store buffer=results address=6 count=3 memory=8
    halt
    """.replace("\\\n", "")
)
PROGRAMS = {"chain": CHAIN, "vectors": tuple(VECTORS)}


def draw(program: tuple[Instruction, ...]) -> dict[str, list[dict]]:
    """Events by kind, times in cycles."""
    run, timeline = simulate_program(MACHINE, program), Timeline(CLOCK)
    draw_program(timeline, MACHINE, program, run)
    timeline.finish("program", run.cycles)
    kinds: dict[str, list[dict]] = defaultdict(list)
    for event in timeline.to_chrome()["traceEvents"]:
        kinds[event["ph"]].append(event)
    return kinds


def spans(kinds: dict[str, list[dict]], unit: str) -> list[tuple[int, int, str]]:
    """Spans of a unit, the earliest first; enclosing spans come before the spans inside them."""
    found = (e for e in kinds["X"] if e["tid"] == UNITS.index(unit))
    times = ((round(e["ts"]), round(e["ts"] + e["dur"]), e["name"]) for e in found)
    return sorted(times, key=lambda span: (span[0], -span[1]))


def test_spans_nest() -> None:
    for program in PROGRAMS.values():
        kinds = draw(program)
        for unit in UNITS:
            open_until: list[int] = []
            for start, stop, _ in spans(kinds, unit):
                while open_until and open_until[-1] <= start:
                    open_until.pop()
                assert start < stop
                assert not open_until or stop <= open_until[-1]
                open_until.append(stop)


def test_the_controller_shows_every_instruction_without_a_gap() -> None:
    for program in PROGRAMS.values():
        (_, end, whole), *steps = spans(draw(program), "controller")
        assert whole == "program"
        assert [step[2] for step in steps] == [each.opcode.name.lower() for each in program]
        assert all(first[1] == second[0] for first, second in pairwise(steps))
        assert steps[-1][1] == end - 1  # the end is told in the last cycle


def test_units_show_their_instructions_and_tiles() -> None:
    kinds = draw(CHAIN)
    count = Counter(UNIT_OF[each.opcode].name for each in CHAIN if each.opcode in UNIT_OF)
    shown = {unit: Counter(name for _, _, name in spans(kinds, unit)) for unit in UNITS}
    assert shown["compressor"] == {"compress": count["COMPRESSOR"]}
    assert shown["writer"].total() == count["STORER"]
    assert shown["loader of activations"].total() + shown["loader of weights"].total() == count["LOADER"]
    gemms = [each for each in CHAIN if each.opcode == Opcode.GEMM]
    blocks = sum(each["blocks"] for each in gemms)
    assert shown["dispatcher"] == {"planes of a block": blocks}
    assert shown["array"] == {"gemm": len(gemms), "tile": blocks * MACHINE.tiles}
    assert shown["collector"] == {"columns": blocks * MACHINE.tiles, "tokens": blocks}
    assert spans(draw(PROGRAMS["vectors"]), "vector unit")[0][2] == "multiply_add"


def test_bytes_are_those_of_the_instructions() -> None:
    moved: dict[str, int] = defaultdict(int)
    for each in CHAIN:
        if each.opcode in (Opcode.LOAD, Opcode.STORE):
            moved[each.opcode.name] += each["count"] * MACHINE.row_bits[Buffer(each["buffer"])] // 8
    shown: dict[str, int] = defaultdict(int)
    for event in draw(CHAIN)["X"]:
        kind = "STORE" if UNITS[event["tid"]] == "writer" else "LOAD"
        shown[kind] += event["args"].get("bytes", 0)
    assert shown == moved


def test_buffers_hold_no_more_than_they_can_and_end_empty() -> None:
    for program in PROGRAMS.values():
        kinds, bits, depth = draw(program), MACHINE.row_bits, MACHINE.depth
        holds = {
            "activations": (Buffer.PLANES, Buffer.EXPONENTS),
            "weights": (Buffer.WEIGHTS, Buffer.FACTORS),
            "results": (Buffer.RESULTS,),
        }
        for contents, buffers in holds.items():
            held = [e["args"]["KiB"] for e in kinds["C"] if e["name"] == f"{contents} held"]
            capacity = sum(depth(buffer) * bits[buffer] for buffer in buffers) / 8192
            assert all(0 <= each <= capacity for each in held)
            assert not held or (max(held) > 0 and held[-1] == 0)


def test_rows_stay_from_their_writer_to_their_last_reader() -> None:
    """Row by row and instruction by instruction."""
    for program in PROGRAMS.values():
        expected = Counter[tuple[Buffer, int, int]]()

        def touches(rows: list[tuple[Buffer, int, int]], buffer: Buffer, row: int) -> bool:
            return any(each == buffer and first <= row < first + count for each, first, count in rows)

        reads, writes = ([rows(MACHINE, each) for each in program] for rows in (rows_read, rows_written))
        for buffer in Buffer:
            for row in range(MACHINE.depth(buffer)):
                writers = [index for index in range(len(program)) if touches(writes[index], buffer, row)]
                for writer, after in pairwise([*writers, len(program)]):
                    users = [index for index in range(writer + 1, after + 1) if index < len(program)]
                    users = [index for index in users if touches(reads[index], buffer, row)]
                    expected[buffer, writer, users[-1] if users else writer] += 1
        found = Counter[tuple[Buffer, int, int]]()
        for stay in stays(MACHINE, program):
            found[stay.buffer, stay.written, stay.used] += stay.rows
        assert found == expected


def test_a_compiled_program_reads_what_it_writes() -> None:
    """Rows that nobody reads would be a wrong address here or there; padding of the last block is read as well."""
    assert all(stay.used > stay.written for stay in stays(MACHINE, CHAIN))


def test_a_gemm_at_the_level_of_instructions() -> None:
    work, timeline = [Gemm("u", 40, 512, 256), Gemm("d", 20, 256, 64)], Timeline(285e6)
    seen = simulate(work, "anda", Precision.uniform(5), "cycle", timeline=timeline)
    assert seen.runs == simulate(work, "anda", Precision.uniform(5), "cycle").runs
    shown = {UNITS[e["tid"]] for e in timeline.to_chrome()["traceEvents"] if e["ph"] == "X"}
    assert shown == set(UNITS) - {"vector unit"}
    with pytest.raises(InputError, match=r"^group_cycles: level cycle"):
        simulate(work, "anda", Precision.uniform(5), "cycle", group_cycles=dict.fromkeys(("u", "d"), 5.0))
