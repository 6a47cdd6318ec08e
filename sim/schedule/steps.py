"""Steps of the array: the order in which it multiplies the strips of a mapping."""

from collections.abc import Iterator
from typing import NamedTuple

from ..mapping.mapped_gemm import SUM_BITS
from .nest import nest_steps
from .strips import Span, Strips


class OutputBlock(NamedTuple):
    """Outputs that one step finishes."""

    tokens: Span
    channels: Span


class ScheduleStep(NamedTuple):
    """Work of the array between two waits.

    Attributes
    ----------
    cycles
        Cycles of work.
    spacing
        Least cycles from the last time that outputs left the array to the end of this step, if outputs leave then; else 0.
    takes_resident
        True if the step needs the next request of the resident operand.
    takes_stream
        True if the step needs the next request of the stream.
    frees_resident
        Loads of the resident operand that are used up when the step ends.
    frees_stream
        True if a strip of the stream is used up when the step ends.
    block
        Outputs that the step finishes; None in the middle of a reduction.
    sums_bits
        Bits of partial sums through the port of the activation buffer.
    """

    cycles: int
    spacing: int
    takes_resident: bool
    takes_stream: bool
    frees_resident: int
    frees_stream: bool
    block: OutputBlock | None
    sums_bits: int = 0


def schedule_steps(strips: Strips) -> Iterator[ScheduleStep]:
    """Steps of the array in order."""
    if strips.mapping.buffered_sums:
        return _buffered_steps(strips)
    return _part_steps(strips) if strips.mapping.in_parts else _resident_steps(strips)


def _part_steps(strips: Strips) -> Iterator[ScheduleStep]:
    """Steps of tiles of the array, each a part of a reduction that stays in the array."""
    mapped = strips.mapped
    for tokens, channels, groups, *_ in nest_steps(strips):
        final = groups.stop == mapped.groups
        block = OutputBlock(tokens, channels) if final else None
        yield ScheduleStep(
            _dense_cycles(strips, groups), mapped.tile_cycles if final else 0, True, True, 1, True, block
        )


def _buffered_steps(strips: Strips) -> Iterator[ScheduleStep]:
    """Steps of larger tiles with a part of the reduction; sums leave the array after each tile of the array.

    The last part of a reduction is done strip by strip of tokens, so that results leave early.
    """
    mapped, rows = strips.mapped, strips.mapped.tile.tokens
    stays, streams = strips.resident_tensor, strips.stream_tensor
    for step in nest_steps(strips):
        alone = mapped.part_cycles(step.groups.length)
        spaced = max(alone, mapped.part_spacing_cycles)
        final = step.groups.stop == mapped.groups
        pieces = step.tokens.split(rows) if final else [step.tokens]
        for tokens in pieces:
            block, last = OutputBlock(tokens, step.channels), tokens.stop == step.tokens.stop
            tiles = _array_tiles(strips, block)
            yield ScheduleStep(
                cycles=alone + (tiles - 1) * spaced,
                spacing=tiles * spaced,
                takes_resident=stays in step.loads and tokens.start == step.tokens.start,
                takes_stream=streams in step.loads and tokens.start == step.tokens.start,
                frees_resident=int(stays in step.frees and last),
                frees_stream=streams in step.frees and last,
                block=block if final else None,
                sums_bits=2 * tiles * mapped.architecture.array.elements * SUM_BITS,
            )


def _resident_steps(strips: Strips) -> Iterator[ScheduleStep]:
    """Steps that multiply each streamed strip by the resident tile; the tile is loaded during its first pass."""
    for number, tile in enumerate(strips.resident_tiles):
        steps = list(_tile_steps(strips, tile, number))
        for index, step in enumerate(steps):
            first = number == index == 0
            takes_parts = first or (strips.in_place and index == 0)
            frees_parts = strips.in_place and index == len(steps) - 1
            if takes_parts or frees_parts:
                yield from _step_in_parts(strips, step, takes_parts, frees_parts, first)
            else:
                yield step


