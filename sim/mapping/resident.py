"""Mappings that keep partial sums in the array.

A larger tile that stays never costs more, so each way of reuse has at most two candidates: its largest double-buffered tile and
its largest single-buffered one. Nothing stays only if some stream is single-buffered else, since that takes the most DRAM traffic.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from ...formats import InputError
from .gemm_mapping import FORM, GemmMapping, Stays
from .legality import capacities, fold_sums, part_bits
from .mapped_gemm import SUM_BITS, MappedGemm


def array_mappings(mapped: MappedGemm) -> list[GemmMapping]:
    """The mappings that can be best with partial sums in the array; double-buffered ones before single-buffered ones.

    Raises
    ------
    InputError
        A buffer does not hold one group of one tile of the array.
    """
    found = [mapping for stays in ("activations", "weights") for mapping in _staying(mapped, stays)]
    if all(_stream_copies(mapping) == 2 for mapping in found):
        return found or [nothing_stays(mapped)]
    return [*found, *_both_stay(mapped), nothing_stays(mapped)]


def double_buffered(mapped: MappedGemm) -> list[GemmMapping]:
    """The largest double-buffered tile of each operand that can stay, the smallest single-buffered one if none fits twice.

    Raises
    ------
    InputError
        A buffer does not hold one group of one tile of the array.
    """
    found: list[GemmMapping] = []
    for stays in ("activations", "weights"):
        for mapping in _staying(mapped, stays):
            if _stream_copies(mapping) == 2 and (not mapping.replaced(mapped) or mapping.in_place(mapped)):
                found.append(mapping)
                break
    return found or [nothing_stays(mapped)]


def check_legal(mapped: MappedGemm) -> None:
    """Check that the GeMM has a legal mapping.

    Raises
    ------
    InputError
        A buffer does not hold one tile of the array.
    """
    if text := _shortage(mapped):
        raise InputError(text)


def is_legal(mapped: MappedGemm) -> bool:
    """True if the GeMM has a legal mapping."""
    return any(_shortage(one) is None for one in divided(mapped))


def divided(mapped: MappedGemm) -> list[MappedGemm]:
    """The GeMM on its machine, or with each division of a shared scratchpad."""
    machine = mapped.architecture
    if machine.scratchpad == "separate":
        return [mapped]
    return [replace(mapped, architecture=one) for one in machine.divisions()]


def model_mappings(problems: Sequence[MappedGemm]) -> list[GemmMapping]:
    """One token tile for all GeMMs of a model: the largest power-of-two number of strips that all fit double-buffered.

    The weights of every module are then fetched equally often. This rule has no free parameter and comes within 10 % of
    the published energy efficiency of every design (docs/calibration.md); a search for each GeMM finds less traffic.

    Raises
    ------
    InputError
        One strip of some GeMM does not fit the buffer.
    """
    if not problems[0].holds_outputs:
        raise InputError("mapping: the rule model is for output-stationary arrays; use best, or a mapping")
    rows = problems[0].tile.tokens
    room = min(resident_tokens(mapped) for mapped in problems) // (2 * rows)
    tile = rows << max(room.bit_length() - 1, 0)
    return [resident_mapping(mapped, "activations", min(tile, mapped.tokens)) for mapped in problems]


def resident_mapping(mapped: MappedGemm, stays: Stays, size: int = 0) -> GemmMapping:
    """The mapping in which an operand stays on chip, with sums in the array.

    Parameters
    ----------
    mapped
        The GeMM on its architecture.
    stays
        The operand that stays.
    size
        Its tile in tokens or output channels: whole strips of the array, or the whole GeMM. It is double-buffered if it
        fits twice. Unused if nothing stays.

    Raises
    ------
    InputError
        The tile does not fit the GeMM, the array or the buffers.
    """
    if not mapped.holds_outputs:
        raise InputError(
            f"mapping: {stays} alone is a mapping of output-stationary arrays; use best, double-buffered or {FORM}"
        )
    if stays == "nothing":
        return nothing_stays(mapped)
    array, tokens = mapped.tile, stays == "activations"
    what, length, strip = (
        ("tokens", mapped.tokens, array.tokens) if tokens else ("output channels", mapped.out_channels, array.channels)
    )
    room = resident_tokens(mapped) if tokens else resident_channels(mapped)
    if not 1 <= size <= length:
        raise InputError(f"mapping: {size} {what} do not fit a GeMM of {length}; use 1 to {length}")
    if size % strip and size != length:
        raise InputError(f"mapping: {size} {what} split a tile of the array; use a multiple of {strip}")
    if size > room:
        largest = room // strip * strip
        fix = f"use at most {largest}" if largest else "use best or nothing"
        raise InputError(f"mapping: {size} {what} do not fit the buffer; {fix}")
    found = _with_stream(mapped, stays, size, 1 if size == length or 2 * size > room else 2)
    if found is None:
        raise InputError(f"mapping: the other buffer is too small to stream past {what}; use nothing")
    return found


def nothing_stays(mapped: MappedGemm) -> GemmMapping:
    """The mapping in which both operands stream, in parts that both buffers hold twice at the longest mantissas.

    Raises
    ------
    InputError
        A buffer does not hold one group of one tile of the array.
    """
    check_legal(mapped)
    machine = mapped.architecture
    group, tokens, channels = machine.group_size, *_strips(mapped)
    weights = machine.weight_buffer.capacity_bytes * 8 // (channels * machine.weights.channel_bits(group))
    room = min(machine.resident_tokens(group, machine.longest) // (2 * tokens), weights // 2)
    size = -(-mapped.groups // -(-mapped.groups // min(mapped.groups, max(room, 1)))) * group
    size = min(size, mapped.in_channels)
    planes, exponents, channel = part_bits(mapped, size)
    plane_room, exponent_room, weight_room = capacities(mapped)
    activation_copies = 2 if 2 * tokens * planes <= plane_room and 2 * tokens * exponents <= exponent_room else 1
    weight_copies = 2 if 2 * channels * channel <= weight_room else 1
    return GemmMapping("nothing", tokens, size, channels, activation_copies, weight_copies)


def resident_tokens(mapped: MappedGemm) -> int:
    """Tokens, with all input channels, that fit the activation buffer."""
    return mapped.architecture.resident_tokens(mapped.in_channels, mapped.inputs)


def resident_channels(mapped: MappedGemm) -> int:
    """Output channels, with all input channels, that fit the weight buffer."""
    return mapped.architecture.weight_buffer.capacity_bytes * 8 // mapped.channel_bits


def _strips(mapped: MappedGemm) -> tuple[int, int]:
    """Tokens and output channels of a tile of the array."""
    return min(mapped.tile.tokens, mapped.tokens), min(mapped.tile.channels, mapped.out_channels)


def _staying(mapped: MappedGemm, stays: Stays) -> Iterator[GemmMapping]:
    """The largest tiles of an operand that stays: all of it, or in whole strips, twice and once."""
    for size, copies in _largest(mapped, stays):
        if found := _with_stream(mapped, stays, size, copies):
            yield found


def _both_stay(mapped: MappedGemm) -> Iterator[GemmMapping]:
    """Mappings in which all of one operand is on chip, and the other one is replaced strip by strip."""
    tokens, in_channels, channels = mapped.tokens, mapped.in_channels, mapped.out_channels
    if resident_channels(mapped) >= channels:
        for size, copies in _largest(mapped, "activations"):
            yield GemmMapping("activations", size, in_channels, channels, copies, 1)
    if resident_tokens(mapped) >= tokens:
        for size, copies in _largest(mapped, "weights"):
            yield GemmMapping("weights", tokens, in_channels, size, 1, copies)


def _largest(mapped: MappedGemm, stays: Stays) -> list[tuple[int, int]]:
    """Largest tiles of an operand and their copies: all of it, or whole strips twice and once, as far as they fit."""
    tokens, channels = _strips(mapped)
    if stays == "activations":
        length, strip, room = mapped.tokens, tokens, resident_tokens(mapped)
    else:
        length, strip, room = mapped.out_channels, channels, resident_channels(mapped)
    if room >= length:
        return [(length, 1)]
    double, single = room // (2 * strip) * strip, room // strip * strip
    return [(size, copies) for size, copies in ((double, 2), (single, 1)) if size and (size, copies) != (double, 1)]


def _with_stream(mapped: MappedGemm, stays: Stays, size: int, copies: int) -> GemmMapping | None:
    """A mapping with the stream's strips: double-buffered if they fit twice. None if not even one fits.

    Streamed weights come a group of output channels at a time, if it fits twice.
    """
    if stays == "activations":
        room, columns, length = resident_channels(mapped), mapped.tile.channels, mapped.out_channels
        strip = min(max(columns, min(room // 2 // columns * columns, mapped.architecture.group_size)), length)
    else:
        room, length, strip = resident_tokens(mapped), mapped.tokens, _strips(mapped)[0]
    if room < strip:
        return None
    stream = 2 if room >= min(2 * strip, length) else 1
    if stays == "activations":
        return GemmMapping(stays, size, mapped.in_channels, strip, copies, stream)
    return GemmMapping(stays, strip, mapped.in_channels, size, stream, copies)


def _stream_copies(mapping: GemmMapping) -> int:
    return mapping.activation_copies if mapping.stays == "weights" else mapping.weight_copies


def _shortage(mapped: MappedGemm) -> str | None:
    """Error text of a buffer that does not hold one group of one tile of the array; None if all do."""
    (tokens, channels), groups = _strips(mapped), min(mapped.tile.groups, mapped.groups)
    part, sums = groups * mapped.architecture.group_size, 0
    if not mapped.holds_outputs:
        part, sums = min(part, mapped.in_channels), fold_sums(mapped, tokens, channels) * SUM_BITS
    planes, exponents, channel = part_bits(mapped, part)
    needs = tokens * planes + sums, tokens * exponents, channels * channel
    for field, room, need in zip(
        ("activation_buffer", "exponent_buffer", "weight_buffer"), capacities(mapped), needs, strict=True
    ):
        if need > room:
            what, take = ("one group", "takes") if groups == 1 else (f"{groups} groups", "take")
            return (
                f"{field}.capacity: {room // 8} B is too small for any mapping; {what} of a tile of the array {take} "
                f"{-(-need // 8)} B"
            )
    return None
