"""Testbenches of processing element and compressor: run them on values of `formats`, and compare the results."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ....formats import AndaFormat, AndaTensor, InputError, Int4Weights
from ....formats.accelerator.layout import plane_masks, segment_exponents
from ....formats.anda.bitplanes import pack_bits
from ....formats.latency.elements import pe_cycles_per_group
from ...compressor.bpc import BitPlaneCompressor, BitPlaneCompressorParameters, BpcLane, BpcLaneParameters
from ...elements.anda_pe import AndaPE, AndaPEParameters
from ...interfaces import EXPONENT_BITS, MASK_BITS, partial_sum_bits
from ..operands import plane_stream
from ..packing import pack, unpack
from ..simulate import SimulatorName, run_streams
from ..streams import Pauses


@dataclass(frozen=True)
class PeRun:
    """Result of an `AndaPE`.

    Attributes
    ----------
    partial_sums : int64 ``[segments]``
        Integer dot products.
    exponents : int64 ``[segments]``
        Exponent of each sum: its value is ``partial_sum * 2**(exponent - 14)``. It is the shared exponent minus M, minus 1
        with midpoint reconstruction, plus the number of planes that are skipped at the end of the segment.
    cycles : `int`
        Clock cycles from the first sign plane to the last mantissa plane, both included.
    """

    partial_sums: NDArray[np.int64]
    exponents: NDArray[np.int64]
    cycles: int


@dataclass(frozen=True)
class BpcRun:
    """Result of a `BpcLane` or a `BitPlaneCompressor`.

    Attributes
    ----------
    tensor : `AndaTensor`
        Planes and exponents, with the sticky flag of the circuit as `saturated`.
    cycles : `int`
        Clock cycles from the first sign plane to the last mantissa plane, both included.
    latency_cycles : `int`
        Clock cycles from the first group to its sign plane.
    masks : bool ``[blocks, groups, M - 1]``
        Plane masks, if the compressor makes them.
    """

    tensor: AndaTensor
    cycles: int
    latency_cycles: int
    masks: NDArray[np.bool_] | None = None


@dataclass(frozen=True)
class TraceComparison:
    """Dot products of a slice of a GeMM, computed by the circuit and by `formats`.

    Attributes
    ----------
    partial_sums, expected : int64 ``[tokens, outputs, segments]``
        Sums of the circuit, and sums of the tensors' integers.
    cycles, predicted_cycles : `int`
        Clock cycles counted in the simulation, and predicted by `formats.latency`.
    """

    partial_sums: NDArray[np.int64]
    expected: NDArray[np.int64]
    cycles: int
    predicted_cycles: int

    @property
    def mismatches(self) -> int:
        """Number of dot products that differ."""
        return int(np.count_nonzero(self.partial_sums != self.expected))

    def report(self) -> str:
        """One line with the number of sums that are equal, or that differ and the first of them."""
        if not self.mismatches:
            return f"{self.expected.size} partial sums equal, {self.cycles} cycles ({self.predicted_cycles} predicted)"
        first = tuple(int(i) for i in np.argwhere(self.partial_sums != self.expected)[0])
        return (
            f"{self.mismatches} of {self.expected.size} partial sums differ; the first at [token, output, segment] = "
            f"{list(first)}: circuit {self.partial_sums[first]}, formats {self.expected[first]}"
        )


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
    activations : `AndaTensor`
        Groups in C order. Each group is cut into ``group_size / lanes`` segments.
    codes : int8 ``[lanes, segments]``
        Weights of each segment.
    weight_bits : `int`
        Bits of a weight in the circuit. The default is the fewest that hold the codes, at least 4.
    pauses : mapping of port to sequence of `bool`
        Pauses of ``activation``, ``weights`` and ``result``; see `run_streams`.
    vcd : path
        Waveform file to write.

    Raises
    ------
    InputError
        The codes do not fit the groups.
    """
    lanes, segments = codes.shape
    group_size = activations.format.group_size
    if group_size % lanes or segments * lanes != activations.exponents.size * group_size:
        raise InputError(
            f"codes: have shape {list(codes.shape)}; give [lanes, segments] for {activations.exponents.size} groups of "
            f"{group_size}, with lanes that divide {group_size}"
        )
    midpoint = activations.format.reconstruct == "midpoint"
    planes, skipping = plane_stream(activations, lanes), activations.format.mask_rows > 0
    return _run_segments(planes, codes.T, midpoint, weight_bits, pauses, vcd, skipping)


