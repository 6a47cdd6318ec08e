"""Room of a mapping's tiles in the buffers, and the check that a mapping suits a GeMM and its machine."""

from typing import Any

import numpy as np

from ...formats import InputError
from .gemm_mapping import GemmMapping
from .mapped_gemm import SUM_BITS, MappedGemm


def part_bits(mapped: MappedGemm, in_channels: Any) -> tuple[Any, Any, Any]:
    """Bits of one token in the activation buffer and in the exponent buffer, and of one output channel's weights.

    For `in_channels` input channels; they may be arrays.
    """
    machine = mapped.architecture
    planes, exponents = machine.token_footprint(in_channels, mapped.inputs)
    return planes, exponents, machine.weights.channel_bits(in_channels)


def capacities(mapped: MappedGemm) -> tuple[int, int, int]:
    """Bits of the activation buffer, the exponent buffer (enough for anything if there is none) and the weight buffer."""
    machine = mapped.architecture
    exponents = machine.exponent_buffer
    return (
        machine.activation_buffer.capacity_bytes * 8,
        1 << 62 if exponents is None else exponents.capacity_bytes * 8,
        machine.weight_buffer.capacity_bytes * 8,
    )


def sums_bits(mapped: MappedGemm, mapping: GemmMapping) -> int:
    """Bits of the partial sums that the activation buffer holds."""
    if not mapping.buffered_sums:
        return 0
    if not mapped.holds_outputs and mapping.in_channels == mapped.in_channels:
        return fold_sums(mapped, mapping.tokens, mapping.out_channels) * SUM_BITS
    tokens = mapped.tokens if mapping.stays == "weights" else mapping.tokens
    channels = mapped.out_channels if mapping.stays == "activations" else mapping.out_channels
    return tokens * channels * SUM_BITS


def fold_sums(mapped: MappedGemm, tokens: Any, channels: Any) -> Any:
    """Sums in the buffer while the folds of one reduction follow each other, for a tile of tokens and output channels."""
    if mapped.group_tiles == 1:
        return 0
    if mapped.dataflow.held == "weights":
        return tokens * np.minimum(channels, mapped.tile.channels)
    return np.minimum(tokens, mapped.tile.tokens) * channels


def shortage(mapped: MappedGemm, mapping: GemmMapping) -> tuple[str, int, int] | None:
    """The buffer that a mapping overflows, its capacity and what the mapping needs, in bits; None if all fits."""
    planes, exponents, channel = part_bits(mapped, mapping.in_channels)
    tokens = mapping.activation_copies * mapping.tokens
    channels = mapping.weight_copies * mapping.out_channels
    stationary = not mapped.holds_outputs and mapping.in_channels == mapped.in_channels
    if stationary or not mapping.in_parts:  # no more than the whole operand is ever there
        tokens, channels = min(tokens, mapped.tokens), min(channels, mapped.out_channels)
    needs = tokens * planes + sums_bits(mapped, mapping), tokens * exponents, channels * channel
    rooms = capacities(mapped)
    if mapped.architecture.scratchpad == "shared":
        activations, exponents, weights = needs
        needs, rooms = (activations + weights, exponents, weights), (rooms[0] + rooms[2], rooms[1], rooms[0] + rooms[2])
    for field, room, need in zip(("activation_buffer", "exponent_buffer", "weight_buffer"), rooms, needs, strict=True):
        if need > room:
            return field, room, need
    return None


def check_mapping(mapped: MappedGemm, mapping: GemmMapping) -> GemmMapping:
    """The mapping itself, if it is legal.

    Raises
    ------
    InputError
        A tile is not made of whole tiles of the array or does not fit the GeMM or its buffer, a reduction is in parts
        where it may not be, or the machine has no place for partial sums.
    """
    machine = mapped.architecture
    if not mapped.holds_outputs and not mapping.buffered_sums:
        raise InputError(f"mapping: the sums of a {mapped.dataflow.name} array leave it; end the mapping with :buffer")
    if mapping.buffered_sums and not machine.buffered_sums:
        raise InputError(
            f"mapping: {machine.name} keeps partial sums in the array; take partial_sums: buffer, or :array"
        )
    tile = mapped.tile
    for what, size, whole, step in (
        ("tokens", mapping.tokens, mapped.tokens, tile.tokens),
        ("input channels", mapping.in_channels, mapped.in_channels, tile.groups * machine.group_size),
        ("output channels", mapping.out_channels, mapped.out_channels, tile.channels),
    ):
        if not 1 <= size <= whole:
            raise InputError(f"mapping: {size} {what} do not fit a GeMM of {whole}; use 1 to {whole}")
        if size % step and size != whole:
            fix = f"a multiple of {step}, or {whole}" if step < whole else f"{whole}"
            raise InputError(f"mapping: {size} {what} split a tile of the array; use {fix}")
    _check_shape(mapped, mapping)
    if short := shortage(mapped, mapping):
        field, room, need = short
        raise InputError(
            f"mapping: {mapping} does not fit {field}: it takes {-(-need // 8):,} B of {room // 8:,} B; use smaller "
            "tiles or single buffers"
        )
    return mapping


def _check_shape(mapped: MappedGemm, mapping: GemmMapping) -> None:
    """Check that the tiles have the sizes that the loop order asks for."""
    whole, tile = mapped.in_channels, mapped.tile
    if not mapped.holds_outputs:
        if mapping.stays == "sums" and mapping.in_channels == whole:
            raise InputError(
                f"mapping: with all {whole} input channels in a tile no sum stays for the next; let activations or weights stay"
            )
        return
    if not mapping.in_parts and mapping.in_channels != whole:
        raise InputError(
            f"mapping: where {mapping.stays} stay and sums do not leave the array, tiles hold all {whole} input channels; "
            "use that"
        )
    if mapping.buffered_sums and mapping.in_channels == whole:
        fix = "take fewer" if mapping.stays == "sums" else "take fewer, or end it with :array"
        raise InputError(f"mapping: with all {whole} input channels in a tile no partial sum leaves the array; {fix}")
    least = min(tile.tokens, mapped.tokens), min(tile.channels, mapped.out_channels)
    if mapping.stays == "nothing" and (mapping.tokens, mapping.out_channels) != least:
        raise InputError(
            f"mapping: where nothing stays, tiles are those of the array; use {least[0]} tokens and {least[1]} output "
            "channels"
        )
