"""Timeline of a program's run: its instructions, and the activity of the units."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import islice

from ...formats.accelerator import AcceleratorConfig, Buffer, Instruction, Opcode, disassemble
from ...formats.accelerator.instructions import UNITS
from ...formats.latency.array import FETCH_CYCLES
from ...formats.vector.command import VectorOperation
from ..processes.timeline import Timeline
from .accelerator import ProgramRun
from .liveness import stays

CONTENTS = {
    Buffer.PLANES: "activations",
    Buffer.EXPONENTS: "activations",
    Buffer.WEIGHTS: "weights",
    Buffer.FACTORS: "weights",
    Buffer.RESULTS: "results",
}
"""Contents of the buffers, as named in a timeline."""


def draw_program(
    timeline: Timeline, machine: AcceleratorConfig, program: Sequence[Instruction], run: ProgramRun
) -> None:
    """Record a run in a timeline. Work in a cycle is a span from its beginning to that of the next cycle."""
    program = program[: len(run.issued)]
    _draw_instructions(timeline, machine, program, run)
    _draw_dispatch(timeline, run)
    _draw_array(timeline, machine, program, run)
    _draw_collector(timeline, machine, run)
    _draw_buffers(timeline, machine, program, run)


def _ends(program: Sequence[Instruction], run: ProgramRun) -> Iterator[int]:
    """Cycle in which each instruction ended."""
    ended = {unit: iter(cycles) for unit, cycles in run.ended.items()}
    for instruction, issued in zip(program, run.issued, strict=True):
        yield next(ended[UNITS[instruction.opcode]]) if instruction.opcode in UNITS else issued


def _draw_instructions(
    timeline: Timeline, machine: AcceleratorConfig, program: Sequence[Instruction], run: ProgramRun
) -> None:
    """Record the controller, and the units that execute one instruction at a time."""
    presented, loaded = FETCH_CYCLES, 0
    for instruction, issued, end in zip(program, run.issued, _ends(program, run), strict=True):
        name, text = instruction.opcode.name.lower(), disassemble([instruction]).strip()
        timeline.span("controller", name, presented, issued + 1, instruction=text)
        presented = issued + 1
        if instruction.opcode in (Opcode.LOAD, Opcode.STORE):
            buffer = Buffer(instruction["buffer"])
            bits = instruction["count"] * machine.row_bits[buffer]
            if instruction.opcode == Opcode.LOAD:
                # rows of a load come after those of the previous load
                unit = f"loader of {'weights' if CONTENTS[buffer] == 'weights' else 'activations'}"
                start, loaded = max(issued, loaded) + 1, end
                timeline.transfer(unit, buffer.name.lower(), start, end + 1, bits, "memory reads")
            else:
                timeline.transfer("writer", buffer.name.lower(), issued + 1, end + 1, bits, "memory writes")
        elif instruction.opcode == Opcode.COMPRESS:
            timeline.span("compressor", name, issued + 1, end + 1, instruction=text)
        elif instruction.opcode == Opcode.VECTOR:
            operation = VectorOperation(instruction["operation"]).name.lower()
            timeline.span("vector unit", operation, issued + 1, end + 1, instruction=text)


def _draw_dispatch(timeline: Timeline, run: ProgramRun) -> None:
    for first, last in run.reads:
        timeline.span("dispatcher", "planes of a block", first, last + 1)


def _draw_array(
    timeline: Timeline, machine: AcceleratorConfig, program: Sequence[Instruction], run: ProgramRun
) -> None:
    """Record the array: instructions, and tiles inside them."""
    spans = iter(run.spans)
    for instruction in program:
        if instruction.opcode == Opcode.GEMM:
            count = instruction["blocks"] * instruction["output_groups"] * machine.tiles
            tiles = list(islice(spans, count))
            text = disassemble([instruction]).strip()
            timeline.span("array", "gemm", tiles[0][0], tiles[-1][1] + 1, instruction=text)
            for first, last in tiles:
                timeline.span("array", "tile", first, last + 1)


def _draw_collector(timeline: Timeline, machine: AcceleratorConfig, run: ProgramRun) -> None:
    for index, left in enumerate(run.tiles, 1):
        timeline.span("collector", "columns", left - machine.columns + 1, left + 1)
        if index % machine.tiles == 0:
            timeline.span("collector", "tokens", left + 1, left + 1 + machine.rows)


def _draw_buffers(
    timeline: Timeline, machine: AcceleratorConfig, program: Sequence[Instruction], run: ProgramRun
) -> None:
    """Record the buffers' contents: from the end of the instruction that writes rows to the end of their last reader."""
    ends = list(_ends(program, run))
    changes: dict[str, dict[int, int]] = defaultdict(lambda: defaultdict(int))
    for stay in stays(machine, program):
        bits, buffer = stay.rows * machine.row_bits[stay.buffer], changes[CONTENTS[stay.buffer]]
        buffer[ends[stay.written] + 1] += bits
        buffer[ends[stay.used] + 1] -= bits
    for buffer, of_cycle in changes.items():
        for cycle, bits in sorted(of_cycle.items()):
            timeline.hold(buffer, bits, cycle)
