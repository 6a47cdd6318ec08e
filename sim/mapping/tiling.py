"""The legal tilings of a GeMM, which differ in the operand that stays on chip.

The array is output-stationary: a tile of outputs stays in the elements until its reduction is complete, and partial sums
never leave them. Reuse beyond one tile comes from the buffers, in one of three ways:

* ``activations`` stay: a tile of tokens with all input channels is loaded once, and all weights stream past it. The
  weights are fetched once a token tile, so shorter activations mean fewer fetches;
* ``weights`` stay: a tile of output channels with all input channels is loaded once, and all activations stream past it;
* ``nothing`` stays: both operands stream, a part of the reduction at a time, again for each tile of the array.

The stream is double-buffered. So is the resident tile, unless it is the only one, or it is the smallest that the array can
use and does not fit twice. In that case it is replaced in place, part by part, as the array uses it for the last time.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ...formats import InputError
from .mapped_gemm import MappedGemm
from .tiling_rule import Resident


@dataclass(frozen=True, slots=True)
class Tiling:
    """The resident operand and the tile sizes."""

    resident: Resident
    tokens: int
    """Tokens of an activation tile."""
    channels: int
    """Output channels of a weight tile."""
    copies: int
    """Tiles of the resident operand that the buffer holds: 2 if double-buffered, else 1."""

    def activation_passes(self, mapped: MappedGemm) -> int:
        """Number of times that all activations are fetched from DRAM."""
        return 1 if self.resident == "activations" else -(-mapped.out_channels // self.channels)

    def weight_passes(self, mapped: MappedGemm) -> int:
        """Number of times that all weights are fetched from DRAM."""
        return 1 if self.resident == "weights" else -(-mapped.tokens // self.tokens)

    def in_place(self, mapped: MappedGemm) -> bool:
        """True if a resident tile is replaced in place."""
        whole = self.tokens == mapped.tokens if self.resident == "activations" else self.channels == mapped.out_channels
        return self.copies == 1 and not whole

    def __str__(self) -> str:
        tile = f"{self.tokens} tokens x {self.channels} output channels"
        return f"{self.resident} resident, {tile}, {'double' if self.copies == 2 else 'single'}-buffered"


def tilings(mapped: MappedGemm) -> list[Tiling]:
    """The legal tilings that can be best.

    A larger resident tile never costs more, so each way of reuse has one candidate: its largest tile. Nothing stays only
    if no operand can, since that takes the most DRAM traffic.

    Raises
    ------
    InputError
        A buffer does not hold one group of one tile of the array, double-buffered.
    """
    found = _candidates(mapped)
    if not found and (shortage := _shortage(mapped)):
        raise InputError(shortage)
    return found


def is_legal(mapped: MappedGemm) -> bool:
    """True if the GeMM has a legal tiling."""
    return bool(_candidates(mapped))


def _candidates(mapped: MappedGemm) -> list[Tiling]:
    array = mapped.architecture.array
    rows, columns = min(array.rows, mapped.tokens), min(array.columns, mapped.out_channels)
    room_tokens, room_channels = resident_tokens(mapped), resident_channels(mapped)
    found: list[Tiling] = []
    if room_channels >= min(2 * columns, mapped.out_channels):
        found += [Tiling("activations", t, columns, n) for t, n in _largest(mapped.tokens, rows, room_tokens)]
    if room_tokens >= min(2 * rows, mapped.tokens):
        found += [Tiling("weights", rows, c, n) for c, n in _largest(mapped.out_channels, columns, room_channels)]
    if not found and _shortage(mapped) is None:
        found.append(Tiling("nothing", rows, columns, 2))
    return found


def model_tilings(problems: Sequence[MappedGemm]) -> list[Tiling]:
    """One token tile for all GeMMs of a model: the largest power-of-two number of strips that all fit double-buffered.

    The weights of every module are then fetched equally often. This rule has no free parameter and comes within 10 % of
    the published energy efficiency of every design (docs/calibration.md); a search for each GeMM finds less traffic.

    Raises
    ------
    InputError
        One strip of some GeMM does not fit the buffer.
    """
    rows = problems[0].architecture.array.rows
    room = min(resident_tokens(mapped) for mapped in problems) // (2 * rows)
    tile = rows << max(room.bit_length() - 1, 0)
    return [resident_tiling(mapped, "activations", min(tile, mapped.tokens)) for mapped in problems]


def resident_tiling(mapped: MappedGemm, resident: Resident, size: int = 0) -> Tiling:
    """The tiling in which an operand stays on chip.

    Parameters
    ----------
    mapped
        The GeMM on its architecture.
    resident
        The operand that stays.
    size
        Its tile in tokens or output channels: whole strips of the array, or the whole GeMM. It is double-buffered if it
        fits twice. Unused if nothing stays.

    Raises
    ------
    InputError
        The tile does not fit the GeMM, the array or the buffers.
    """
    array = mapped.architecture.array
    rows, columns = min(array.rows, mapped.tokens), min(array.columns, mapped.out_channels)
    room_tokens, room_channels = resident_tokens(mapped), resident_channels(mapped)
    if resident == "nothing":
        if shortage := _shortage(mapped):
            raise InputError(shortage)
        return Tiling("nothing", rows, columns, 2)
    if resident == "activations":
        _check_stream("output channels", columns, mapped.out_channels, room_channels)
        copies = _copies("tokens", size, mapped.tokens, array.rows, room_tokens)
        return Tiling("activations", size, columns, copies)
    _check_stream("tokens", rows, mapped.tokens, room_tokens)
    copies = _copies("output channels", size, mapped.out_channels, array.columns, room_channels)
    return Tiling("weights", rows, size, copies)


def _copies(what: str, size: int, length: int, strip: int, room: int) -> int:
    if not 1 <= size <= length:
        raise InputError(f"tiling: {size} {what} do not fit a GeMM of {length}; use 1 to {length}")
    if size % strip and size != length:
        raise InputError(f"tiling: {size} {what} split a tile of the array; use a multiple of {strip}")
    largest = next(_largest(length, min(strip, length), room), (0, 0))
    if size > largest[0]:
        fix = f"use at most {largest[0]}" if largest[0] else "use search or nothing"
        raise InputError(f"tiling: {size} {what} do not fit the buffer; {fix}")
    return largest[1] if size == largest[0] else 2


def _check_stream(what: str, strip: int, length: int, room: int) -> None:
    if room < min(2 * strip, length):
        raise InputError(f"tiling: the other buffer holds {room} {what}, too few to stream; use nothing")


def _largest(length: int, strip: int, room: int) -> Iterator[tuple[int, int]]:
    """Largest tile along an axis, in whole strips, and its number of copies; empty if no strip fits."""
    if room >= length:
        yield length, 1
    elif room >= 2 * strip:
        yield room // (2 * strip) * strip, 2
    elif room >= strip:
        yield strip, 1


def resident_tokens(mapped: MappedGemm) -> int:
    """Tokens, with all input channels, that fit the activation buffer."""
    return mapped.architecture.resident_tokens(mapped.in_channels, mapped.mantissa_bits)


def resident_channels(mapped: MappedGemm) -> int:
    """Output channels, with all input channels, that fit the weight buffer."""
    return mapped.architecture.weight_buffer.capacity_bytes * 8 // mapped.channel_bits


def _shortage(mapped: MappedGemm) -> str | None:
    """Error text of a buffer that does not hold two groups of one tile of the array; None if all do."""
    architecture = mapped.architecture
    group, array = architecture.group_size, architecture.array
    planes, exponents = architecture.token_footprint(group, mapped.mantissa_bits)
    weights = architecture.weights.channel_bits(group)
    for field, strip, bits in (
        ("activation_buffer", min(array.rows, mapped.tokens), planes),
        ("exponent_buffer", min(array.rows, mapped.tokens), exponents),
        ("weight_buffer", min(array.columns, mapped.out_channels), weights),
    ):
        buffer = getattr(architecture, field)
        least = -(-2 * strip * bits // 8)
        if buffer is not None and buffer.capacity_bytes < least:
            return (
                f"{field}.capacity: {buffer.capacity_bytes} B is too small for any tiling; one group of a tile of the "
                f"array, double-buffered, takes {least} B"
            )
    return None