def _tile_steps(strips: Strips, tile: list[Span], number: int) -> Iterator[ScheduleStep]:
    """Steps of a resident tile, the first being number 0. A stream of one strip stays, too.

    The first strip of the stream meets the tile's strips one by one, as they arrive. So does the very last strip of the
    GeMM, so that results leave early, and the last strip of the stream if the tile is replaced strip by strip.
    """
    mapped, stream, whole = strips.mapped, strips.stream_strips, Span(tile[0].start, tile[-1].stop)
    length = mapped.tokens if strips.tokens_stay else mapped.out_channels
    for i, strip in enumerate(stream):
        last = i == len(stream) - 1
        one_by_one = i == 0 or (last and (whole.stop == length or strips.replaced))
        for part in tile if one_by_one else [whole]:
            block = OutputBlock(part, strip) if strips.tokens_stay else OutputBlock(strip, part)
            later = (_array_tiles(strips, block) - 1) * mapped.tile_cycles
            final = part.stop == whole.stop
            yield ScheduleStep(
                cycles=mapped.reduction_cycles + later,
                spacing=later + mapped.tile_cycles,
                takes_resident=i == 0,
                takes_stream=part.start == whole.start and (number == 0 or len(stream) > 1),
                frees_resident=_freed(strips, tile, final) if last else 0,
                frees_stream=final and (whole.stop == length or len(stream) > 1),
                block=block,
            )


def _freed(strips: Strips, tile: list[Span], final: bool) -> int:
    """Strips of a resident tile that its last step, or its last step on one of them, frees."""
    return 1 if strips.replaced else len(tile) * final


def _step_in_parts(
    strips: Strips, step: ScheduleStep, takes_parts: bool, frees_parts: bool, first: bool
) -> Iterator[ScheduleStep]:
    """Split a step so that its first tile of the array takes parts of strips, or its last one frees them.

    Parameters
    ----------
    strips
        Strips of the mapping.
    step
        A step on the first strip of all, or on one that is replaced in place.
    takes_parts
        True if the resident strip arrives in parts.
    frees_parts
        True if the resident strip is freed in parts.
    first
        True if the strip of the stream arrives in parts, too.
    """
    assert step.block is not None
    mapped, tiles = strips.mapped, _array_tiles(strips, step.block)
    empty = ScheduleStep(0, 0, False, False, 0, False, None)
    parts = [empty._replace(cycles=_dense_cycles(strips, groups)) for groups in strips.parts]
    alone = takes_parts and frees_parts and tiles == 1
    whole = tiles - takes_parts - frees_parts + alone
    pieces: list[ScheduleStep] = []
    if takes_parts:
        pieces += [part._replace(takes_resident=True, takes_stream=first, frees_resident=alone) for part in parts]
    if whole:
        pieces.append(empty._replace(cycles=mapped.reduction_cycles + (whole - 1) * mapped.tile_cycles))
    if frees_parts and not alone:
        pieces += [part._replace(frees_resident=1) for part in parts]
    pieces[0] = pieces[0]._replace(takes_stream=step.takes_stream)
    freed = 1 if frees_parts else step.frees_resident
    pieces[-1] = pieces[-1]._replace(
        frees_resident=freed, frees_stream=step.frees_stream, block=step.block, spacing=step.spacing
    )
    yield from pieces


def _array_tiles(strips: Strips, block: OutputBlock) -> int:
    """Tiles of the array in a block."""
    tile = strips.mapped.tile
    return -(-block.tokens.length // tile.tokens) * -(-block.channels.length // tile.channels)


def _dense_cycles(strips: Strips, groups: Span) -> int:
    """Cycles of the array for some groups of a reduction."""
    return strips.mapped.dense_cycles(groups.stop) - strips.mapped.dense_cycles(groups.start)
