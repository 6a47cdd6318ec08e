"""Arbitration of the memory: the fixed order in which the DMA channels use it."""

from collections.abc import Iterator, Sequence
from typing import Literal

from .steps import ScheduleStep

BLOCKS_AHEAD = 3
"""Blocks that the array is ahead of a block when that block's results are stored."""

DmaChannel = Literal["resident", "stream", "results"]
"""A DMA channel: of the operand that stays on chip, of the stream, and of the results."""

Turn = tuple[int, int, int, DmaChannel]
"""Step before which a channel uses the memory, 1 for a store, and the step that needs the load or makes the results."""


def memory_turns(
    steps: Sequence[ScheduleStep], resident_places: int, stream_places: int, tile_loads: int
) -> list[DmaChannel]:
    """Order in which the DMA channels use the memory, fixed beforehand as in a program.

    The load that is needed first comes first. The strips of the next resident tile are spread evenly over the work on the
    present one. A store comes when the array is three blocks ahead. First come, first served would let an early load
    delay a more urgent one.

    The order cannot deadlock: each turn lies between the step that makes room for it and the first step that needs it.

    Parameters
    ----------
    steps
        Steps of the array.
    resident_places, stream_places
        Loads of each operand that are on chip at once.
    tile_loads
        Loads of one resident tile.
    """
    resident = [s.takes_resident for s in steps], [s.frees_resident for s in steps]
    stream = [s.takes_stream for s in steps], [int(s.frees_stream) for s in steps]
    turns = [
        *_load_turns("resident", *resident, places=resident_places, size=tile_loads),
        *_load_turns("stream", *stream, places=stream_places, size=1),
    ]
    blocks = [index for index, step in enumerate(steps) if step.block is not None]
    for number, index in enumerate(blocks):
        turn = blocks[number + BLOCKS_AHEAD] if number + BLOCKS_AHEAD < len(blocks) else len(steps)
        turns.append((turn + 1, 1, index, "results"))
    return [channel for *_, channel in sorted(turns)]


def _load_turns(channel: DmaChannel, takes: list[bool], frees: list[int], places: int, size: int) -> Iterator[Turn]:
    """Turns of an operand's requests.

    Parameters
    ----------
    channel
        DMA channel of the operand.
    takes
        True for each step that takes a request.
    frees
        Loads that each step frees.
    places
        Loads that are on chip at once.
    size
        Loads of a tile.
    """
    stream = channel == "stream"
    needed = [index for index, one in enumerate(takes) if one]
    room = [0] * places + [index + 1 for index, count in enumerate(frees) for _ in range(count)]
    extra = len(needed) + places - len(room)  # the first load may be of several requests
    for number, need in enumerate(needed):
        if number < size + extra:
            yield need, 0, need, channel
            continue
        free, part = room[number - extra], (number - extra) % size
        begin, first = max(free, needed[number - 1]) if stream else free, needed[number - part]
        yield begin + part * (first - begin) // size, 0, need, channel
