"""Drives the circuits with values of `formats`, and compares what comes out with what `formats` says."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..formats import AndaFormat, AndaTensor, GemmFlags, InputError, Int4Weights
from ..formats.bitplanes import pack_bits, unpack_bits
from ..formats.gemm import check_operands
from ..formats.latency import pe_cycles_per_group
from .bpc import BitPlaneCompressor, BpcLane
from .interfaces import EXPONENT_BITS, partial_sum_bits
from .mxu import MatrixUnit
from .packing import pack, unpack
from .pe import AndaPE
from .simulate import SimulatorName, run_streams
from .streams import Pauses


@dataclass(frozen=True)
class PeRun:
    """What an `AndaPE` computed.

    Attributes
    ----------
    partial_sums : int64 ``[segments]``
        The integer dot products.
    exponents : int64 ``[segments]``
        Shared exponent less M: a sum's value is ``partial_sum * 2**(exponent - 14)``.
    cycles : `int`
        Clock cycles from the first sign plane to the last mantissa plane, both included.
    """

    partial_sums: NDArray[np.int64]
    exponents: NDArray[np.int64]
    cycles: int


@dataclass(frozen=True)
class BpcRun:
    """What a `BpcLane` emitted.

    Attributes
    ----------
    tensor : `AndaTensor`
        The planes and exponents, with the lane's sticky flag as `saturated`.
    cycles : `int`
        Clock cycles from the first sign plane to the last mantissa plane, both included.
    latency_cycles : `int`
        Clock cycles from taking the first group to its sign plane.
    """

    tensor: AndaTensor
    cycles: int
    latency_cycles: int


@dataclass(frozen=True)
class TraceComparison:
    """The dot products of a slice of a GeMM, from the circuit and from `formats`.

    Attributes
    ----------
    partial_sums, expected : int64 ``[tokens, outputs, segments]``
        From the circuit, and from the tensors' integers.
    cycles, predicted_cycles : `int`
        Counted in the simulation, and stated by `formats.latency`.
    """

    partial_sums: NDArray[np.int64]
    expected: NDArray[np.int64]
    cycles: int
    predicted_cycles: int

    @property
    def mismatches(self) -> int:
        """Dot products that differ."""
        return int(np.count_nonzero(self.partial_sums != self.expected))

    def report(self) -> str:
        """One line: how many sums agree, and the first one that does not, with its place."""
        if not self.mismatches:
            return f"{self.expected.size} partial sums equal, {self.cycles} cycles ({self.predicted_cycles} predicted)"
        first = tuple(int(i) for i in np.argwhere(self.partial_sums != self.expected)[0])
        return (
            f"{self.mismatches} of {self.expected.size} partial sums differ; the first at [token, output, segment] = "
            f"{list(first)}: circuit {self.partial_sums[first]}, formats {self.expected[first]}"
        )


def segment_planes(tensor: AndaTensor, lanes: int) -> NDArray[np.uint8]:
    """Bits ``[..., segments, M + 1, lanes]`` of a tensor: its groups cut into segments of `lanes`, sign plane first."""
    if tensor.format.reconstruct != "truncate":
        raise InputError('activations: the circuit has no midpoint reconstruction; encode with reconstruct="truncate"')
    group_size, mantissa_bits = tensor.format.group_size, tensor.format.mantissa_bits
    signs = unpack_bits(tensor.signs, group_size)[..., None, :]
    planes = unpack_bits(tensor.planes, group_size)
    bits = np.concatenate([signs, planes], axis=-2)
    *leading, groups, _, _ = bits.shape
    bits = bits.reshape(*leading, groups, mantissa_bits + 1, group_size // lanes, lanes)
    return bits.swapaxes(-3, -2).reshape(*leading, -1, mantissa_bits + 1, lanes)


def plane_stream(tensor: AndaTensor, lanes: int) -> list[int]:
    """Packed payloads of `interfaces.plane_layout(lanes)`: every segment of `tensor`, plane by plane."""
    return _plane_words(segment_planes(tensor, lanes)[..., None, :], _segment_exponents(tensor, lanes)[..., None])


def plane_rows_stream(tensor: AndaTensor, rows: int, lanes: int) -> list[int]:
    """Packed payloads of `interfaces.plane_rows_layout(rows, lanes)` of a tensor ``[tokens, channels]``.

    Blocks of `rows` tokens, the last one padded with zeros; of each block the segments; of each segment its planes.
    """
    bits, exponents = segment_planes(tensor, lanes), _segment_exponents(tensor, lanes)
    padding = -len(bits) % rows
    bits = np.pad(bits, ((0, padding), (0, 0), (0, 0), (0, 0)))
    exponents = np.pad(exponents, ((0, padding), (0, 0)), constant_values=1)
    bits = bits.reshape(-1, rows, *bits.shape[1:]).transpose(0, 2, 3, 1, 4)
    return _plane_words(bits, exponents.reshape(-1, rows, exponents.shape[1]).swapaxes(1, 2))


def _segment_exponents(tensor: AndaTensor, lanes: int) -> NDArray[np.uint8]:
    return np.repeat(tensor.exponents, tensor.format.group_size // lanes, axis=-1)


def _plane_words(bits: NDArray[np.uint8], exponents: NDArray[np.uint8]) -> list[int]:
    """Payloads of bits ``[..., M + 1, rows, lanes]`` and exponents ``[..., rows]``."""
    *leading, planes, rows, lanes = bits.shape
    fields = rows * EXPONENT_BITS
    words = np.zeros((*leading, planes, rows * lanes + fields + 1), np.uint8)
    words[..., : rows * lanes] = bits.reshape(*leading, planes, -1)
    words[..., rows * lanes : -1] = (exponents[..., None] >> np.arange(EXPONENT_BITS) & 1).reshape(*leading, 1, fields)
    words[..., -1, -1] = 1
    return pack(words.reshape(-1, words.shape[-1]), 1)


def run_pe(
    activations: AndaTensor,
    codes: NDArray[np.int8],
    *,
    weight_bits: int | None = None,
    pauses: Pauses | None = None,
    vcd: Path | None = None,
) -> PeRun:
    """Run an `AndaPE` over groups, one after the other.

    Parameters
    ----------
    activations
        Groups in C order; each is cut into ``group_size / lanes`` segments.
    codes
        int8 ``[lanes, segments]``: the weights of each segment.
    weight_bits
        Of the circuit; the fewest that hold the codes, and at least 4, by default.
    pauses
        Bubbles and back-pressure on the ports ``activation``, ``weights`` and ``result``.
    vcd
        Where to write the waveform.

    Raises
    ------
    InputError
        The codes do not fit the groups.
    """
    lanes, segments = codes.shape
    group_size = activations.format.group_size
    if group_size % lanes or segments * lanes != activations.exponents.size * group_size:
        raise InputError(
            f"codes: is {list(codes.shape)}; {activations.exponents.size} groups of {group_size} need "
            f"[lanes, segments] with lanes that divide {group_size}"
        )
    return _run_segments(plane_stream(activations, lanes), codes.T, weight_bits, pauses, vcd)


def _run_segments(
    planes: list[int],
    codes: NDArray[np.int8],
    weight_bits: int | None = None,
    pauses: Pauses | None = None,
    vcd: Path | None = None,
) -> PeRun:
    """Run an `AndaPE` over packed planes and codes ``[segments, lanes]``."""
    segments, lanes = codes.shape
    if weight_bits is None:
        weight_bits = max(4, int(np.abs(codes.astype(np.int64) * 2 + 1).max()).bit_length())
    pe = AndaPE(lanes=lanes, weight_bits=weight_bits)
    inputs = {"activation": planes, "weights": pack(codes, weight_bits)}
    run = run_streams(pe, inputs, {"result": segments}, pauses=pauses, vcd=vcd).transfers
    bits = partial_sum_bits(lanes, weight_bits, pe.max_mantissa_bits)
    partial_sums = unpack(run["result"].payloads, bits, 1, signed=True)[:, 0]
    exponents = unpack(run["result"].payloads, 6, 1, start=bits, signed=True)[:, 0]
    taken = run["activation"].cycles
    return PeRun(partial_sums, exponents, taken[-1] - taken[0] + 1)


def run_bpc_lane(
    x: NDArray[np.float16],
    format: AndaFormat,
    *,
    pauses: Pauses | None = None,
    vcd: Path | None = None,
) -> BpcRun:
    """Run a `BpcLane` over the groups of float16 ``[..., channels]``; the channels are whole groups.

    `pauses` may name the ports ``group`` and ``planes``; `vcd` is where to write the waveform.

    Raises
    ------
    InputError
        The channels are not whole groups, or the format is not one that the circuit makes.
    """
    lanes, mantissa_bits = format.group_size, format.mantissa_bits
    if x.shape[-1] % lanes:
        raise InputError(f"x: {x.shape[-1]} channels are not whole groups of {lanes}; pad them with zeros")
    if (format.rounding, format.nonfinite) != ("truncate", "saturate"):
        raise InputError(
            'format: the circuit truncates and saturates; choose rounding="truncate", nonfinite="saturate"'
        )
    lane = BpcLane(lanes=lanes)
    halves = x.view(np.uint16).reshape(-1, lanes)
    groups = [word | mantissa_bits << 16 * lanes for word in pack(halves.astype(np.int64), 16)]
    inputs, outputs = {"group": groups}, {"planes": len(groups) * (mantissa_bits + 1)}
    run = run_streams(lane, inputs, outputs, flags=["saturated"], pauses=pauses, vcd=vcd)
    planes = run.transfers["planes"]
    bits = unpack(planes.payloads, 1, lanes + EXPONENT_BITS + 1).astype(np.bool_)
    bits = bits.reshape(*x.shape[:-1], -1, mantissa_bits + 1, lanes + EXPONENT_BITS + 1)
    exponents = bits[..., 0, lanes : lanes + EXPONENT_BITS] @ (1 << np.arange(EXPONENT_BITS))
    tensor = AndaTensor(
        format,
        x.shape,
        pack_bits(bits[..., 0, :lanes]),
        pack_bits(bits[..., 1:, :lanes]),
        exponents.astype(np.uint8),
        bool(run.flags["saturated"]),
    )
    latency = planes.cycles[0] - run.transfers["group"].cycles[0]
    return BpcRun(tensor, planes.cycles[-1] - planes.cycles[0] + 1, latency)


def run_compressor(
    x: NDArray[np.float16],
    format: AndaFormat,
    *,
    rows: int = 16,
    pauses: Pauses | None = None,
    simulator: SimulatorName = "amaranth",
    vcd: Path | None = None,
) -> BpcRun:
    """Run a `BitPlaneCompressor` over float16 ``[tokens, channels]``: whole blocks of `rows` tokens, whole groups.

    The block's groups go in group by group, of each the tokens in turn. `pauses` may name ``groups`` and ``planes``.

    Raises
    ------
    InputError
        Tokens or channels are not whole blocks or groups, or the format is not one that the circuit makes.
    """
    lanes, mantissa_bits = format.group_size, format.mantissa_bits
    _check_compression(x, format)
    if x.shape[0] % rows:
        raise InputError(f"x: {x.shape[0]} tokens are not whole blocks of {rows}; pad them with zeros")
    compressor = BitPlaneCompressor(rows=rows, lanes=lanes)
    blocks, segments = len(x) // rows, x.shape[1] // lanes
    halves = x.view(np.uint16).reshape(blocks, rows, segments, lanes).swapaxes(1, 2).reshape(-1, lanes)
    groups = [word | mantissa_bits << 16 * lanes for word in pack(halves.astype(np.int64), 16)]
    outputs = {"planes": blocks * segments * (mantissa_bits + 1)}
    run = run_streams(
        compressor, {"groups": groups}, outputs, flags=["saturated"], pauses=pauses, simulator=simulator, vcd=vcd
    )
    planes = run.transfers["planes"]
    width = rows * (lanes + EXPONENT_BITS)
    bits = unpack(planes.payloads, 1, width).astype(np.bool_).reshape(blocks, segments, mantissa_bits + 1, width)
    exponents = bits[:, :, 0, rows * lanes :].reshape(blocks, segments, rows, EXPONENT_BITS)
    exponents = (exponents @ (1 << np.arange(EXPONENT_BITS))).swapaxes(1, 2).reshape(-1, segments)
    words = bits[..., : rows * lanes].reshape(blocks, segments, mantissa_bits + 1, rows, lanes)
    words = words.transpose(0, 3, 1, 2, 4).reshape(-1, segments, mantissa_bits + 1, lanes)
    tensor = AndaTensor(
        format,
        x.shape,
        pack_bits(words[:, :, 0]),
        pack_bits(words[:, :, 1:]),
        exponents.astype(np.uint8),
        bool(run.flags["saturated"]),
    )
    taken = run.transfers["groups"].cycles
    return BpcRun(tensor, planes.cycles[-1] - taken[0] + 1, planes.cycles[0] - taken[0])


def _check_compression(x: NDArray[np.float16], format: AndaFormat) -> None:
    """Raise `InputError` if a compressor cannot make `format` of `x`."""
    if x.shape[-1] % format.group_size:
        raise InputError(f"x: {x.shape[-1]} channels are not whole groups of {format.group_size}; pad them with zeros")
    if (format.rounding, format.nonfinite) != ("truncate", "saturate"):
        raise InputError(
            'format: the circuit truncates and saturates; choose rounding="truncate", nonfinite="saturate"'
        )


def compare_trace(activations: AndaTensor, weights: Int4Weights, *, vcd: Path | None = None) -> TraceComparison:
    """Run every integer dot product of a GeMM through one `AndaPE`, and compare with the integers of `formats`.

    Parameters
    ----------
    activations
        ``[tokens, channels]``. Slice tokens and outputs first: the simulator runs about a thousand cycles a second.
    weights
        ``[channels, outputs]``. A segment is ``min(group sizes)`` channels, and the circuit has as many lanes.
    vcd
        Where to write the waveform.
    """
    tokens, channels = activations.shape
    outputs = weights.codes.shape[1]
    lanes = min(activations.format.group_size, weights.group_size)
    segments = activations.exponents.shape[1] * activations.format.group_size // lanes
    padded = np.zeros((segments * lanes, outputs), np.int8)
    padded[:channels] = weights.codes
    codes = padded.T.reshape(outputs, 1, segments, lanes)
    integers = activations.signed_integers().reshape(1, tokens, segments, lanes).astype(np.int64)
    expected = (integers * codes).sum(axis=-1)
    planes = plane_stream(activations, lanes) * outputs
    run = _run_segments(planes, np.repeat(codes, tokens, axis=1).reshape(-1, lanes), vcd=vcd)
    partial_sums = run.partial_sums.reshape(expected.shape)
    predicted = expected.size * pe_cycles_per_group(activations.format.mantissa_bits)
    return TraceComparison(partial_sums.swapaxes(0, 1), expected.swapaxes(0, 1), run.cycles, predicted)


@dataclass(frozen=True)
class GemmRun:
    """What a circuit made of a GeMM.

    Attributes
    ----------
    outputs : float16 ``[tokens, out]``
    flags : `GemmFlags`
        The circuit's sticky flags.
    cycles : `int`
        Clock cycles until the last output has left.
    """

    outputs: NDArray[np.float16]
    flags: GemmFlags
    cycles: int


def run_matrix_unit(
    activations: AndaTensor,
    weights: Int4Weights,
    *,
    rows: int = 16,
    columns: int = 16,
    pauses: Pauses | None = None,
    simulator: SimulatorName = "amaranth",
    vcd: Path | None = None,
) -> GemmRun:
    """Run a GeMM on a `MatrixUnit`, tile by tile: blocks of `rows` tokens, of each all blocks of `columns` outputs.

    Activations ``[tokens, channels]``, weights ``[channels, out]``; a segment is ``min(group sizes)`` channels, and the
    circuit has as many lanes. `pauses` may name ``planes``, ``weights``, ``factors`` and ``outputs``.
    """
    check_operands(activations, weights, "fp16")
    tokens, lanes = activations.shape[0], min(activations.format.group_size, weights.group_size)
    outputs = weights.codes.shape[1]
    affine = weights.offsets is not None
    unit = MatrixUnit(rows=rows, columns=columns, lanes=lanes, affine=affine)
    blocks, tiles = -(-tokens // rows), -(-outputs // columns)

    rows_of_planes = plane_rows_stream(activations, rows, lanes)
    block = len(rows_of_planes) // blocks
    planes = [
        word for start in range(0, len(rows_of_planes), block) for word in rows_of_planes[start : start + block] * tiles
    ]
    inputs = {
        "planes": planes,
        "weights": weight_stream(weights, columns, lanes, unit.weight_bits) * blocks,
        "factors": factor_stream(weights, columns, lanes) * blocks,
    }
    flags = ["partial_saturated", "result_saturated"]
    run = run_streams(
        unit, inputs, {"outputs": blocks * tiles * columns}, flags=flags, pauses=pauses, simulator=simulator, vcd=vcd
    )
    values = unpack(run.transfers["outputs"].payloads, 16, rows).reshape(blocks, tiles * columns, rows)
    halves = values.swapaxes(1, 2).reshape(blocks * rows, -1)[:tokens, :outputs].astype(np.uint16)
    sticky = GemmFlags(*(bool(run.flags[name]) for name in flags))
    return GemmRun(np.ascontiguousarray(halves).view(np.float16), sticky, run.transfers["outputs"].cycles[-1] + 1)


def weight_stream(weights: Int4Weights, columns: int, lanes: int, bits: int) -> list[int]:
    """Packed weights of `MatrixUnit`: blocks of `columns` outputs, of each the segments of `lanes` channels."""
    channels, outputs = weights.codes.shape
    codes = np.pad(weights.codes, ((0, -channels % lanes), (0, -outputs % columns)))
    codes = codes.reshape(-1, lanes, codes.shape[1] // columns, columns).transpose(2, 0, 3, 1)
    return pack(codes.reshape(-1, columns * lanes), bits)


def factor_stream(weights: Int4Weights, columns: int, lanes: int) -> list[int]:
    """Packed payloads of `factors_layout(columns)`, in the order of `weight_stream`."""
    channels, outputs = weights.codes.shape
    groups = np.arange(-(-channels // lanes)) * lanes // weights.group_size
    offsets = np.zeros_like(weights.scales) if weights.offsets is None else weights.offsets
    padding = ((0, 0), (0, -outputs % columns))
    both = np.stack([np.pad(half.view(np.uint16)[groups], padding) for half in (weights.scales, offsets)])
    both = both.reshape(2, len(groups), -1, columns).transpose(2, 1, 0, 3)  # [tiles, segments, 2, columns]
    words = pack(both.reshape(-1, 2 * columns).astype(np.int64), 16)
    return [word | (index % len(groups) == len(groups) - 1) << 32 * columns for index, word in enumerate(words)]