def _run_segments(
    planes: list[int],
    codes: NDArray[np.int8],
    midpoint: bool,
    weight_bits: int | None = None,
    pauses: Pauses | None = None,
    vcd: Path | None = None,
    skipping: bool = False,
) -> PeRun:
    """Run an `AndaPE` on packed planes and codes ``[segments, lanes]``."""
    segments, lanes = codes.shape
    if weight_bits is None:
        weight_bits = max(4, int(np.abs(codes.astype(np.int64) * 2 + 1).max()).bit_length())
    pe = AndaPE(AndaPEParameters(lanes=lanes, weight_bits=weight_bits, midpoint=midpoint, skipping=skipping))
    inputs = {"activation": planes, "weights": pack(codes, weight_bits)}
    run = run_streams(pe, inputs, {"result": segments}, pauses=pauses, vcd=vcd).transfers
    bits = partial_sum_bits(lanes, weight_bits, pe.parameters.max_mantissa_bits + midpoint)
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
    """Compress values on a `BpcLane`, group by group.

    Parameters
    ----------
    x : float16 ``[..., channels]``
        Values; the channels are whole groups.
    format : `AndaFormat`
        Format of the result.
    pauses : mapping of port to sequence of `bool`
        Pauses of ``group`` and ``planes``; see `run_streams`.
    vcd : path
        Waveform file to write.

    Raises
    ------
    InputError
        The channels are not whole groups, or the circuit cannot write the format.
    """
    lanes, mantissa_bits = format.group_size, format.mantissa_bits
    _check_compression(x, format)
    lane = BpcLane(BpcLaneParameters(lanes=lanes, nearest=format.rounding == "nearest"))
    groups = _group_words(x.view(np.uint16).reshape(-1, lanes), mantissa_bits)
    inputs, outputs = {"group": groups}, {"planes": len(groups) * (mantissa_bits + 1)}
    run = run_streams(lane, inputs, outputs, flags=["saturated"], pauses=pauses, vcd=vcd)
    planes = run.transfers["planes"]
    bits = unpack(planes.payloads, 1, lanes + EXPONENT_BITS + 1).astype(np.bool_)
    bits = bits.reshape(*x.shape[:-1], -1, mantissa_bits + 1, lanes + EXPONENT_BITS + 1)
    exponents = bits[..., 0, lanes : lanes + EXPONENT_BITS]
    tensor = _tensor(format, x.shape, bits[..., :lanes], exponents, run.flags["saturated"])
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
    """Compress values on a `BitPlaneCompressor`, block by block.

    The groups of a block are sent in order of channels, and for each group all tokens in turn.

    Parameters
    ----------
    x : float16 ``[tokens, channels]``
        Values: whole blocks of `rows` tokens and whole groups of channels.
    format : `AndaFormat`
        Format of the result. Its plane masks, if any, cover `rows` tokens.
    rows : `int`
        Tokens of a block.
    pauses : mapping of port to sequence of `bool`
        Pauses of ``groups`` and ``planes``; see `run_streams`.
    simulator : `str`
        ``"amaranth"``, ``"cxxrtl"`` or ``"verilator"``.
    vcd : path
        Waveform file to write.

    Raises
    ------
    InputError
        The values are not whole blocks and groups, or the circuit cannot write the format.
    """
    lanes, mantissa_bits = format.group_size, format.mantissa_bits
    _check_compression(x, format)
    _check_blocks(x, format, rows)
    masked = format.mask_rows > 0
    compressor = BitPlaneCompressor(
        BitPlaneCompressorParameters(rows=rows, lanes=lanes, nearest=format.rounding == "nearest", masks=masked)
    )
    blocks, segments = len(x) // rows, x.shape[1] // lanes
    halves = x.view(np.uint16).reshape(blocks, rows, segments, lanes).swapaxes(1, 2).reshape(-1, lanes)
    inputs = {"groups": _group_words(halves, mantissa_bits)}
    outputs = {"planes": blocks * segments * (mantissa_bits + 1)}
    run = run_streams(compressor, inputs, outputs, flags=["saturated"], pauses=pauses, simulator=simulator, vcd=vcd)
    planes = run.transfers["planes"]
    width = rows * (lanes + EXPONENT_BITS)
    bits = unpack(planes.payloads, 1, width).astype(np.bool_).reshape(blocks, segments, mantissa_bits + 1, width)
    exponents = bits[:, :, 0, rows * lanes :].reshape(blocks, segments, rows, EXPONENT_BITS).swapaxes(1, 2)
    words = bits[..., : rows * lanes].reshape(blocks, segments, mantissa_bits + 1, rows, lanes)
    words = words.transpose(0, 3, 1, 2, 4).reshape(-1, segments, mantissa_bits + 1, lanes)
    exponents = exponents.reshape(-1, segments, EXPONENT_BITS)
    tensor = _tensor(format, x.shape, words, exponents, run.flags["saturated"])
    taken = run.transfers["groups"].cycles
    latency = planes.cycles[0] - taken[0]
    masks = None
    if masked:
        last_planes = planes.payloads[mantissa_bits :: mantissa_bits + 1]
        masks = unpack(last_planes, 1, MASK_BITS, start=width + 1).astype(np.bool_)
        masks = masks.reshape(blocks, segments, MASK_BITS)[..., : mantissa_bits - 1]
    return BpcRun(tensor, planes.cycles[-1] - taken[0] + 1, latency, masks)


