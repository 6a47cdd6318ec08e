"""Steps of the schedule of an array whose elements hold an operand."""

from collections.abc import Iterator

from ..mapping.folds import one_fold
from ..mapping.mapped_gemm import SUM_BITS
from .nest import NestStep, nest_steps
from .steps import OutputBlock, ScheduleStep
from .strips import Span, Strips


def fold_steps(strips: Strips) -> Iterator[ScheduleStep]:
    """Steps of the array in order: the folds of a tile, or of a part of it that finishes outputs."""
    steps = list(nest_steps(strips))
    before: list[NestStep | None] = [None, *steps[:-1]]
    for step, last in zip(steps, before, strict=True):
        yield from _tile_steps(strips, step, last)


def _tile_steps(strips: Strips, step: NestStep, last: NestStep | None) -> Iterator[ScheduleStep]:
    """Folds of the tiles of a step of the nest; outputs leave with the last part of the reduction."""
    mapped = strips.mapped
    weights = mapped.dataflow.held == "weights"
    held, strip = (step.channels, mapped.tile.channels) if weights else (step.tokens, mapped.tile.tokens)
    streamed, size = (step.tokens, mapped.tile.tokens) if weights else (step.channels, mapped.tile.channels)
    folds, runs = -(-step.groups.length // mapped.tile.groups), -(-streamed.length // size) * mapped.step_cycles
    final = step.groups.stop == mapped.groups
    pieces = held.split(strip)
    same = last is not None and _held(last, weights) == _held(step, weights)
    filled = same and one_fold(mapped, strips.mapping)
    groups = pieces if final else [held]
    for number, piece in enumerate(groups):
        block = OutputBlock(streamed, piece) if weights else OutputBlock(piece, streamed)
        cycles = -(-piece.length // strip) * folds * (runs + (0 if filled else mapped.fill_cycles))
        first, ends = number == 0, number == len(groups) - 1
        yield ScheduleStep(
            cycles=cycles,
            spacing=0,
            takes_resident=strips.resident_tensor in step.loads and first,
            takes_stream=strips.stream_tensor in step.loads and first,
            frees_resident=int(strips.resident_tensor in step.frees and ends),
            frees_stream=strips.stream_tensor in step.frees and ends,
            block=block if final else None,
            sums_bits=_sum_accesses(step, folds, final) * SUM_BITS * block.tokens.length * block.channels.length,
        )


def _held(step: NestStep, weights: bool) -> tuple[Span, Span]:
    """The part of the held operand that a step needs."""
    return step.channels if weights else step.tokens, step.groups


def _sum_accesses(step: NestStep, folds: int, final: bool) -> int:
    """Times that each sum passes the port: in and out for each fold, but not into the first or out of the last one."""
    return 2 * folds - (step.groups.start == 0) - final