def _group_words(halves: NDArray[np.uint16], mantissa_bits: int) -> list[int]:
    """Payloads of groups for a compressor, from FP16 patterns ``[groups, lanes]``: the values, then M."""
    values = pack(halves.astype(np.int64), 16)
    return [word | mantissa_bits << 16 * halves.shape[1] for word in values]


def _tensor(
    format: AndaFormat,
    shape: tuple[int, ...],
    planes: NDArray[np.bool_],
    exponents: NDArray[np.bool_],
    saturated: bool | int,
) -> AndaTensor:
    """Tensor of sign and mantissa planes ``[..., groups, 1 + M, lanes]`` and bits of exponents ``[..., groups, EXPONENT_BITS]``."""
    shared = (exponents @ (1 << np.arange(EXPONENT_BITS))).astype(np.uint8)
    return AndaTensor(
        format, shape, pack_bits(planes[..., 0, :]), pack_bits(planes[..., 1:, :]), shared, bool(saturated)
    )


def _check_blocks(x: NDArray[np.float16], format: AndaFormat, rows: int) -> None:
    """Raise `InputError` unless `x` is whole blocks, and masks, if any, cover the tokens of a block."""
    if x.shape[0] % rows:
        raise InputError(f"x: {x.shape[0]} tokens are not whole blocks of {rows}; pad them with zeros")
    if format.mask_rows not in (0, rows):
        raise InputError(f"mask_rows: is {format.mask_rows}; the circuit makes masks of {rows} tokens, choose {rows}")


def _check_compression(x: NDArray[np.float16], format: AndaFormat) -> None:
    """Raise `InputError` if a compressor cannot encode `x` in this format."""
    if x.shape[-1] % format.group_size:
        raise InputError(f"x: {x.shape[-1]} channels are not whole groups of {format.group_size}; pad them with zeros")
    if format.nonfinite != "saturate":
        raise InputError('format: the circuit saturates infinities and NaN; choose nonfinite="saturate"')


def compare_trace(activations: AndaTensor, weights: Int4Weights, *, vcd: Path | None = None) -> TraceComparison:
    """Run every integer dot product of a GeMM on one `AndaPE`, and compare the sums with those of `formats`.

    Parameters
    ----------
    activations : `AndaTensor`
        Activations ``[tokens, channels]``. Take few tokens and outputs: the simulator runs about a thousand cycles a second.
    weights : `Int4Weights`
        Weights ``[channels, outputs]``. The circuit has ``min(group sizes)`` lanes, and a segment is as many channels.
    vcd : path
        Waveform file to write.
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
    midpoint, skipping = activations.format.reconstruct == "midpoint", activations.format.mask_rows > 0
    every_codes = np.repeat(codes, tokens, axis=1).reshape(-1, lanes)
    run = _run_segments(planes, every_codes, midpoint, vcd=vcd, skipping=skipping)
    units = segment_exponents(activations, lanes).astype(np.int64) - activations.format.mantissa_bits - midpoint
    # a sum has no zeros for the planes that are skipped at the end of its segment
    partial_sums = run.partial_sums.reshape(expected.shape) << run.exponents.reshape(expected.shape) - units
    planes_sent = np.full(expected.shape[1:], activations.format.mantissa_bits)
    if skipping:
        planes_sent = 1 + plane_masks(activations, 1, lanes).sum(axis=-1)
    predicted = outputs * sum(pe_cycles_per_group(int(count)) for count in planes_sent.flat)
    return TraceComparison(partial_sums.swapaxes(0, 1), expected.swapaxes(0, 1), run.cycles, predicted)
